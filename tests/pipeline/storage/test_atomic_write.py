"""Files that appear whole or not at all: what is synced when, in which order, and what is kept."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from alphaqcm.pipeline.errors import LayerError
from alphaqcm.pipeline.storage.atomic_write import AtomicBatch, atomic_write, clean_temps


@pytest.fixture
def synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str | None]]:
    """Each fsync as it happens: what was synced, and what `a` held at that moment."""
    seen: list[tuple[str, str | None]] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        target = tmp_path / "a"
        what = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        seen.append((what, target.read_text() if target.exists() else None))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    return seen


def test_a_file_is_synced_before_it_takes_its_place_and_its_folder_after(
    tmp_path: Path, synced: list[tuple[str, str | None]]
) -> None:
    (tmp_path / "a").write_text("old")
    with atomic_write(tmp_path / "a") as temp:
        temp.write_text("new")
    assert synced == [("file", "old"), ("folder", "new")]


def test_all_files_of_a_batch_are_synced_before_the_first_appears(
    tmp_path: Path, synced: list[tuple[str, str | None]]
) -> None:
    with AtomicBatch() as batch:
        for name in ("a", "b", "c"):
            batch.add(tmp_path / name).write_text(name)
        batch.commit()
    assert synced == [("file", None)] * 3 + [("folder", "a")]


def test_the_folder_of_every_file_is_synced(
    tmp_path: Path, synced: list[tuple[str, str | None]]
) -> None:
    with AtomicBatch() as batch:
        for name in ("x/a", "y/b"):
            batch.add(tmp_path / name).write_text(name)
        batch.commit()
    assert [what for what, _ in synced].count("folder") == 2


@pytest.mark.parametrize(("blocked", "there"), [("first", []), ("second", ["first"])])
def test_files_appear_in_the_order_in_which_they_were_added(
    tmp_path: Path, blocked: str, there: list[str]
) -> None:
    (tmp_path / blocked / "a directory cannot be replaced").mkdir(parents=True)
    with pytest.raises(LayerError), AtomicBatch() as batch:
        for name in ("first", "second"):
            batch.add(tmp_path / name).write_text("new")
        batch.commit()
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == there


def test_a_block_that_is_left_by_an_error_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    with pytest.raises(KeyError), atomic_write(tmp_path / "a") as temp:
        temp.write_text("new")
        raise KeyError
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a", "old")]


def test_a_hook_that_refuses_leaves_the_old_file(tmp_path: Path) -> None:
    @contextlib.contextmanager
    def refuse() -> Iterator[None]:
        raise KeyError
        yield

    (tmp_path / "a").write_text("old")
    with pytest.raises(KeyError), atomic_write(tmp_path / "a", refuse) as temp:
        temp.write_text("new")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a", "old")]


def test_cleaning_leaves_the_temp_files_of_living_writers(tmp_path: Path) -> None:
    with AtomicBatch() as batch:
        temp = batch.add(tmp_path / "a")
        assert clean_temps(tmp_path) == 0
        assert temp.exists()


@pytest.mark.process
def test_cleaning_removes_the_temp_files_of_dead_writers(tmp_path: Path) -> None:
    process = os.fork()
    if process == 0:  # dies without any clean-up
        AtomicBatch().add(tmp_path / "folder" / "a")
        os._exit(0)
    os.waitpid(process, 0)
    assert len(list(tmp_path.rglob(".a.*"))) == 1
    assert clean_temps(tmp_path) == 1
    assert list(tmp_path.rglob(".a.*")) == []


def test_a_temp_file_that_was_cleaned_away_before_it_was_locked_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = fcntl.flock, []

    def flock(descriptor: int, operation: int) -> None:
        if not calls:  # the moment between making and locking it
            Path(f"/proc/self/fd/{descriptor}").readlink().unlink()
        calls.append(operation)
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    with atomic_write(tmp_path / "a") as temp:
        temp.write_text("whole")
    assert (tmp_path / "a").read_text() == "whole"


def test_files_can_be_read_by_others(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "a") as temp:
        temp.write_text("x")
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644
