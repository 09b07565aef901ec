"""Large files that were read whole and held against their digest, by the version they had then.

Whoever only asks whether a file is current need not read gigabytes again while nobody has touched
it: same inode, size, time of content and time of change. A disk that flips a bit by itself changes
none of these. So this is no proof for whoever takes rows or a digest of bytes from a file: they
read and prove it, always; and what is kept here is good for a week.

A line a file, each with its own check: a flipped bit costs one entry.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

import xxhash

from alphaqcm.pipeline.storage.file_store import LOCAL, FileStat, FileStore

LEAST_BYTES = 1 << 16
"""Smaller files are read: that costs no more than to look them up."""
MAX_DAYS = 7

_TEXT = ("utf-8", "surrogateescape")  # names of files can hold any byte
_SETTLED_NS = 2_000_000_000
"""A file changed this short before the look may change again within one tick of its clock."""


@dataclass(slots=True)
class ProvenVersions:
    """What is kept in `path` of files below `root`; `today` is the day's ordinal.

    `now_ns` is the time in ns since 1970, when the looking begins. Files of the folder `published`
    itself are never kept: what is handed to users is read each time.
    """

    path: Path
    root: Path
    today: int
    now_ns: int
    store: FileStore = LOCAL
    published: Path | None = None
    _known: dict[str, tuple[str, str, int]] = field(default_factory=dict)  # version, digest, day
    _changed: bool = False

    def load(self) -> None:
        """Read what is kept; damaged and old lines are left out."""
        for line in (self.store.read(self.path) or b"").decode(*_TEXT).splitlines():
            check, _, rest = line.partition(" ")
            if check != _check(rest):
                continue
            digest, day, version, name = rest.split(" ", 3)
            if 0 <= self.today - int(day) < MAX_DAYS:
                self._known[name] = (version, digest, int(day))

    def save(self) -> None:
        """Keep what is known now; raises `LayerError`, `DiskFull`."""
        if self._changed:
            self.store.replace(self.path, "".join(self._lines()).encode(*_TEXT))

    def forget(self) -> None:
        """Keep nothing: something was not what it was taken for."""
        self._known.clear()
        self._changed = False
        self.store.delete(self.path)

    def digest_of(self, path: Path, stat: FileStat) -> str:
        """The digest that was proven of this very version; empty where none was."""
        version, digest, _ = self._known.get(self._name(path), ("", "", 0))
        return digest if version == _version(stat) else ""

    def add(self, path: Path, stat: FileStat, digest: str) -> None:
        """The file had the digest; `stat` is of before it was read."""
        if stat.size < LEAST_BYTES or max(stat.version[-2:]) > self.now_ns - _SETTLED_NS:
            return
        if path.parent == self.published:
            return
        name, version = self._name(path), _version(stat)
        if self._known.get(name, ("", "", 0))[:2] != (version, digest):
            self._known[name] = (version, digest, self.today)
            self._changed = True

    def _name(self, path: Path) -> str:
        return str(path).removeprefix(f"{self.root}/")

    def _lines(self) -> Iterator[str]:
        for name, (version, digest, day) in sorted(self._known.items()):
            if "\n" not in name:
                rest = f"{digest} {day} {version} {name}"
                yield f"{_check(rest)} {rest}\n"


_lately: ContextVar[ProvenVersions | None] = ContextVar("lately proven", default=None)


@contextmanager
def trusting(proven: ProvenVersions) -> Iterator[None]:
    """Within the block its word is taken for whether files are current; see `verified_read`."""
    token = _lately.set(proven)
    try:
        yield
    finally:
        _lately.reset(token)


def lately_proven() -> ProvenVersions | None:
    """What is trusted now, None where everything is to be read."""
    return _lately.get()


def _version(stat: FileStat) -> str:
    return ".".join(map(str, stat.version))


def _check(text: str) -> str:
    return xxhash.xxh3_64_hexdigest(text.encode(*_TEXT))
