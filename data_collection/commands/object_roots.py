"""`--data-root s3://…`: a command works in a passing folder; its layers lie in the store."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator

from alphaqcm.data_collection.commands.command import Command
from alphaqcm.data_collection.commands.grammar.values import StoreUrl
from alphaqcm.data_collection.errors import UsageError

_WRITING = ("run", "update")
_COPIED = ("info", "sql", "check", "verify", "plan", "columns")
"""Commands that read: they get copies of the files that they read."""


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
    # what follows imports libraries, which a command on a disk may not need
    from alphaqcm.data_collection.archive.objects.object_store import open_store
    from alphaqcm.data_collection.commands.object_copies import copied
    from alphaqcm.data_collection.process.scratch import scratch_folder

    with scratch_folder(getattr(arguments, "scratch", None)) as folder:
        arguments.store, arguments.data_root = str(root).rstrip("/"), folder
        store = open_store(arguments.store, folder)
        with copied(command.name, arguments, store) if command.name in _COPIED else _nothing():
            yield


@contextlib.contextmanager
def _nothing() -> Iterator[None]:
    yield
