"""Copies of what a command reads of a data root in an object store, and its verdict put back."""

from __future__ import annotations

import argparse
import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from alphaqcm.data_collection.archive.ledger import Ledger
from alphaqcm.data_collection.archive.objects.ledger_parts import LedgerParts
from alphaqcm.data_collection.archive.objects.object_store import ObjectStore
from alphaqcm.data_collection.commands.output import tell
from alphaqcm.data_collection.errors import StoreError
from alphaqcm.pipeline.errors import Conflict
from alphaqcm.pipeline.storage.layout import LAYERS, Layout

_TABLES = "final_dataset*_all.*"
_STATE = "_tmp/*.json"


def _tables(arguments: argparse.Namespace, key: str) -> bool:
    """What `info` reads: tables and manifests, unless it follows them to the archive's files."""
    whole = arguments.files or arguments.market != "um"
    return whole or fnmatchcase(key.rpartition("/")[2], _TABLES)


def _queried(arguments: argparse.Namespace, key: str) -> bool:
    """What `sql` reads: the layers that the query names, all where it names none."""
    named = {one for one in LAYERS if one.view and re.search(rf"\b{one.view}\b", arguments.query)}
    folders = {one.folder for one in named}
    if re.search(r"\bfinal", arguments.query) and fnmatchcase(key.rpartition("/")[2], _TABLES):
        return True
    if not folders and not re.search(r"\bfinal", arguments.query):
        return not key.startswith("_tmp/binance_vision/")
    parts = key.split("/")
    return parts[0] in folders or parts[1 % len(parts)] in folders


def _everything(_arguments: argparse.Namespace, key: str) -> bool:
    return not key.startswith(("_tmp/ledger/", "_tmp/lease.json"))


def _nothing(_arguments: argparse.Namespace, _key: str) -> bool:
    return False


_COPIED: Mapping[str, Callable[[argparse.Namespace, str], bool]] = {
    "info": _tables,
    "sql": _queried,
    "check": _everything,
    "verify": _everything,
    "plan": _nothing,
    "columns": _nothing,
}
"""Commands that read, and of which objects they need copies besides the state."""


@contextlib.contextmanager
def copied(name: str, arguments: argparse.Namespace, store: ObjectStore) -> Iterator[None]:
    """Copy what the command `name` reads into the store's folder; `check` may leave a verdict.

    Raises `StoreError`, `DiskFull`.
    """
    manifest = Layout(store.root).final_table().with_suffix(".manifest.json")
    before = store.read_version(manifest) if name == "check" else None
    _copy(store, lambda key: _COPIED[name](arguments, key))
    yield
    if before is not None:
        _give_back(store, manifest, *before)


def _copy(store: ObjectStore, wanted: Callable[[str], bool]) -> None:
    """Copy the state, the ledger and what is wanted."""
    store.bring_below(
        store.root,
        lambda path: (
            (fnmatchcase(key := store.key(path), _STATE) and not key.endswith("lease.json"))
            or wanted(key)
        ),
    )
    layout = Layout(store.root)
    with Ledger(layout.ledger_dir) as ledger:
        LedgerParts(store, layout.temp / "ledger").restore(ledger)


def _give_back(store: ObjectStore, manifest: Path, before: bytes, version: str) -> None:
    """Put the verdict that `check` wrote into the copy beside the table, where it is the same."""
    now = manifest.read_bytes()
    if now == before:
        return
    try:
        store.put_if(manifest, now, version)
    except (Conflict, StoreError) as error:
        tell(f"the verdict is not kept beside the table: {error}")
