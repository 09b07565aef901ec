"""What a mirror serves: the keys below a directory, or a bare list of keys, as S3 listing pages."""

from __future__ import annotations

import hashlib
import os
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol
from xml.sax.saxutils import escape

PAGE = 1000
"""Most keys and folders on one listing page."""


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """One object: key, size in bytes, ETag without quotes, time of the last change (UTC)."""

    key: str
    size: int
    etag: str
    last_modified: datetime


class Tree(Protocol):
    """A set of objects under keys."""

    def scan(self, prefix: str, *, folded: bool) -> list[str]:
        """Keys that start with `prefix`, sorted; `folded` at the next `/` to folder names."""
        ...

    def entry(self, key: str) -> TreeEntry | None:
        """The object of `key`, None where there is none."""
        ...

    def path(self, key: str) -> Path | None:
        """The file that holds the object's bytes, None where there is none."""
        ...


class DirectoryTree:
    """The files below a directory; their paths below it are the keys."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._digests: dict[str, tuple[int, int, str]] = {}

    def scan(self, prefix: str, *, folded: bool) -> list[str]:
        """See `Tree`."""
        folder = prefix[: prefix.rfind("/") + 1]
        names = self._children(folder) if folded else self._files(folder)
        return sorted(name for name in names if name.startswith(prefix))

    def _children(self, folder: str) -> Iterator[str]:
        place = self._inside(folder)
        if place is None or not place.is_dir():
            return
        with os.scandir(place) as found:
            for item in found:
                yield folder + item.name + ("/" if item.is_dir() else "")

    def _files(self, folder: str) -> Iterator[str]:
        place = self._inside(folder)
        if place is None:
            return
        for base, _, names in os.walk(place):
            below = Path(base).relative_to(self.root).as_posix()
            for name in names:
                yield name if below == "." else f"{below}/{name}"

    def entry(self, key: str) -> TreeEntry | None:
        """See `Tree`; the ETag is the MD5 of the bytes, as S3 gives it."""
        path = self.path(key)
        if path is None:
            return None
        stat = path.stat()
        known = self._digests.get(key)
        if known is None or known[:2] != (stat.st_mtime_ns, stat.st_size):
            with path.open("rb") as stream:
                digest = hashlib.file_digest(stream, _md5).hexdigest()
            known = (stat.st_mtime_ns, stat.st_size, digest)
            self._digests[key] = known
        return TreeEntry(key, stat.st_size, known[2], datetime.fromtimestamp(stat.st_mtime, UTC))

    def path(self, key: str) -> Path | None:
        """See `Tree`."""
        path = self._inside(key)
        return path if path is not None and path.is_file() else None

    def _inside(self, key: str) -> Path | None:
        path = Path(os.path.normpath(self.root / key))
        return path if path.is_relative_to(self.root) else None


def _md5() -> hashlib._Hash:
    return hashlib.md5(usedforsecurity=False)


class KeyTree:
    """Keys without bytes: only their listing can be served."""

    def __init__(self, entries: Iterable[TreeEntry]) -> None:
        self._entries = {entry.key: entry for entry in entries}
        self._keys = sorted(self._entries)

    def scan(self, prefix: str, *, folded: bool) -> list[str]:
        """See `Tree`."""
        found: list[str] = []
        for key in self._keys[bisect_left(self._keys, prefix) :]:
            if not key.startswith(prefix):
                break
            cut = key.find("/", len(prefix)) if folded else -1
            name = key if cut < 0 else key[: cut + 1]
            if not found or found[-1] != name:
                found.append(name)
        return found

    def entry(self, key: str) -> TreeEntry | None:
        """See `Tree`."""
        return self._entries.get(key)

    def path(self, key: str) -> Path | None:
        """See `Tree`; there are no bytes."""
        return None


@dataclass(frozen=True, slots=True)
class PageQuery:
    """The parameters of one S3 (v1) listing request."""

    prefix: str = ""
    delimiter: str = ""
    marker: str = ""


def listing_page(tree: Tree, query: PageQuery, bucket: str) -> bytes:
    """One page of the S3 XML listing: at most `PAGE` names after the marker, in byte order."""
    names = tree.scan(query.prefix, folded=query.delimiter == "/")
    after = [name for name in names if _is_after(name, query.marker)]
    page, cut = after[:PAGE], len(after) > PAGE
    parts = [
        '<?xml version="1.0" encoding="UTF-8"?>\n',
        '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">',
        f"<Name>{escape(bucket)}</Name><Prefix>{escape(query.prefix)}</Prefix>",
        f"<Marker>{escape(query.marker)}</Marker>",
    ]
    if cut and query.delimiter:  # without a delimiter S3 gives no NextMarker
        parts.append(f"<NextMarker>{escape(page[-1])}</NextMarker>")
    parts.append(f"<MaxKeys>{PAGE}</MaxKeys>")
    if query.delimiter:
        parts.append(f"<Delimiter>{escape(query.delimiter)}</Delimiter>")
    parts.append(f"<IsTruncated>{str(cut).lower()}</IsTruncated>")
    entries = (tree.entry(name) for name in page if not name.endswith("/"))
    parts += [_contents(entry) for entry in entries if entry is not None]
    parts += [
        f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>"
        for name in page
        if name.endswith("/")
    ]
    return "".join([*parts, "</ListBucketResult>"]).encode()


def _is_after(name: str, marker: str) -> bool:
    inside = name.endswith("/") and marker.startswith(name) and marker != name
    return name > marker or inside


def _contents(entry: TreeEntry) -> str:
    changed = f"{entry.last_modified:%Y-%m-%dT%H:%M:%S}.000Z"
    return (
        f"<Contents><Key>{escape(entry.key)}</Key><LastModified>{changed}</LastModified>"
        f"<ETag>&quot;{entry.etag}&quot;</ETag><Size>{entry.size}</Size>"
        "<StorageClass>STANDARD</StorageClass></Contents>"
    )
