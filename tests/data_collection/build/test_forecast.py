"""What a run says that it would do, and the work that its progress is measured by."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from alphaqcm.data_collection.build.run.forecast import Forecast, size, weights
from alphaqcm.data_collection.build.run.progress import ProgressBar
from alphaqcm.data_collection.build.task import Task
from alphaqcm.data_collection.commands.main import main
from alphaqcm.data_collection.queue.task import Outcome, TaskResult
from alphaqcm.data_collection.simulation.sample import SampleSpec, write_sample

MB = 1_000_000
MONTH = "month/aggTrades/BTCUSDT/2024-01"
SMALL = "month/klines:1m/BTCUSDT/2024-01"
FACTORS = "factors/BTCUSDT"
DAYS = ("--symbols", "BTCUSDT", "--start", "2024-02-27", "--end", "2024-02-28")


def tasks(*names: str) -> list[Task]:
    return [Task.parse(name) for name in names]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    spec = SampleSpec(symbols=("BTCUSDT",), start=date(2024, 2, 27), days=2, trades_per_day=500)
    write_sample(tmp_path / "archive", spec)
    return tmp_path / "archive"


def dry_run(archive: Path, root: Path, *words: str) -> int:
    where = ["--source", str(archive), "--data-root", str(root)]
    return main(["run", *DAYS, *where, "--dry-run", *words])


def test_a_dry_run_tells_bytes_and_makes_nothing(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dry_run(archive, tmp_path / "root", "--json") == 0
    told = json.loads(capsys.readouterr().out)["forecast"]
    assert [path.name for path in tmp_path.iterdir()] == ["archive"]
    assert told["tasks"] > 0
    assert told["free"] > 0
    where = ["--source", str(archive), "--data-root", str(tmp_path / "other")]
    assert main(["plan", *DAYS, *where, "--json"]) == 0
    assert told["fetch"] == told["read"] == json.loads(capsys.readouterr().out)["bytes"]


def test_a_disk_without_room_for_the_download_is_told() -> None:
    assert "no room" in Forecast(3, 0, 10 * MB, 9 * MB, 5 * MB, 1.0).lines[-1]
    assert "no room" not in "".join(Forecast(3, 0, 10 * MB, 4 * MB, 5 * MB, 1.0).lines)


def test_work_is_weighed_by_the_bytes_behind_it() -> None:
    found = weights(tasks(MONTH, SMALL, FACTORS), {MONTH: 300 * MB, SMALL: 2 * MB})
    assert (found[MONTH], found[SMALL]) == (300 * MB, 2 * MB)
    assert 0 < found[FACTORS] < found[MONTH]


def test_progress_without_a_terminal_is_told_in_bytes_and_rows(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with ProgressBar({SMALL: MB, MONTH: 99 * MB}, 100 * MB) as bar:
        bar.add(SMALL, Outcome(TaskResult.DONE, rows=44_640, bytes=MB, downloaded=MB))
        assert capsys.readouterr().out == ""  # one of two tasks, but a hundredth of the work
        bar.add(MONTH, Outcome(TaskResult.DONE, rows=8_000_000, bytes=99 * MB, downloaded=0))
    told = capsys.readouterr().out
    assert told == (
        "100 %: 2 of 2 tasks, 1.0 MB downloaded, 100.0 MB of 100.0 MB read, 8,044,640 rows\n"
    )


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (999, "999 B"), (12_500_000_000, "12.5 GB"), (2e15, "2000.0 TB")],
)
def test_sizes_are_told_in_decimal_units(number: float, text: str) -> None:
    assert size(number) == text
