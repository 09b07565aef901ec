"""`--data-root s3://…`: a command works in a passing folder, its layers go to and from the store.

Commands that only read get copies of the files that they read.
"""

from __future__ import annotations

import argparse
import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from alphaqcm.data_collection.archive.ledger import Ledger
from alphaqcm.data_collection.archive.ledger_parts import LedgerParts
from alphaqcm.data_collection.archive.object_store import ObjectStore, open_store
from alphaqcm.data_collection.commands.command import Command
from alphaqcm.data_collection.commands.output import tell
from alphaqcm.data_collection.commands.values import StoreUrl
from alphaqcm.data_collection.errors import StoreError, UsageError
from alphaqcm.data_collection.process.scratch import scratch_folder
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


_WRITING = ("run", "update")
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
def passing_folder(command: Command, arguments: argparse.Namespace) -> Iterator[None]:
    """Where the data root is a URL, put a folder in its place; `arguments.store` is the URL.

    Raises `UsageError`, `StoreError`.
    """
    root = getattr(arguments, "data_root", None)
    if not isinstance(root, StoreUrl):
        arguments.store = ""
        yield
        return
    if command.name not in (*_WRITING, *_COPIED):
        raise UsageError(
            f"{command.name} --data-root {root}",
            expected="a folder of this machine: this command works on no object store",
            next_step="those that do: " + ", ".join((*_WRITING, *_COPIED)),
        )
    with scratch_folder(getattr(arguments, "scratch", None)) as folder:
        arguments.store, arguments.data_root = str(root).rstrip("/"), folder
        store = open_store(arguments.store, folder)
        if command.name in _COPIED:
            manifest = Layout(folder).final_table().with_suffix(".manifest.json")
            before = store.read_version(manifest) if command.name == "check" else None
            _copy(store, lambda key: _COPIED[command.name](arguments, key))
            yield
            if before is not None:
                _give_back(store, manifest, *before)
            return
        yield


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
