"""Digests of files that were written without one: a small text file beside them.

Releases before 0.2.0 wrote no digests. When such a data root is first worked on, what is kept here
tells from then on whether a byte changed. A line a file; each proves itself, so that a flipped bit
costs one entry and not all.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import xxhash

from alphaqcm.pipeline.storage.file_store import LOCAL, FileStore

NAME = ".digests"


def kept_digests(folder: Path, store: FileStore = LOCAL) -> Mapping[str, str] | None:
    """File name -> digest of what was kept in `folder`; None where nothing was."""
    stat = store.stat(folder / NAME)
    return None if stat is None else _read(folder, stat.version, store)


@lru_cache(256)
def _read(folder: Path, _version: tuple[int, ...], store: FileStore) -> Mapping[str, str]:
    kept = {}
    for line in (store.read(folder / NAME) or b"").decode("utf-8", "replace").splitlines():
        digest, _, rest = line.partition(" ")
        own, _, name = rest.partition(" ")
        if own == _own(digest, name):
            kept[name] = digest
    return kept


def keep_digests(folder: Path, digests: Mapping[str, str], store: FileStore = LOCAL) -> None:
    """Keep these in place of what was kept; raises `LayerError`, `DiskFull`."""
    lines = (f"{digests[name]} {_own(digests[name], name)} {name}\n" for name in sorted(digests))
    store.replace(folder / NAME, "".join(lines).encode())


def _own(digest: str, name: str) -> str:
    return xxhash.xxh3_64_hexdigest(f"{digest} {name}".encode())
