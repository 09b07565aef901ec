"""A data root in an object store (s3, gs, az): the file store's protocol over obstore.

A path below the local working folder `root` names the object of that place; nothing of a layer is
kept on the disk. An object appears whole or not at all. What fails in passing is tried again by
obstore, and once more here where the body broke off; obstore comes with the extra `s3`.
"""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from alphaqcm.data_collection.archive.objects.batch import ObjectBatch
from alphaqcm.data_collection.archive.objects.copies import LocalCopies
from alphaqcm.data_collection.archive.objects.errors import store_error
from alphaqcm.data_collection.archive.objects.meta import (
    ASKING,
    SCHEMES,
    SENDING,
    matches,
    open_raw,
    stat_of,
    update_mode,
    version_of,
)
from alphaqcm.data_collection.archive.objects.sealed_stream import SealedStream
from alphaqcm.data_collection.archive.objects.streamed_upload import PART, StreamedUpload
from alphaqcm.data_collection.errors import StoreRefused
from alphaqcm.pipeline.errors import Conflict, LayerError
from alphaqcm.pipeline.storage.atomic_write import CommitHook
from alphaqcm.pipeline.storage.file_store import Batch, FileStat, SealedFile, Written

_BODIES = 5  # readings of a body that broke off
_PAUSE = 0.2  # seconds before another of these; doubles
T = TypeVar("T")


@lru_cache(8)
def open_store(url: str, root: Path) -> ObjectStore:
    """The store of a URL, one for all of this process; raises `UsageError`, `StoreError`."""
    return ObjectStore(url, root)


def is_store_url(text: str) -> bool:
    """Whether a data root is named that lies in an object store."""
    return text.split("://", 1)[0] in SCHEMES and "://" in text


