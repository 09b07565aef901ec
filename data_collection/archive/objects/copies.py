"""Copies of objects on this machine's disk, for engines that open paths themselves."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from alphaqcm.data_collection.errors import StoreError
from alphaqcm.pipeline.errors import DiskFull
from alphaqcm.pipeline.storage.atomic_write import atomic_write
from alphaqcm.pipeline.storage.file_store import FileStat

if TYPE_CHECKING:
    from alphaqcm.data_collection.archive.objects.object_store import ObjectStore

_AT_ONCE = 8  # objects
_PIECE = 8 << 20  # bytes


class LocalCopies:
    """The copies that this process made below a store's folder; each lies at its object's path."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._held: dict[Path, tuple[int, ...]] = {}  # path -> version

    def bring(self, files: Sequence[tuple[Path, FileStat]]) -> None:
        """Copy those that are not held in this version; raises `DiskFull`, `StoreError`."""
        missing = [(path, stat) for path, stat in files if self._held.get(path) != stat.version]
        if not missing:
            return
        root = self._store.root
        root.mkdir(parents=True, exist_ok=True)
        needed, free = sum(stat.size for _, stat in missing), shutil.disk_usage(root).free
        if needed > free:
            raise DiskFull(
                root,
                expected=f"{needed / 1e9:,.1f} GB for copies of what is read",
                found=f"{free / 1e9:,.1f} GB free",
                next_step="fewer symbols or days, or another --scratch (TMPDIR)",
            )
        with ThreadPoolExecutor(_AT_ONCE, "bring") as pool:
            list(pool.map(lambda one: self._bring_one(*one), missing))

    def _bring_one(self, path: Path, stat: FileStat) -> None:
        if ".." in path.parts:  # whoever can write there shall not write here
            raise StoreError(self._store.url, expected="names of a data root", found=f"{path}")
        with self._store.open(path) as stream, atomic_write(path) as temp, temp.open("wb") as local:
            shutil.copyfileobj(stream, local, _PIECE)
        self._held[path] = stat.version
