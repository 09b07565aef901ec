"""The state file: readable JSON, whole at every instant, damage and full disks survived."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from alphaqcm.data_collection.errors import QueueError, UsageError
from alphaqcm.data_collection.queue.liveness import WorkerLife
from alphaqcm.data_collection.queue.options import QueueOptions
from alphaqcm.data_collection.queue.shared_queue import Queue
from alphaqcm.data_collection.queue.state import Planned, TaskState
from alphaqcm.data_collection.queue.state_file import Damaged, QueueFile
from alphaqcm.data_collection.queue.task import Outcome, TaskResult
from alphaqcm.pipeline.errors import DiskFull, LayerError
from tests.helpers.queue_workers import plan

DONE = Outcome(TaskResult.DONE, True, 1, 2, 3, notes=("a note",), problems=("a problem",))


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def queue(tmp_path: Path, said: list[str]) -> Queue:
    made = Queue.open(tmp_path / "state.json", options=QueueOptions(say=said.append))
    made.sync(plan(2, 3), {"end": "2024-02-29"})
    return made


@contextlib.contextmanager
def alive(queue: Queue, worker: str = "A") -> Iterator[None]:
    with WorkerLife(queue.lock_dir, worker, queue.options.host):
        yield


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """A file system of its own on `folder`; skips where mounting is not allowed."""
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True
    )
    if mount.returncode:
        pytest.skip(f"no file system can be mounted here: {mount.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(path: Path) -> None:
    """Write until the disk is full."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as stream:
        while True:
            stream.write(b"x" * 512)


