"""The local file store: what every store promises, held against a real folder."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from alphaqcm.pipeline.errors import Conflict, LayerError
from alphaqcm.pipeline.storage.file_store import LOCAL, FileStore

STORE: FileStore = LOCAL


def test_what_is_not_there_is_none_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "a"
    assert (STORE.read(path), STORE.stat(path), list(STORE.list(path.parent))) == (None, None, [])
    STORE.delete(path)
    with pytest.raises(LayerError):
        STORE.open(path)


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "a"
    STORE.replace(path, b"old")
    with STORE.open(path) as reader:
        STORE.replace(path, b"new and longer")
        assert reader.read() == b"old"  # who reads keeps what it opened
    assert STORE.read(path) == b"new and longer"
    found = STORE.stat(path)
    assert found is not None
    assert found.size == 14


def test_lists_are_sorted_and_without_the_working_files_of_writers(tmp_path: Path) -> None:
    for name in ("b", "a", "c.csv"):
        STORE.replace(tmp_path / name, b"")
    with STORE.batch() as batch:
        batch.add(tmp_path / "d")
        assert [path.name for path in STORE.list(tmp_path)] == ["a", "b", "c.csv"]
        assert [path.name for path in STORE.list(tmp_path, "*.csv")] == ["c.csv"]


def test_names_with_pattern_letters_are_taken_as_they_are(tmp_path: Path) -> None:
    folder = tmp_path / "data [1] *?"
    STORE.replace(folder / "a", b"")
    assert [path.name for path in STORE.list(folder)] == ["a"]


def test_a_conditional_write_needs_the_version_that_is_there(tmp_path: Path) -> None:
    path = tmp_path / "a"
    first = STORE.put_if(path, b"1", None)
    with pytest.raises(Conflict):
        STORE.put_if(path, b"2", None)
    second = STORE.put_if(path, b"2", first)
    with pytest.raises(Conflict):
        STORE.put_if(path, b"3", first)
    STORE.put_if(path, b"3", second)
    assert STORE.read(path) == b"3"


def test_of_many_conditional_writers_one_wins(tmp_path: Path) -> None:
    def put(number: int) -> bool:
        try:
            STORE.put_if(tmp_path / "a", f"{number}".encode(), None)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(put, range(16)))
    assert won.count(True) == 1
    assert STORE.read(tmp_path / "a") == f"{won.index(True)}".encode()
