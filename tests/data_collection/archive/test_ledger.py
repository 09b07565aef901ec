"""The ledger where several open it at the same instant."""

from __future__ import annotations

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from filelock import FileLock

from alphaqcm.data_collection.archive.ledger import FILE_NAME, FileRecord, FileState, Ledger
from alphaqcm.data_collection.errors import CacheError


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
