"""The journal of a large queue: cut, flipped, left behind, put back, it tells no wrong state."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from alphaqcm.data_collection.errors import QueueError
from alphaqcm.data_collection.queue.journal import journal_path
from alphaqcm.data_collection.queue.options import QueueOptions
from alphaqcm.data_collection.queue.shared_queue import Queue
from alphaqcm.data_collection.queue.state import QueueState, TaskState
from alphaqcm.data_collection.queue.state_file import Damaged
from alphaqcm.data_collection.queue.task import Outcome, TaskResult
from alphaqcm.pipeline.errors import DiskFull
from tests.data_collection.queue.test_state_file import alive, fill, small_disk
from tests.helpers.queue_workers import plan

DONE = Outcome(TaskResult.DONE, True, 1, 2, 3, notes=("a note\nof two lines",))
SETTINGS = {"end": "2024-02-29"}


def opened(path: Path, say: Callable[[str], object] = lambda _: None) -> Queue:
    """As another process opens it: it knows nothing yet."""
    return Queue.open(path, options=QueueOptions(say=say, journal_from=0))  # type: ignore[arg-type]


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    made = opened(tmp_path / "state.json")
    made.sync(plan(2, 3), SETTINGS)
    return made


def steps(queue: Queue, count: int) -> list[QueueState]:
    """Claim and complete; the state after each step."""
    seen = [opened(queue.path).snapshot()]
    with alive(queue):
        for _ in range(count):
            lease = queue.claim("A")
            seen.append(opened(queue.path).snapshot())
            assert lease is not None
            queue.complete(lease, DONE, 1.5)
            seen.append(opened(queue.path).snapshot())
    return seen


def test_steps_go_into_the_journal_and_others_read_them(queue: Queue) -> None:
    whole = queue.path.read_bytes()
    other = opened(queue.path)
    other.join()
    seen = steps(queue, 3)
    assert queue.path.read_bytes() == whole
    assert len(journal_path(queue.path).read_bytes().splitlines()) == 7  # its head, and six steps
    assert seen[-1].counts()[TaskState.DONE] == 3
    assert other.snapshot() == queue.snapshot() == seen[-1]
    assert other.snapshot().indexed().ready == seen[-1].indexed().ready


def test_a_worker_that_ends_leaves_the_state_whole_in_one_file(queue: Queue) -> None:
    last = steps(queue, 3)[-1]
    queue.settle_journal()
    assert not journal_path(queue.path).exists()
    told = json.loads(queue.path.read_bytes())["tasks"]
    assert sum(task["state"] == "done" for task in told.values()) == 3
    assert opened(queue.path).snapshot() == last


def test_a_long_journal_is_written_into_the_file(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alphaqcm.data_collection.queue.state_file._JOURNAL_BYTES", 1_000)
    steps(queue, 5)
    assert journal_path(queue.path).stat().st_size < 2_000
    assert json.loads(queue.path.read_bytes())["last_token"] > 0


def test_a_last_line_cut_anywhere_is_a_step_that_did_not_happen(queue: Queue) -> None:
    *_, before, _ = steps(queue, 2)
    data = journal_path(queue.path).read_bytes()
    last = data.rstrip(b"\n").rfind(b"\n") + 1
    for end in range(last, len(data)):
        journal_path(queue.path).write_bytes(data[:end])
        assert opened(queue.path).snapshot() == before
    journal_path(queue.path).write_bytes(data[:-1] + b" ")  # written, and not made to count
    assert opened(queue.path).snapshot() == before
    with alive(queue, "B"):
        late = opened(queue.path)
        late.join()
        late.begin("A")
        assert late.claim("B") is not None
    assert opened(queue.path).snapshot().last_token == before.last_token + 1


def test_what_holds_at_the_second_look_is_no_damage(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = steps(queue, 2)[-1]
    path = journal_path(queue.path)
    data = path.read_bytes()
    path.write_bytes(data[:-40] + b"half written" + data[-28:])
    pauses = []

    def written_meanwhile(seconds: float) -> None:
        pauses.append(seconds)
        path.write_bytes(data)

    monkeypatch.setattr("alphaqcm.data_collection.queue.state_file.time.sleep", written_meanwhile)
    assert opened(queue.path).snapshot() == sound
    assert len(pauses) == 1


@pytest.mark.slow
@pytest.mark.parametrize("which", ["the state", "its journal"])
def test_no_flipped_bit_is_read_as_another_state(queue: Queue, which: str) -> None:
    sound = steps(queue, 2)[-1]
    path = queue.path if which == "the state" else journal_path(queue.path)
    data = path.read_bytes()
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        try:
            assert opened(queue.path).snapshot() == sound, bit
        except Damaged:
            continue


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data.replace(b'"done"', b'"dune"', 1),
        lambda data: data[:-1] + b"\r",
        lambda data: b"x" + data[1:],
        lambda data: os.urandom(200) + b"\n",
    ],
    ids=["a-letter", "its-last-byte", "its-head", "garbage"],
)
def test_a_damaged_journal_is_set_aside_and_old_leases_are_refused(
    queue: Queue, damage: Callable[[bytes], bytes]
) -> None:
    said: list[str] = []
    worker = opened(queue.path, said.append)
    worker.join()
    with alive(worker):
        worker.complete(worker.claim("A"), DONE, 1.0)
        lease = worker.claim("A")
        bad = damage(journal_path(queue.path).read_bytes())
        journal_path(queue.path).write_bytes(bad)
        other = opened(queue.path, said.append)
        with pytest.raises(Damaged, match="journal that does not hold"):
            other.snapshot()
        assert str(other.sync(plan(2, 3), SETTINGS)) == "new queue of 10 tasks"
        with pytest.raises(QueueError, match="made anew"):
            worker.complete(lease, DONE, 1.0)
    aside = next(queue.path.parent.glob("state.json.damaged-*.journal"))
    assert aside.read_bytes() == bad
    assert "set aside" in said[0]
    assert opened(queue.path).snapshot().counts()[TaskState.DONE] == 0


def test_a_journal_that_is_gone_is_damage_to_who_knew_it(queue: Queue) -> None:
    steps(queue, 1)
    journal_path(queue.path).unlink()
    with alive(queue):
        assert queue.claim("A") is not None
    assert list(queue.path.parent.glob("state.json.damaged-*"))


def test_a_journal_left_behind_by_a_kill_is_none_of_the_new_file(queue: Queue) -> None:
    last = steps(queue, 2)[-1]
    left = journal_path(queue.path).read_bytes()
    queue.settle_journal()
    journal_path(queue.path).write_bytes(left)  # killed between the rename and the removal
    assert opened(queue.path).snapshot() == last
    assert steps(opened(queue.path), 2)[-1].counts()[TaskState.DONE] == 4


def test_backups_that_are_put_back_are_states_that_were(queue: Queue, tmp_path: Path) -> None:
    """The file alone, the journal alone, or both, from different times."""
    state, journal = queue.path, journal_path(queue.path)
    kept: list[tuple[Path, Path | None]] = []
    seen: list[QueueState] = []
    for number in range(3):
        seen += steps(opened(state), 1)
        folder = tmp_path / f"{number}"
        folder.mkdir()
        kept.append((shutil.copy(state, folder), shutil.copy(journal, folder)))
        if number == 1:
            kept.append((shutil.copy(state, folder / "s"), None))
            queue.snapshot()
            queue.settle_journal()
    for file, _ in kept:
        for _, other in kept:
            shutil.copy(file, state)
            journal.unlink(missing_ok=True)
            if other is not None:
                shutil.copy(other, journal)
            assert opened(state).snapshot() in seen
    with alive(queue):
        while (lease := queue.claim("A")) is not None:
            queue.complete(lease, DONE, 1.0)
    assert set(opened(state).snapshot().counts().values()) == {0, 10}


def test_a_failed_commit_leaves_no_line(queue: Queue) -> None:
    with alive(queue):
        lease = queue.claim("A")
        before = journal_path(queue.path).read_bytes()
        with pytest.raises(OSError, match="no such luck"), queue.committing(lease, DONE, 1.0):
            raise OSError("no such luck")
        assert journal_path(queue.path).read_bytes() == before
        queue.complete(lease, DONE, 1.0)
    assert opened(queue.path).snapshot().counts()[TaskState.DONE] == 1


@pytest.mark.process
def test_a_full_disk_shows_before_anything_is_renamed(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    with small_disk(folder, "400k"):
        queue = opened(folder / "state.json")
        queue.sync(plan(10, 30), {})
        with alive(queue):
            lease = queue.claim("A")
            before = opened(queue.path).snapshot()
            huge = Outcome(TaskResult.DONE, notes=("x" * 10_000,))
            filler = folder / "filler"
            fill(filler)
            renamed = False
            with pytest.raises(DiskFull, match="free some space"):  # noqa: SIM117
                with queue.committing(lease, huge, 1.0):
                    renamed = True
            assert not renamed
            assert opened(queue.path).snapshot() == before
            filler.unlink()
            queue.complete(lease, huge, 1.0)
        assert opened(queue.path).snapshot().counts()[TaskState.DONE] == 1
