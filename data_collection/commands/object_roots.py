"""`--data-root s3://…`: a command works in a passing folder, its layers go to and from the store.

Commands that only read get a copy of what they read; see `_COPIED`.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator

from alphaqcm.data_collection.archive.object_store import open_store
from alphaqcm.data_collection.commands.command import Command
from alphaqcm.data_collection.commands.values import StoreUrl
from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.process.scratch import scratch_folder

_WORKING = ("run",)
"""Commands that write to the store themselves."""


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
    if command.name not in _WORKING:
        raise UsageError(
            f"{command.name} --data-root {root}",
            expected="a folder of this machine: this command works on no object store",
            next_step="those that do: " + ", ".join(_WORKING),
        )
    with scratch_folder(getattr(arguments, "scratch", None)) as folder:
        arguments.store, arguments.data_root = str(root).rstrip("/"), folder
        open_store(arguments.store, folder)
        yield
