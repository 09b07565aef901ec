"""The secret of our aria2c: in no file that could stay, in no command line."""

from __future__ import annotations

import tempfile
from pathlib import Path

import psutil
import pytest

from alphaqcm.data_collection.archive.transport.aria2_process import Aria2Process
from alphaqcm.data_collection.archive.transport.retry_policy import RetrySettings
from tests.conftest import need_tool

pytestmark = pytest.mark.process


def test_a_kill_while_aria2_starts_leaves_no_file_with_its_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_tool("aria2c")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    met = []

    class Killed(BaseException):
        """Whatever ends us while aria2c starts."""

    def look(self: Aria2Process) -> None:
        met.append([path.name for path in tmp_path.rglob("*")])
        raise Killed

    monkeypatch.setattr(Aria2Process, "_wait_until_up", look)
    with pytest.raises(Killed):
        Aria2Process(RetrySettings(2, None, 1, 0.1), 5.0).__enter__()
    assert met == [[]]


def test_aria2_reads_its_settings_from_a_file_without_a_name() -> None:
    need_tool("aria2c")
    with Aria2Process(RetrySettings(2, None, 1, 0.1), 5.0) as aria2:
        options = aria2.batch([("aria2.getGlobalOption", [])])[0][0]
        assert options["max-concurrent-downloads"] == "2"
        words = psutil.Process(aria2._process.pid).cmdline()
        assert "rpc-secret" not in " ".join(words)
