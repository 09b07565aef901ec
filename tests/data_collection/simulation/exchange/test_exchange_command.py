"""`alphaqcm exchange` as a process: says its address, serves, and ends when it is told to."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from tests.conftest import PROJECT
from tests.helpers.command import alphaqcm

pytestmark = pytest.mark.process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_stopped(number: signal.Signals) -> None:
    command = [sys.executable, "-m", "alphaqcm", "exchange", "--port", "0", "--speed", "60"]
    command += ["--start", "2026-05-20", "--um", "2", "--spot", "2", "--cm", "1"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=PROJECT
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        url = re.match(r"http://127\.0\.0\.1:\d+", line)
        assert url, line
        clock = requests.get(url[0] + "/__clock__", timeout=20).json()
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
    assert clock["iso"].startswith("2026-05-20T00:")
    assert clock["speed"] == 60
    assert (process.returncode, errors) == (0, "")


@pytest.mark.parametrize(
    "words",
    [
        ["nowhere"],
        ["--speed", "0"],
        ["--port", "70000"],
        ["--start", "soon"],
        ["--scenario", "nowhere.yml"],
        ["--trades-per-minute", "0"],
    ],
)
def test_bad_words_are_a_line_and_exit_code_2(tmp_path: Path, words: list[str]) -> None:
    done = alphaqcm("exchange", *words, cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = alphaqcm("exchange", "--port", taken.getsockname()[1], cwd=tmp_path)
    assert done.returncode == 2
    assert "pass another --port" in done.stderr
