"""A data root in an object store while a command works on it: held, its ledger at hand.

Layers go from and to the store; the passing folder has the ledger's file, logs, locks and what is
being downloaded, and goes with the process.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from alphaqcm.data_collection.archive.file_record import FileRecord
from alphaqcm.data_collection.archive.ledger import Ledger
from alphaqcm.data_collection.archive.objects.lease import hold_store
from alphaqcm.data_collection.archive.objects.ledger_parts import LedgerParts
from alphaqcm.data_collection.archive.objects.object_store import ObjectStore, open_store
from alphaqcm.data_collection.build.settings import RunSettings
from alphaqcm.pipeline.storage.layout import Layout

_KEEP_EVERY = 30.0  # seconds between two parts: what a killed client has to ask for again


@dataclass(slots=True)
class ObjectRoot:
    """What a command needs besides the layers."""

    store: ObjectStore
    parts: LedgerParts
    ledger_dir: Path
    _kept_at: float = field(default_factory=time.monotonic)

    def keep_ledger(self) -> None:
        """Write what the ledger has that the store has not; `StoreError`."""
        with Ledger(self.ledger_dir) as ledger:
            self.parts.keep(ledger)
        self._kept_at = time.monotonic()

    def note(self, records: Sequence[FileRecord]) -> None:
        """Take over what other processes learned of archive files."""
        if records:
            with Ledger(self.ledger_dir) as ledger:
                ledger.put(records)

    def now_and_then(self) -> None:
        """Keep the ledger, unless that was done a moment ago."""
        if time.monotonic() - self._kept_at > _KEEP_EVERY:
            self.keep_ledger()


@contextlib.contextmanager
def hold_object_root(settings: RunSettings, *, lease: bool = True) -> Iterator[ObjectRoot | None]:
    """Hold the data root of `settings` alone where it lies in an object store, else give None.

    Raises `RootBusy`, `StoreError`; the block may raise `LeaseLost` where it writes.
    """
    if not settings.store:
        yield None
        return
    store = open_store(settings.store, settings.root)
    with hold_store(store, lease=lease):
        root = restored(settings)
        try:
            yield root
        finally:
            root.keep_ledger()


def restored(settings: RunSettings) -> ObjectRoot:
    """The data root of `settings`, which lies in an object store, with its ledger at hand."""
    store, layout = open_store(settings.store, settings.root), Layout(settings.root)
    root = ObjectRoot(store, LedgerParts(store, layout.temp / "ledger"), layout.ledger_dir)
    with Ledger(layout.ledger_dir) as ledger:
        root.parts.restore(ledger)
    return root
