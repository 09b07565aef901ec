"""The ledger where several open it at the same instant."""

from __future__ import annotations

import json
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from filelock import FileLock

from alphaqcm.data_collection.archive.file_record import FileRecord, FileState
from alphaqcm.data_collection.archive.ledger import FILE_NAME, Ledger
from alphaqcm.data_collection.errors import CacheError
from alphaqcm.pipeline.storage.layout import Layout
from tests.helpers.read_only import alphaqcm_on_read_only


@pytest.mark.slow
def test_a_new_ledger_may_be_opened_by_many_at_once(tmp_path: Path) -> None:
    crew = 6
    for turn in range(30):
        gate = threading.Barrier(crew)
        cache = tmp_path / f"{turn}"

        def join(name: int, gate: threading.Barrier = gate, cache: Path = cache) -> None:
            gate.wait()
            with Ledger(cache) as ledger:
                ledger.put([FileRecord(f"{name}", FileState.OK)])

        with ThreadPoolExecutor(crew) as pool:
            list(pool.map(join, range(crew)))
        with Ledger(cache) as ledger:
            assert [record.key for record in ledger.select()] == [f"{n}" for n in range(crew)]


def test_a_new_ledger_that_somebody_is_making_is_not_waited_for_without_end(
    tmp_path: Path,
) -> None:
    with (
        FileLock(tmp_path / f"{FILE_NAME}.lock"),
        pytest.raises(CacheError, match="another process holds it"),
    ):
        Ledger(tmp_path, patience=0.1)


def test_a_ledger_that_another_process_holds_is_not_called_damaged(tmp_path: Path) -> None:
    with Ledger(tmp_path, patience=0.1) as ledger:
        with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(CacheError, match="another process holds it"):
                ledger.put([FileRecord("a", FileState.OK)])
            other.execute("ROLLBACK")
        ledger.put([FileRecord("a", FileState.OK)])


def record(key: str) -> FileRecord:
    return FileRecord(key, FileState.OK, 5, "ab" * 32, missing_days="2024-02-02", seen_at="now")


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("key", "n"),
        ("state", "ok2"),
        ("size", 4),
        ("sha256", "aa"),
        ("missing_days", "2024-02-03"),
        ("missing_days", "2024-02/02"),
        ("digest", "00"),
    ],
)
def test_a_damaged_row_tells_nothing(tmp_path: Path, column: str, value: object) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.put([record("a"), record("m"), record("z")])
        with closing(sqlite3.connect(ledger.path, isolation_level=None)) as other:
            other.execute(f"UPDATE files SET {column} = ? WHERE key = 'm'", (value,))
        assert [one.key for one in ledger.select()] == ["a", "z"]
        assert ledger.get("m") is ledger.get("n") is None
        assert list(ledger.get_many(["a", "m", "n"])) == ["a"]
        ledger.note("m", rows=7)
        assert ledger.get("m") == FileRecord("m", FileState.OK, rows=7)


@pytest.mark.parametrize(("column", "value"), [("seen_at", 8.0), ("entries", b"xy")])
def test_a_damaged_listing_is_no_listing(tmp_path: Path, column: str, value: object) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.put_listing("source", "prefix", 7, b"xx")
        assert ledger.listing("source", "prefix") == (7.0, b"xx")
        with closing(sqlite3.connect(ledger.path, isolation_level=None)) as other:
            other.execute(f"UPDATE listings SET {column} = ?", (value,))
        assert ledger.listing("source", "prefix") is None


def without_digests(cache: Path) -> None:
    """A ledger as versions wrote it whose rows had none."""
    with Ledger(cache) as ledger:
        ledger.put([record("a"), record("m")])
        ledger.put_listing("source", "prefix", 7.0, b"xx")
    with closing(sqlite3.connect(cache / FILE_NAME, isolation_level=None)) as other:
        other.execute("ALTER TABLE files DROP COLUMN digest")
        other.execute("ALTER TABLE listings DROP COLUMN digest")


def test_a_ledger_without_digests_is_adopted(tmp_path: Path) -> None:
    without_digests(tmp_path)
    with Ledger(tmp_path) as ledger:
        assert list(ledger.select()) == [record("a"), record("m")]
        assert ledger.listing("source", "prefix") == (7.0, b"xx")


@pytest.mark.process
def test_a_ledger_without_digests_is_read_where_nothing_can_be_written(tmp_path: Path) -> None:
    without_digests(Layout(tmp_path).ledger_dir)
    done = alphaqcm_on_read_only(tmp_path, "ledger", "--data-root", tmp_path, "--json")
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["key"] for line in done.stdout.splitlines()] == ["a", "m"]


def test_keys_out_of_order_do_not_read_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alphaqcm.data_collection.archive.ledger._PIECE", 2)
    with Ledger(tmp_path) as ledger:
        ledger.put([record(f"aaaa{n}") for n in range(1, 6)])
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = (tmp_path / FILE_NAME).read_bytes()
    (tmp_path / FILE_NAME).write_bytes(data.replace(b"aaaa4", b"AAAA4"))
    with Ledger(tmp_path) as ledger, pytest.raises(CacheError, match="out of order"):
        list(ledger.select())
