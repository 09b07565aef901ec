"""Leases with real processes: sleep, death at every step of a commit, signals, full disks."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest

from alphaqcm.data_collection.queue.journal import journal_path
from alphaqcm.data_collection.queue.liveness import read_heartbeat, this_host
from alphaqcm.data_collection.queue.options import CommitStep, workers_dir
from alphaqcm.data_collection.queue.shared_queue import Queue
from alphaqcm.data_collection.queue.state import TaskState
from alphaqcm.pipeline.storage.atomic_write import clean_temps
from tests.data_collection.queue.test_state_file import fill, small_disk
from tests.data_collection.queue.test_storms import commits, until
from tests.helpers import queue_workers as workers

pytestmark = pytest.mark.process

HELD = "month/aggTrades/S001USDT/2000-01"  # the first task that is claimed
REST = 5  # tasks that can be done while that one is held
AFTER_THE_COMMIT = (CommitStep.RELEASE, CommitStep.END)


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    (tmp_path / "out").mkdir()
    made = Queue.open(tmp_path / "state.json")
    made.sync(workers.plan(2, 2), {})
    return made


def config(queue: Queue, worker: str, **more: object) -> workers.Config:
    out = str(queue.path.parent / "out")
    return workers.Config(str(queue.path), worker, out, **more)  # type: ignore[arg-type]


def hold(queue: Queue, worker: str = "A", **more: object) -> subprocess.Popen[str]:
    """A worker that is at the first task and stays there until the file `go` appears."""
    process = workers.start(config(queue, worker, hold=HELD, **more))
    until((queue.path.parent / "held").exists)
    return process


def let_go(queue: Queue) -> None:
    (queue.path.parent / "go").touch()


def holder(queue: Queue) -> str:
    return next(entry.worker for entry in queue.snapshot().entries if entry.id == HELD)


@pytest.mark.parametrize("host", [this_host(), "elsewhere"])
def test_a_worker_asleep_loses_its_task_and_its_late_result_is_refused(queue, host: str):
    asleep = hold(queue, host=host)
    asleep.send_signal(signal.SIGSTOP)
    code, log = workers.finish(workers.start(config(queue, "B", stale=1.0)))
    assert code == 0
    assert f"{HELD} taken back from A" in log
    made = workers.read_files(queue.path.parent / "out")
    asleep.send_signal(signal.SIGCONT)
    let_go(queue)
    code, log = workers.finish(asleep)
    assert code == 0
    assert f"event=refused task={HELD} found='done by B" in log
    assert workers.read_files(queue.path.parent / "out") == made
    assert commits(queue.path.parent / "out")[HELD] == 1
    assert holder(queue) == "B"


def test_a_worker_with_a_heartbeat_on_another_host_keeps_its_task(queue):
    far = hold(queue, host="elsewhere")
    near = workers.start(config(queue, "B", stale=4.0))
    until(lambda: queue.snapshot().counts()[TaskState.DONE] == REST)
    time.sleep(5.0)  # longer than that without a beat it would be given up
    assert holder(queue) == "A"
    let_go(queue)
    assert workers.finish(far)[0] == workers.finish(near)[0] == 0
    assert set(commits(queue.path.parent / "out").values()) == {1}


def test_a_worker_that_sleeps_a_while_keeps_its_task_and_the_others_wait(queue):
    asleep = hold(queue)
    asleep.send_signal(signal.SIGSTOP)
    near = workers.start(config(queue, "B", stale=1e9))
    until(lambda: queue.snapshot().counts()[TaskState.DONE] == REST)
    time.sleep(1.0)
    assert near.poll() is None
    asleep.send_signal(signal.SIGCONT)
    let_go(queue)
    assert workers.finish(asleep)[0] == workers.finish(near)[0] == 0
    assert holder(queue) == "A"


def test_on_one_host_the_task_of_a_killed_worker_is_taken_without_any_waiting_time(queue):
    killed = hold(queue, stale=1e9)
    near = workers.start(config(queue, "B", stale=1e9))
    until(lambda: queue.snapshot().counts()[TaskState.DONE] == REST)
    killed.kill()
    killed.wait()
    assert workers.finish(near)[0] == 0
    assert holder(queue) == "B"


def test_a_worker_started_again_under_its_name_takes_its_own_tasks_back(queue):
    killed = hold(queue)
    killed.kill()
    killed.wait()
    code, log = workers.finish(workers.start(config(queue, "A")))
    assert code == 0
    assert f"{HELD} was left by an earlier A" in log


def test_a_name_belongs_to_one_living_worker(queue):
    first = hold(queue)
    code, log = workers.finish(workers.start(config(queue, "A")))
    assert code == 1
    assert f"found process {first.pid} on " in log
    let_go(queue)
    assert workers.finish(first)[0] == 0


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return workers.undisturbed(tmp_path_factory.mktemp("calm"), 2, 2)


@pytest.mark.parametrize("journal_from", [0, 500], ids=["journal", "whole"])
@pytest.mark.parametrize("step", [*CommitStep, "between"])
def test_a_worker_killed_in_a_commit_is_made_up_for(
    queue, tmp_path: Path, calm: dict[str, bytes], step: str, journal_from: int
):
    how = {"journal_from": journal_from}
    code, _ = workers.finish(workers.start(config(queue, "A", die_at=step, **how)))
    assert code == -signal.SIGKILL
    assert journal_path(queue.path).exists() is (journal_from == 0)
    done = queue.snapshot().counts()[TaskState.DONE]
    assert done == (1 if step in AFTER_THE_COMMIT else 0)
    assert workers.finish(workers.start(config(queue, "B", **how)))[0] == 0
    assert set(queue.snapshot().counts().values()) == {0, len(workers.plan(2, 2))}
    clean_temps(tmp_path / "out")
    assert workers.read_files(tmp_path / "out") == calm


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_worker_asked_to_stop_hands_its_task_back(queue, signum, code):
    process = hold(queue)
    process.send_signal(signum)
    ended, log = workers.finish(process)
    assert ended == code
    assert f"event=handed-back task={HELD}" in log
    entry = next(entry for entry in queue.snapshot().entries if entry.id == HELD)
    assert (entry.state, entry.attempts, entry.deaths) == (TaskState.PENDING, 0, 0)
    beat = read_heartbeat(workers_dir(queue.path) / "A.json")
    assert beat is not None
    assert beat.ended == "stopped"


@pytest.mark.parametrize("step", [CommitStep.CHECK, CommitStep.RENAME, CommitStep.PUBLISH])
def test_a_worker_asked_to_stop_within_a_commit_finishes_it(queue, step):
    code, log = workers.finish(workers.start(config(queue, "A", term_at=step)))
    assert code == 143
    assert log.count("event=done") == 1
    assert queue.snapshot().counts()[TaskState.DONE] == 1
    assert queue.snapshot().counts()[TaskState.IN_PROGRESS] == 0


def test_a_failing_task_is_tried_again_and_told_in_the_end(queue):
    code, log = workers.finish(workers.start(config(queue, "A", fail=HELD)))
    assert code == 1
    assert log.count(f"event=failed task={HELD}") == workers.LIMITS.attempts
    counts = queue.snapshot().counts()
    assert counts[TaskState.FAILED] == 1
    assert counts[TaskState.PENDING] == 2  # its symbol's hourly step and factors
    assert queue.retry_failed() == 1
    assert workers.finish(workers.start(config(queue, "A")))[0] == 0


def test_a_failure_that_will_not_change_is_not_tried_again(queue):
    code, log = workers.finish(workers.start(config(queue, "A", fail_final=HELD)))
    assert code == 1
    assert log.count(f"event=failed task={HELD}") == 1
    assert "next_try=never" in log


def test_the_log_has_a_line_an_event_with_bytes_rows_and_seconds(queue):
    _, log = workers.finish(workers.start(config(queue, "A")))
    done = [line for line in log.splitlines() if " event=done " in line]
    assert len(done) == len(workers.plan(2, 2))
    for part in (f" worker=A event=done task={HELD} ", " bytes=2", " rows=1 ", " seconds="):
        assert any(part in line for line in done)


def test_on_a_full_disk_a_worker_ends_clearly_and_another_goes_on_later(tmp_path: Path):
    disk = tmp_path / "disk"
    disk.mkdir()
    with small_disk(disk, "300k"):
        (disk / "out").mkdir()
        queue = Queue.open(disk / "state.json")
        queue.sync(workers.plan(2, 3, months_only=True), {})
        process = hold(queue)
        fill(disk / "filler")
        let_go(queue)
        code, log = workers.finish(process)
        assert code == 1
        assert "DiskFull" in log
        assert "free some space and run the same command again" in log
        (disk / "filler").unlink()
        assert workers.finish(workers.start(config(queue, "B")))[0] == 0
        assert queue.snapshot().counts()[TaskState.DONE] == 6
