"""Parts of a data root are held apart, each alone or by many; a dead holder frees its part."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from alphaqcm.data_collection.errors import RootBusy
from alphaqcm.data_collection.process import root_lock
from alphaqcm.data_collection.process.root_lock import RootPart, hold_root

_HOLDER = """
import sys, time
from pathlib import Path
from alphaqcm.data_collection.process.root_lock import RootPart, hold_root
with hold_root(Path(sys.argv[1]), exclusive=True, part=RootPart(sys.argv[2])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(root_lock, "_PATIENCE", 0.0)


def test_a_recorder_and_a_run_work_side_by_side(tmp_path: Path) -> None:
    with (
        hold_root(tmp_path / "_tmp", exclusive=True, part=RootPart.RECORDED),
        hold_root(tmp_path / "_tmp", exclusive=True),
        hold_root(tmp_path / "_tmp", exclusive=True, part=RootPart.CANDLES),
    ):
        assert sorted(path.name for path in (tmp_path / "_tmp").iterdir()) == [
            "candles.lock",
            "recorded.lock",
            "root.lock",
        ]


@pytest.mark.parametrize("part", RootPart)
def test_a_part_has_one_owner_and_says_who(tmp_path: Path, part: RootPart) -> None:
    with (
        hold_root(tmp_path / "_tmp", exclusive=True, part=part),
        pytest.raises(RootBusy, match="process"),
        hold_root(tmp_path / "_tmp", exclusive=False, part=part),
    ):
        raise AssertionError


def test_many_share_a_part(tmp_path: Path) -> None:
    with (
        hold_root(tmp_path / "_tmp", exclusive=False),
        hold_root(tmp_path / "_tmp", exclusive=False),
        pytest.raises(RootBusy, match="uses it"),
        hold_root(tmp_path / "_tmp", exclusive=True),
    ):
        raise AssertionError


@pytest.mark.process
def test_a_killed_holder_frees_its_part_and_no_other(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(tmp_path / "_tmp"), "recorded"],
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(RootBusy),
            hold_root(tmp_path / "_tmp", exclusive=True, part=RootPart.RECORDED),
        ):
            raise AssertionError
        holder.send_signal(signal.SIGKILL)
    with hold_root(tmp_path / "_tmp", exclusive=True, part=RootPart.RECORDED):
        pass


def test_an_owner_removes_the_temps_of_its_part_only(tmp_path: Path) -> None:
    left = [tmp_path / name / ".x.tmp" for name in ("candles", "recorded", "klines_1m")]
    for path in left:
        path.parent.mkdir(parents=True)
        path.touch()
    with hold_root(tmp_path / "_tmp", exclusive=True, part=RootPart.CANDLES):
        assert [path.exists() for path in left] == [False, True, True]