class ObjectStore:
    """The `FileStore` of a URL such as `s3://bucket/prefix`; credentials by obstore's environment.

    Methods raise `StoreError` besides what the protocol says. Instances for the same URL and folder
    are equal.
    """

    def __init__(self, url: str, root: Path) -> None:
        self.url = url.rstrip("/")
        self.root = root
        self._raw = open_raw(self.url, ASKING)
        self.sending = open_raw(self.url, SENDING)
        """obstore's store for large objects."""
        self._seen: dict[str, FileStat] | None = None  # see `as_listed`
        self._written: dict[Path, tuple[Written, FileStat | None]] = {}
        self._copies = LocalCopies(self)
        self.fence: Callable[[], None] = _open_gate
        """Called before everything is written; raises where that is not allowed any more."""

    def __hash__(self) -> int:
        return hash((self.url, self.root))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ObjectStore) and (self.url, self.root) == (other.url, other.root)

    def __repr__(self) -> str:
        return f"ObjectStore({self.url!r})"

    def __reduce__(self) -> tuple[object, ...]:
        return (ObjectStore, (self.url, self.root))

    def key(self, path: Path) -> str:
        """The object's name below the URL."""
        return path.relative_to(self.root).as_posix()

    def name(self, path: Path) -> str:
        """The object's whole URL."""
        return f"{self.url}/{self.key(path)}"

    def read(self, path: Path) -> bytes | None:
        """As in `FileStore`."""
        found = self.read_version(path)
        return None if found is None else found[0]

    def read_version(self, path: Path) -> tuple[bytes, str] | None:
        """The whole object and its version for `put_if`, None where there is none."""
        import obstore

        def get() -> tuple[bytes, str]:
            answer = obstore.get(self._raw, self.key(path))
            data = answer.bytes().to_bytes()
            if len(data) != answer.meta["size"]:
                raise ConnectionError(f"{len(data):,} of {answer.meta['size']:,} bytes")
            return data, version_of(answer.meta)

        try:
            return self._patient(path, get)
        except FileNotFoundError:
            return None

    def sha256(self, path: Path) -> str | None:
        """Of the whole object as the store gives it, None where there is none; keeps nothing."""

        def get() -> str:
            found = hashlib.sha256()
            for piece in self._pieces(path):
                found.update(piece)
            return found.hexdigest()

        try:
            return self._patient(path, get)
        except FileNotFoundError:
            return None

    def open(self, path: Path) -> BinaryIO:
        """As in `FileStore`: by way of a local file, as not every server sends parts of an object.

        The file has no name and is gone when it is closed.
        """

        def get() -> BinaryIO:
            stream = tempfile.TemporaryFile(dir=self.root)  # noqa: SIM115 - the caller closes it
            for piece in self._pieces(path):
                stream.write(piece)
            stream.seek(0)
            return stream

        try:
            self.root.mkdir(parents=True, exist_ok=True)
            return self._patient(path, get)
        except FileNotFoundError as error:
            raise LayerError(
                self.name(path),
                expected="a layer's object",
                found="none",
                next_step="run the same command again: it is made anew",
            ) from error

    def _pieces(self, path: Path) -> Iterator[Any]:
        """The bytes of an object as they come; raises `ConnectionError` where some are missing."""
        import obstore

        answer = obstore.get(self._raw, self.key(path))
        size = 0
        for piece in answer.stream(min_chunk_size=PART):
            size += len(piece)
            yield piece
        if size != answer.meta["size"]:
            raise ConnectionError(f"{size:,} of {answer.meta['size']:,} bytes")

    def replace(self, path: Path, data: bytes) -> None:
        """As in `FileStore`."""
        self.upload(path, data)

    def upload(self, path: Path, data: bytes | Path) -> None:
        """Put an object: bytes, or a local file in parts."""
        import obstore

        def put() -> None:
            size = data.stat().st_size if isinstance(data, Path) else len(data)
            raw = self.sending if size > PART else self._raw
            try:
                obstore.put(raw, self.key(path), data, chunk_size=PART)
            except FileNotFoundError as error:
                if "NoSuchUpload" not in str(error):
                    raise
                # its end was asked for twice, as the first answer was lost: sent once more
                raise ConnectionError(str(error)) from error

        self._seen = None
        self.fence()
        try:
            self._patient(path, put)
        except FileNotFoundError as error:
            raise store_error(self.name(path), error) from error

    def batch(self) -> Batch:
        """As in `FileStore`."""
        return ObjectBatch(self)

    @contextlib.contextmanager
    def sealed(self, path: Path, gate: CommitHook = contextlib.nullcontext) -> Iterator[SealedFile]:
        """As in `FileStore`: sent in parts as it is written, never whole anywhere on this machine.

        An exception in the block aborts the upload: no object, and no parts that cost.
        """
        self._seen = None
        self.fence()
        with StreamedUpload(self, path) as upload:
            written = SealedStream(upload)
            yield written
            with gate():
                told = written.send_footer()
                self.fence()  # the object appears with the next line
                upload.finish(told)
                self._written[path] = told, self.stat(path)

    def written(self, path: Path) -> Written | None:
        """As in `FileStore`: where the object is still the one that was sent."""
        told, stat = self._written.get(path, (None, None))
        return told if told is not None and stat == self.stat(path) else None

    def list(self, folder: Path, pattern: str = "*") -> Sequence[Path]:
        """As in `FileStore`; a folder is there where an object lies below it."""
        depth = None if "**" in pattern else pattern.count("/") + 1
        found = set()
        for key, _ in self.objects(folder):
            parts = Path(key).relative_to(self.key(folder)).parts
            if any(part.startswith(".") for part in parts):
                continue
            name = "/".join(parts[:depth])
            if len(parts) >= (depth or 1) and matches(name, pattern):
                found.add(folder / name)
        return sorted(found)

    def objects(self, folder: Path) -> Iterator[tuple[str, FileStat]]:
        """Name and stat of every object below a folder, as one listing tells them."""
        import obstore

        prefix = self.key(folder)
        prefix = "" if prefix == "." else f"{prefix}/"
        if self._seen is not None:
            yield from [(k, s) for k, s in self._seen.items() if k.startswith(prefix)]
            return

        def ask() -> list[tuple[str, FileStat]]:
            pages = obstore.list(self._raw, prefix or None)
            return [(str(one["path"]), stat_of(one)) for page in pages for one in page]

        yield from self._patient(folder, ask)

    def bring(self, paths: Iterable[Path]) -> None:
        """As in `FileStore`."""
        found = ((path, self.stat(path)) for path in paths)
        self._copies.bring([(path, stat) for path, stat in found if stat is not None])

    def bring_below(self, folder: Path, wanted: Callable[[Path], bool]) -> None:
        """As in `FileStore`."""
        every = ((self.root / key, stat) for key, stat in self.objects(folder))
        self._copies.bring([(path, stat) for path, stat in every if wanted(path)])

    @contextlib.contextmanager
    def as_listed(self) -> Iterator[None]:
        """Answer `stat` and `list` from one listing inside the block, unless something is written.

        For who looks at everything: a request a thousand objects in place of one an object.
        """
        seen = dict(self.objects(self.root))
        self._seen = seen
        try:
            yield
        finally:
            self._seen = None

    def stat(self, path: Path) -> FileStat | None:
        """As in `FileStore`."""
        import obstore

        if self._seen is not None:
            return self._seen.get(self.key(path))
        try:
            return self._patient(path, lambda: stat_of(obstore.head(self._raw, self.key(path))))
        except FileNotFoundError:
            return None

    def delete(self, path: Path) -> None:
        """As in `FileStore`."""
        import obstore

        self._seen = None
        self.fence()
        with contextlib.suppress(FileNotFoundError):
            self._patient(path, lambda: obstore.delete(self._raw, self.key(path)))

    def put_if(self, path: Path, data: bytes, version: str | None) -> str:
        """As in `FileStore`; versions are those of `read_version`. Not every store keeps to it."""
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        self._seen = None
        mode: Any = "create" if version is None else update_mode(version)
        try:
            done = obstore.put(self._raw, self.key(path), data, mode=mode, use_multipart=False)
        except (AlreadyExistsError, PreconditionError, FileNotFoundError) as error:
            raise Conflict(
                self.name(path),
                expected=f"version {version}" if version else "no such object yet",
                found="another one",
                next_step="read it again: another process was faster",
            ) from error
        except Exception as error:
            raise store_error(self.name(path), error) from error
        return version_of(done)

    def _patient(self, path: Path, ask: Callable[[], T]) -> T:
        """Ask; again where an answer began and broke off. Raises `FileNotFoundError`."""
        from obstore.exceptions import BaseError

        pause = _PAUSE
        for left in reversed(range(_BODIES)):
            try:
                return ask()
            except FileNotFoundError as error:
                if "NoSuchBucket" in str(error):
                    raise store_error(self.url, error) from error
                raise
            except (BaseError, OSError, TimeoutError) as error:
                told = store_error(self.name(path), error)
                lasting = isinstance(told, StoreRefused) or "NoSuchBucket" in str(error)
                if not left or lasting:
                    raise told from error
            time.sleep(pause)
            pause *= 2
        raise AssertionError("unreachable")


def _open_gate() -> None:
    """No fence."""