@contextlib.contextmanager
def unprivileged() -> Iterator[None]:
    """Permissions count for root as well."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


def test_the_state_is_json_with_a_line_a_task(queue: Queue):
    text = queue.path.read_text()
    told = json.loads(text)
    assert told["format"] == "alphaqcm queue"
    assert told["version"] == 1
    assert told["settings"] == {"end": "2024-02-29"}
    assert len([line for line in text.splitlines() if "/S00" in line]) == len(told["tasks"]) == 10


def test_every_field_survives_the_file(queue: Queue):
    with alive(queue):
        queue.complete(queue.claim("A"), DONE, 1.5)
        queue.fail(queue.claim("A"), 'a reason with "quotes" and\nlines')
    assert QueueFile(queue.path).read() == queue.snapshot()
    entry = next(e for e in queue.snapshot().entries if e.state is TaskState.DONE)
    assert (entry.seconds, entry.notes, entry.problems) == (1.5, ("a note",), ("a problem",))


def test_a_state_that_an_editor_formatted_is_read_as_well(queue: Queue):
    before = queue.snapshot()
    queue.path.write_text(json.dumps(json.loads(queue.path.read_text()), indent=4))
    assert queue.snapshot() == before


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: b"",
        lambda data: os.urandom(len(data)),
        lambda data: b"\0" * len(data),
        lambda data: data.replace(b"pending", b"pondering", 1),
        lambda data: data.replace(b'"version":1', b'"version":2'),
        lambda data: data.replace(b'"size"', b'"sighs"', 1),
    ],
    ids=["cut", "emptied", "garbage", "zeros", "no-state", "version", "no-field"],
)
def test_a_damaged_state_is_set_aside_by_name_and_made_anew(queue: Queue, said, damage):
    bad = damage(queue.path.read_bytes())
    queue.path.write_bytes(bad)
    with pytest.raises(Damaged, match="that are none"):
        Queue.open(queue.path).snapshot()
    with alive(queue):
        assert queue.claim("A") is not None
    aside = next(queue.path.parent.glob("state.json.damaged-*"))
    assert aside.read_bytes() == bad
    assert aside.name in said[0]
    assert len(queue.snapshot().entries) == 10


def test_a_worker_that_never_saw_a_damaged_state_says_what_to_run(queue: Queue):
    queue.path.write_bytes(b"{")
    with pytest.raises(QueueError, match="next: start"):
        Queue.open(queue.path).join()


def test_a_plan_makes_a_damaged_state_anew(queue: Queue):
    queue.path.write_bytes(b"{")
    settled = queue.sync(plan(2, 3), {"end": "2024-02-29"})
    assert str(settled) == "new queue of 10 tasks"
    assert set(queue.snapshot().counts().values()) == {0, 10}


def test_leases_of_a_lost_state_are_refused_after_it_was_made_anew(queue: Queue):
    with alive(queue):
        lease = queue.claim("A")
        queue.path.unlink()
        with pytest.raises(QueueError, match="made anew"):
            queue.complete(lease, DONE, 1.0)


def test_a_queue_that_is_not_there_is_told(tmp_path: Path):
    with pytest.raises(QueueError, match="no such file"):
        Queue.open(tmp_path / "none.json").join()


@pytest.mark.process
def test_a_full_disk_keeps_the_old_state_and_renames_nothing(tmp_path: Path):
    folder = tmp_path / "disk"
    folder.mkdir()
    with small_disk(folder, "400k"):
        queue = Queue.open(folder / "state.json", options=QueueOptions(say=lambda _: None))
        queue.sync(plan(10, 30), {})
        with alive(queue):
            lease = queue.claim("A")
            before = queue.path.read_bytes()
            filler = folder / "filler"
            fill(filler)
            renamed = False
            with pytest.raises(DiskFull, match="free some space"):  # noqa: SIM117
                with queue.committing(lease, DONE, 1.0):
                    renamed = True
            assert not renamed
            assert queue.path.read_bytes() == before
            filler.unlink()
            queue.complete(lease, DONE, 1.0)
        assert queue.snapshot().counts()[TaskState.DONE] == 1


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may look into; pytest's own ones are private."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_a_read_only_directory_is_told_and_loses_nothing(open_folder: Path):
    queue = Queue.open(open_folder / "state.json", options=QueueOptions(say=lambda _: None))
    queue.sync(plan(1, 2), {})
    before = queue.path.read_bytes()
    Path(f"{queue.path}.lock").chmod(0o666)
    open_folder.chmod(0o555)
    try:
        with unprivileged():
            assert len(queue.snapshot().entries) == 4
            with pytest.raises(LayerError, match="Permission denied"):
                queue.claim("A")
    finally:
        open_folder.chmod(0o755)
    assert queue.path.read_bytes() == before


def test_a_failed_commit_leaves_the_task_with_its_worker(queue: Queue):
    with alive(queue):
        lease = queue.claim("A")
        with pytest.raises(OSError, match="no such luck"), queue.committing(lease, DONE, 1.0):
            raise OSError("no such luck")
        assert queue.snapshot().counts()[TaskState.IN_PROGRESS] == 1
        queue.complete(lease, DONE, 1.0)


def test_the_same_plan_again_changes_nothing(queue: Queue):
    with alive(queue):
        queue.complete(queue.claim("A"), DONE, 1.0)
    before = queue.path.read_bytes()
    other = Queue.open(queue.path)
    assert str(other.sync(plan(2, 3), {"end": "2024-02-29"})) == "10 tasks kept"
    assert queue.path.read_bytes() == before


def test_a_done_task_whose_output_is_gone_is_pending_again(queue: Queue, tmp_path: Path):
    output = tmp_path / "layer"
    output.touch()
    with alive(queue):
        queue.complete(queue.claim("A"), Outcome(TaskResult.DONE, output=str(output)), 1.0)
    assert queue.resume({"end": "2024-02-29"}).again == 0
    output.unlink()
    assert queue.resume({"end": "2024-02-29"}).again == 1


def test_other_settings_are_refused_while_workers_are_alive(queue: Queue):
    with alive(queue), pytest.raises(UsageError, match="A are at work"):
        Queue.open(queue.path).sync(plan(1, 1), {"end": "2024-03-31"})


def test_a_worker_stops_when_the_queue_became_about_something_else(queue: Queue):
    Queue.open(queue.path).sync(plan(1, 1), {"end": "2024-03-31"})
    with pytest.raises(QueueError, match="another command"):
        queue.claim("A")


def test_a_state_of_an_earlier_release_is_read_and_merged_with_a_plan(tmp_path: Path):
    """It does not tell what tasks need, and its small types are a task a month."""
    path = tmp_path / "old.json"
    done = {"state": "done", "basis": "k", "at": "2024-03-01T00:00:00.000Z", "built": True}
    names = ("month/klines:1m/X/2024-02", "month/metrics/X/2024-02", "hourly/metrics/X")
    old = {
        "format": "alphaqcm queue",
        "version": 1,
        "generation": "a",
        "revision": 9,
        "last_token": 7,
        "settings": {"shared_by": 3},
        "tasks": dict.fromkeys(names, done),
    }
    path.write_text(json.dumps(old))
    queue = Queue.open(path, options=QueueOptions(say=lambda _: None))
    assert queue.resume({"shared_by": 3}) is None  # its graph is not known: a plan is needed
    year = "month/metrics/X/2024"
    planned = [
        Planned("month/klines:1m/X/2024-02", 1, "k"),
        Planned(year, 1, "k"),
        Planned("hourly/metrics/X", 1, "k", (year,)),
    ]
    merged = queue.sync(planned, {})
    states = {entry.id: entry.state for entry in queue.snapshot().entries}
    assert states == {
        "month/klines:1m/X/2024-02": TaskState.DONE,
        year: TaskState.PENDING,
        "hourly/metrics/X": TaskState.PENDING,
    }
    assert (merged.kept, merged.added, merged.again, merged.dropped) == (1, 1, 1, 1)
    assert queue.snapshot().knows_needs
