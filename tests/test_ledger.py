"""The ledger where several open it at the same instant."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from data_collection.ledger import Ledger, Record, State


def test_a_new_ledger_may_be_opened_by_many_at_once(tmp_path: Path) -> None:
    crew = 6
    for turn in range(30):
        gate = threading.Barrier(crew)
        cache = tmp_path / f"{turn}"

        def join(name: int, gate: threading.Barrier = gate, cache: Path = cache) -> None:
            gate.wait()
            with Ledger(cache) as ledger:
                ledger.put([Record(f"{name}", State.OK)])

        with ThreadPoolExecutor(crew) as pool:
            list(pool.map(join, range(crew)))
        with Ledger(cache) as ledger:
            assert [record.key for record in ledger.select()] == [f"{n}" for n in range(crew)]
