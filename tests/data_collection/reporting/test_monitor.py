"""The monitor: what it tells of a queue, its workers and its speed, in 80 columns, reading only."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console

from alphaqcm.data_collection.build.task import Stage, Task
from alphaqcm.data_collection.queue.liveness import Heartbeat
from alphaqcm.data_collection.queue.merge import merge_plan
from alphaqcm.data_collection.queue.shared_queue import Queue
from alphaqcm.data_collection.queue.state import Limits, Planned, QueueState, TaskState
from alphaqcm.data_collection.queue.task import Outcome, TaskResult
from alphaqcm.data_collection.queue.transitions import claim, complete, fail
from alphaqcm.data_collection.reporting.monitor.snapshot import Snapshot, WorkerView, take_snapshot
from alphaqcm.data_collection.reporting.monitor.view import duration_text, render, size_text
from alphaqcm.pipeline.domain.time import to_stamp
from tests.conftest import PROJECT, need_tool
from tests.data_collection.queue.test_storms import until
from tests.helpers import queue_workers as workers

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
LIMITS = Limits()
MB = 1_000_000


def every(_: Task) -> bool:
    return True


def months(*stamps: str, size: int = 100 * MB) -> list[Planned]:
    return [Planned(f"month/aggTrades/BTCUSDT/{stamp}", size) for stamp in stamps]


def book_of(*planned: Planned) -> QueueState:
    return merge_plan(None, planned, {}, "g")[0]


def done(
    book: QueueState, end: datetime, seconds: float, worker: str = "A", **told: object
) -> QueueState:
    """The next task done: `seconds` long, ended at `end`."""
    taken = claim(book, worker, "here", end - timedelta(seconds=seconds), LIMITS)
    assert taken is not None
    book, lease = taken
    told = {"built": True, "bytes": 100 * MB, "rows": 1_000, **told}
    return complete(book, lease, Outcome(TaskResult.DONE, **told), seconds, end)  # type: ignore[arg-type]


def sight(worker: str, *, age: float = 1.0, alive: bool = True, **told: object) -> WorkerView:
    beat = Heartbeat(worker, "here", 1, to_stamp(NOON), to_stamp(NOON), 1)
    return WorkerView(Heartbeat(**{**_fields(beat), **told}), age, alive)  # type: ignore[arg-type]


def _fields(beat: Heartbeat) -> dict[str, object]:
    return {name: getattr(beat, name) for name in Heartbeat.__slots__}


def picture(
    book: QueueState,
    *sights: WorkerView,
    now: datetime = NOON,
    focus: Callable[[Task], bool] = every,
    disk: tuple[int, int] = (500, 1_000),
) -> Snapshot:
    return take_snapshot(book, sights, disk, now, focus=focus, stall=600)


def text_of(shown: Snapshot, height: int | None = None) -> str:
    console = Console(width=80, no_color=True, force_terminal=False, record=True, file=None)
    with console.capture() as captured:
        console.print(render(shown, "title", Path("s.json"), Path("/root"), height))
    return captured.get()


def test_speed_counts_the_part_of_a_task_that_fell_into_the_window():
    # 400 s long, ended 100 s ago: 200 of them within the last 300 s
    book = done(book_of(*months("2024-01", "2024-02")), NOON - timedelta(seconds=100), 400)
    shown = picture(book)
    assert shown.speed_now.window == 300
    assert shown.speed_now.bytes == pytest.approx(100 * MB * 200 / 400 / 300)
    assert shown.speed_now.rows == pytest.approx(1_000 * 200 / 400 / 300)
    assert shown.speed_hour.window == 500  # the job is no older
    assert shown.speed_hour.bytes == pytest.approx(100 * MB / 500)


def test_speed_of_a_job_that_has_just_begun_is_not_spread_over_the_whole_window():
    shown = picture(done(book_of(*months("2024-01")), NOON, 10))
    assert shown.speed_now.bytes == pytest.approx(10 * MB)


def test_bytes_of_a_download_under_way_are_shown():
    book = book_of(*months("2024-01"))
    taken = claim(book, "A", "here", NOON - timedelta(seconds=200), LIMITS)
    assert taken is not None
    task = "month/aggTrades/BTCUSDT/2024-01"
    at_work = sight("A", task=task, task_seconds=200.0, task_bytes=40 * MB)
    shown = picture(taken[0], at_work)
    assert [worker.bytes for worker in shown.workers] == [40 * MB]
    assert shown.speed_now.bytes == pytest.approx(40 * MB / 200)
    long = sight("A", task=task, task_seconds=3000.0, task_bytes=600 * MB)
    assert picture(taken[0], long).speed_now.bytes == pytest.approx(0.2 * MB)
    gone = sight("A", task=task, task_seconds=200.0, task_bytes=40 * MB, alive=False)
    assert [worker.bytes for worker in picture(taken[0], gone).workers] == [0]


def test_speeds_stay_as_they_were_when_the_last_task_ended():
    book = done(book_of(*months("2024-01")), NOON, 10)
    at_the_end, much_later = picture(book), picture(book, now=NOON + timedelta(hours=9))
    assert much_later.speed_now == at_the_end.speed_now
    assert much_later.speed_hour == at_the_end.speed_hour
    assert much_later.speed_now.bytes == pytest.approx(10 * MB)
    assert "ended 2024-03-01 12:00Z" in text_of(much_later)


def test_nothing_is_wider_than_the_tables_on_a_wide_terminal():
    book = done(book_of(*months("2024-01")), NOON, 10, output="/root/a.parquet")
    console = Console(width=200, no_color=True, force_terminal=False, file=None)
    with console.capture() as captured:
        console.print(render(picture(book), "title", Path("s.json"), Path("/root"), None))
    lines = [line.rstrip() for line in captured.get().splitlines()]
    assert any(line.startswith("newest outputs ─") for line in lines)
    assert max(map(len, lines)) <= 80


def test_a_stamp_of_a_clock_that_is_ahead_is_left_out_of_the_speed():
    shown = picture(done(book_of(*months("2024-01")), NOON + timedelta(days=1), 10))
    assert shown.speed_now.bytes == 0


def test_the_finish_time_is_what_is_left_shared_by_the_living_workers():
    book = done(book_of(*months("2024-01", "2024-02", "2024-03")), NOON, 60)
    shown = picture(book, sight("A"), sight("B"), sight("C", alive=False))
    assert shown.seconds_left == pytest.approx(60)
    assert not shown.left_is_least


def test_the_finish_time_follows_the_sizes():
    small = months("2024-02", size=10 * MB)
    book = done(book_of(*months("2024-01"), *small), NOON, 60)
    assert picture(book, sight("A")).seconds_left == pytest.approx(6)


def test_a_kind_of_task_that_was_never_finished_makes_the_finish_time_a_least_one():
    hourly = Planned("hourly/aggTrades/BTCUSDT", needs=("month/aggTrades/BTCUSDT/2024-01",))
    book = done(book_of(*months("2024-01"), hourly), NOON, 60)
    shown = picture(book, sight("A"))
    assert shown.left_is_least
    assert "not before" in text_of(shown)


def test_without_a_living_worker_there_is_no_finish_time_but_a_warning():
    shown = picture(book_of(*months("2024-01")), sight("A", alive=False))
    assert shown.seconds_left is None
    assert any("no worker is alive" in text for text in shown.warnings)


def test_a_worker_is_shown_with_its_task_and_for_how_long():
    book = book_of(*months("2024-01"))
    book, lease = claim(book, "A", "here", NOON, LIMITS) or (book, None)
    shown = picture(book, sight("A", age=3.0, task=lease.id, task_seconds=60.0))
    assert [(w.name, w.status, w.task, w.seconds) for w in shown.workers] == [
        ("A", "working", "month/aggTrades/BTCUSDT/2024-01", 63.0)
    ]


def test_a_living_worker_without_a_heartbeat_looks_stopped():
    shown = picture(book_of(*months("2024-01")), sight("A", age=100.0))
    assert shown.workers[0].status == "silent"
    assert any("Ctrl-Z" in text for text in shown.warnings)


def test_a_dead_worker_with_a_task_is_told():
    book, _ = claim(book_of(*months("2024-01")), "A", "here", NOON, LIMITS) or (None, None)
    shown = picture(book, sight("A", alive=False, age=5.0))
    assert shown.workers[0].status == "dead"
    assert any("worker A died" in text for text in shown.warnings)


def test_a_stall_is_told_after_the_given_time():
    book = done(book_of(*months("2024-01", "2024-02")), NOON, 60)
    early = picture(book, sight("A"), now=NOON + timedelta(seconds=599)).warnings
    late = picture(book, sight("A"), now=NOON + timedelta(seconds=601)).warnings
    assert not any("stalled" in text for text in early)
    assert any("stalled" in text for text in late)


def test_a_full_disk_is_told():
    shown = picture(book_of(*months("2024-01")), sight("A"), disk=(10, 1_000))
    assert any("left on the disk" in text for text in shown.warnings)


def test_what_stands_on_a_failure_is_counted_as_blocked():
    hourly = Planned("hourly/aggTrades/BTCUSDT", needs=("month/aggTrades/BTCUSDT/2024-01",))
    book = book_of(
        *months("2024-01"), hourly, Planned("factors/BTCUSDT", needs=("hourly/aggTrades/BTCUSDT",))
    )
    book, lease = claim(book, "A", "here", NOON, LIMITS) or (book, None)
    shown = picture(fail(book, lease, "rubbish", NOON, LIMITS, final=True))
    assert (shown.blocked, shown.over) == (2, True)
    assert "1 failed, 2 need them" in text_of(shown)
    assert "rubbish" in text_of(shown)


def test_only_the_tasks_in_focus_are_counted():
    factors = Planned("factors/BTCUSDT", needs=("month/aggTrades/BTCUSDT/2024-01",))
    shown = picture(
        book_of(*months("2024-01"), factors), focus=lambda task: task.stage is Stage.FACTORS
    )
    assert shown.tasks == 1
    assert list(shown.steps) == ["factors"]


def wide_picture() -> Snapshot:
    """Long names everywhere, many failures."""
    planned = [Planned(f"month/markPriceKlines:1h/1000000MOGUSDT{n}/2024-01") for n in range(30)]
    book = done(book_of(*planned), NOON, 60, output="/data/" + "deep/" * 40 + "2024-01.parquet")
    for _ in range(20):
        book, lease = claim(book, "W" * 32, "here", NOON, LIMITS) or (book, None)
        book = fail(book, lease, "a long reason " * 20, NOON, LIMITS, final=True)
    return picture(book, *(sight(f"{n}" * 32) for n in range(6)))


def test_nothing_is_wider_than_80_columns():
    assert max(map(len, text_of(wide_picture()).splitlines())) <= 80


@pytest.mark.parametrize("height", [24, 30, 40, 60])
def test_the_picture_fits_the_height_of_the_terminal(height: int):
    assert len(text_of(wide_picture(), height).splitlines()) <= height


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59.4, "59s"), (61, "1m01s"), (3_900, "1h05m"), (183_600, "2d03h")],
)
def test_durations(seconds, text):
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1_500, "1.5 kB"), (82.1e9, "82.1 GB")]
)
def test_sizes(size, text):
    assert size_text(size) == text


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    """A queue of which a part is done, and one worker is dead over its task."""
    (tmp_path / "_tmp").mkdir()
    (tmp_path / "out").mkdir()
    made = Queue.open(tmp_path / "_tmp" / "aggTrades_queue_state.json")
    made.sync(workers.plan(2, 3), {"start": "2000-01-01", "end": "2000-03-31", "market": "um"})
    held = workers.plan(2, 3)[-3].id
    config = workers.Config(str(made.path), "A", str(tmp_path / "out"), hold=held)
    process = workers.start(config)
    until((made.path.parent / "held").exists)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return made


def monitor(name: str, *words: object) -> subprocess.CompletedProcess[str]:
    script = PROJECT / "data_collection" / name
    return subprocess.run(
        [sys.executable, str(script), *map(str, words)], capture_output=True, text=True, timeout=60
    )


@pytest.mark.process
def test_the_script_tells_all_as_json(queue: Queue):
    ran = monitor("monitor_aggtrades_progress.py", "--once", "--json", "--state", queue.path)
    told = json.loads(ran.stdout)
    counts = queue.snapshot().counts()
    aggtrades = sum(counts.values()) - 2  # the factors are not in its focus
    assert sum(told["totals"].values()) == aggtrades
    assert told["totals"]["in_progress"] == counts[TaskState.IN_PROGRESS] == 1
    assert [worker["status"] for worker in told["workers"]] == ["dead"]
    assert told["disk_total"] > told["disk_free"] > 0


@pytest.mark.process
def test_the_factor_monitor_shows_the_factors_alone(queue: Queue):
    root = queue.path.parent.parent
    ran = monitor("monitor_volatility_progress.py", "--once", "--json", "--root", root)
    assert list(json.loads(ran.stdout)["steps"]) == ["factors"]


@pytest.mark.process
def test_looking_changes_nothing_and_waits_for_no_lock(queue: Queue):
    files = {path: path.read_bytes() for path in queue.path.parent.rglob("*") if path.is_file()}
    with queue._file.locked():
        ran = monitor("monitor_aggtrades_progress.py", "--once", "--state", queue.path)
    assert ran.returncode == 0
    assert "worker A died" in ran.stdout
    assert max(map(len, ran.stdout.splitlines())) <= 80
    assert "\x1b" not in ran.stdout
    found = {path: path.read_bytes() for path in queue.path.parent.rglob("*") if path.is_file()}
    assert found == files


@pytest.mark.process
def test_a_queue_that_is_not_there_or_damaged_is_told(tmp_path: Path):
    state = tmp_path / "s.json"
    ran = monitor("monitor_aggtrades_progress.py", "--once", "--state", state)
    assert (ran.returncode, "no such file" in ran.stderr) == (1, True)
    state.write_text("{")
    ran = monitor("monitor_aggtrades_progress.py", "--once", "--state", state)
    assert (ran.returncode, "set aside" in ran.stderr) == (1, True)


@pytest.mark.process
def test_without_a_terminal_a_picture_is_printed_every_interval(queue: Queue):
    words = ["monitor", "--interval", "0.2", "--json", "--state", str(queue.path)]
    process = subprocess.Popen(
        [sys.executable, "-m", "alphaqcm", *words],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    pictures = [json.loads(process.stdout.readline()) for _ in range(3)]
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 0
    assert pictures[0]["at"] < pictures[1]["at"] < pictures[2]["at"]


@pytest.mark.process
def test_in_a_terminal_the_picture_is_renewed_in_place(queue: Queue, tmp_path: Path):
    need_tool("tmux")
    folder = tmp_path / "tmux"
    folder.mkdir(mode=0o700)
    env = {**os.environ, "TMUX_TMPDIR": str(folder), "TMUX": ""}
    script = PROJECT / "data_collection" / "monitor_aggtrades_progress.py"
    command = f"{sys.executable} {script} --interval 0.3 --state {queue.path}"
    words = ["tmux", "new-session", "-d", "-s", "m", "-x", "80", "-y", "40", command]
    subprocess.run(words, env=env, check=True)

    def screen() -> str:
        words = ["tmux", "capture-pane", "-p", "-t", "m"]
        return subprocess.run(words, env=env, capture_output=True, text=True).stdout

    try:
        until(lambda: "worker A died" in screen())
        config = workers.Config(str(queue.path), "B", str(tmp_path / "out"))
        assert workers.finish(workers.start(config))[0] == 0
        until(lambda: "every task is done" in screen())
        assert screen().count("newest outputs") == 1
    finally:
        subprocess.run(["tmux", "kill-server"], env=env, check=True)
