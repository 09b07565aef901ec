"""`alphaqcm sample` in a directory that holds something already, and on a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from alphaqcm.data_collection.commands.main import main
from alphaqcm.data_collection.simulation.sample import SampleSpec, write_sample
from tests.conftest import PROJECT
from tests.helpers.sample_files import tree

SIZE = ["--symbols", "BTCUSDT", "--trades-per-day", "200", "--start", "2024-02-28"]


def sample(dest: Path, *words: str) -> int:
    return main(["sample", str(dest), *SIZE, "--days", "1", *words])


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--seed", "8"], "seed 7"),
        (["--start", "2024-02-27"], "first day 2024-02-28"),
        (["--trades-per-day", "300"], "trades per day 200"),
        (["--minutes-only"], "minutes only False"),
        (["--daily-since", "2024-02-28"], "daily since the first day"),
    ],
)
def test_another_sample_in_the_same_directory_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], found: str
) -> None:
    sample(tmp_path)
    before = tree(tmp_path)
    assert sample(tmp_path, *words) == 2
    assert f"found a sample with {found};" in capsys.readouterr().err
    assert tree(tmp_path) == before


def test_an_archive_tree_that_is_no_sample_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data" / "futures").mkdir(parents=True)
    assert sample(tmp_path) == 2
    assert "found an archive tree that is no sample" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [tmp_path / "data"]


def test_a_sample_may_grow_by_days_and_symbols(tmp_path: Path) -> None:
    sample(tmp_path / "grown")
    assert sample(tmp_path / "grown", "--days", "2", "--symbols", "BTCUSDT,ETHUSDT") == 0
    sample(tmp_path / "whole", "--days", "2", "--symbols", "BTCUSDT,ETHUSDT")
    assert tree(tmp_path / "grown") == tree(tmp_path / "whole")


def test_a_sample_of_another_market_may_lie_beside_it(tmp_path: Path) -> None:
    sample(tmp_path)
    assert sample(tmp_path, "--market", "spot", "--seed", "8") == 0
    assert sample(tmp_path) == 0


def test_words_that_came_to_nothing_do_not_bind(tmp_path: Path) -> None:
    assert sample(tmp_path, "--plant", "jump symbol=NONE at=2024-02-28T10:00 factor=1.1") == 2
    assert sample(tmp_path, "--seed", "8") == 0


def test_words_that_came_to_nothing_in_one_market_do_not_bind_beside_another(
    tmp_path: Path,
) -> None:
    sample(tmp_path)
    trap = ("--plant", "jump symbol=NONE at=2024-02-28T10:00")
    assert sample(tmp_path, "--market", "cm", *trap) == 2
    assert sample(tmp_path, "--market", "cm", "--seed", "8") == 0


@pytest.mark.process
def test_a_terminal_sees_how_far_it_is(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "alphaqcm", "sample", str(tmp_path), *SIZE]
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    os.set_blocking(ours, False)
    done = subprocess.run(
        command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=theirs, text=True, check=True
    )
    seen = os.read(ours, 10_000)
    os.close(theirs)
    os.close(ours)
    assert b"| 0/3 [" in seen  # later ones come ten times a second at most
    assert done.stdout.count("\n") == 1


def test_elsewhere_only_the_result_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sample(tmp_path)
    told = capsys.readouterr()
    assert (told.out.count("\n"), told.err) == (1, "")


def test_the_writer_tells_each_day(tmp_path: Path) -> None:
    told: list[int] = []
    write_sample(tmp_path, SampleSpec(("BTCUSDT",), 3, trades_per_day=200), told.append)
    assert told == [1, 1, 1]
