"""A data root in an object store (s3, gs, az): the file store's protocol over obstore.

A path below the local working folder `root` names the object of that place; nothing of a layer is
kept on the disk. An object appears whole or not at all. What fails in passing is tried again by
obstore, and once more here where the body broke off; obstore comes with the extra `s3`.
"""

from __future__ import annotations

import contextlib
import fnmatch
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self, TypeVar

import xxhash

from alphaqcm.data_collection.archive.sealed_stream import SealedStream
from alphaqcm.data_collection.archive.store_errors import store_error
from alphaqcm.data_collection.errors import StoreError, UsageError
from alphaqcm.data_collection.extras import Extra, require_extra
from alphaqcm.pipeline.errors import Conflict, DiskFull, LayerError, layer_error
from alphaqcm.pipeline.storage.atomic_write import CommitHook, atomic_write
from alphaqcm.pipeline.storage.file_store import Batch, FileStat, SealedFile, Written

if TYPE_CHECKING:
    from obstore.store import ObjectStore as RawStore

SCHEMES = ("s3", "gs", "az")
PART = 8 << 20
"""Bytes of a part of a large object."""

_RETRIES = 8  # of a request, by obstore: pauses double from 0.1 s up to 15 s
_GIVE_UP = 120.0  # seconds after which it tries no more
_PARTS = 3  # of one upload at once
_AT_ONCE = 8  # objects that are copied to the disk
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
        self._raw = _open(self.url)
        self._seen: dict[str, FileStat] | None = None  # see `as_listed`
        self._written: dict[Path, tuple[Written, FileStat | None]] = {}
        self._brought: dict[Path, tuple[int, ...]] = {}  # versions of the copies on the disk
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
            return data, _version(answer.meta)

        try:
            return self._patient(path, get)
        except FileNotFoundError:
            return None

    def open(self, path: Path) -> BinaryIO:
        """As in `FileStore`: by way of a local file, as not every server sends parts of an object.

        The file has no name and is gone when it is closed.
        """
        import obstore

        def get() -> BinaryIO:
            answer = obstore.get(self._raw, self.key(path))
            stream = tempfile.TemporaryFile(dir=self.root)  # noqa: SIM115 - the caller closes it
            for piece in answer.stream(min_chunk_size=PART):
                stream.write(piece)
            if stream.tell() != answer.meta["size"]:
                raise ConnectionError(f"{stream.tell():,} of {answer.meta['size']:,} bytes")
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

    def replace(self, path: Path, data: bytes) -> None:
        """As in `FileStore`."""
        self.upload(path, data)

    def upload(self, path: Path, data: bytes | Path) -> None:
        """Put an object: bytes, or a local file in parts."""
        import obstore

        def put() -> None:
            obstore.put(self._raw, self.key(path), data, chunk_size=PART)

        self._seen = None
        self.fence()
        try:
            self._patient(path, put)
        except FileNotFoundError as error:
            raise store_error(self.name(path), error) from error

    def batch(self) -> Batch:
        """As in `FileStore`."""
        return _ObjectBatch(self)

    @contextlib.contextmanager
    def sealed(self, path: Path, gate: CommitHook = contextlib.nullcontext) -> Iterator[SealedFile]:
        """As in `FileStore`: sent in parts as it is written, never whole anywhere on this machine.

        An exception in the block aborts the upload: no object, and no parts that cost.
        """
        import obstore

        self._seen = None
        self.fence()
        upload = obstore.open_writer(
            self._raw, self.key(path), buffer_size=PART, max_concurrency=_PARTS
        )
        with _errors_of(self.name(path)):
            try:
                written = SealedStream(upload)
                yield written
                with gate():
                    told = written.send_footer()
                    self.fence()  # the object appears with the next line
                    upload.close()
                    self._written[path] = told, self.stat(path)
            except BaseException as error:
                with contextlib.suppress(Exception):
                    upload.__exit__(type(error), error, error.__traceback__)
                raise

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
            if len(parts) >= (depth or 1) and _matches(name, pattern):
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
            return [(str(one["path"]), _stat(one)) for page in pages for one in page]

        yield from self._patient(folder, ask)

    def bring(self, paths: Iterable[Path]) -> None:
        """As in `FileStore`."""
        found = ((path, self.stat(path)) for path in paths)
        self._bring([(path, stat) for path, stat in found if stat is not None])

    def bring_below(self, folder: Path, wanted: Callable[[Path], bool]) -> None:
        """As in `FileStore`."""
        every = ((self.root / key, stat) for key, stat in self.objects(folder))
        self._bring([(path, stat) for path, stat in every if wanted(path)])

    def _bring(self, files: Sequence[tuple[Path, FileStat]]) -> None:
        missing = [(path, stat) for path, stat in files if self._brought.get(path) != stat.version]
        if not missing:
            return
        self.root.mkdir(parents=True, exist_ok=True)
        needed, free = sum(stat.size for _, stat in missing), shutil.disk_usage(self.root).free
        if needed > free:
            raise DiskFull(
                self.root,
                expected=f"{needed / 1e9:,.1f} GB for copies of what is read",
                found=f"{free / 1e9:,.1f} GB free",
                next_step="fewer symbols or days, or another --scratch (TMPDIR)",
            )
        with ThreadPoolExecutor(_AT_ONCE, "bring") as pool:
            list(pool.map(lambda one: self._bring_one(*one), missing))

    def _bring_one(self, path: Path, stat: FileStat) -> None:
        with self.open(path) as stream, atomic_write(path) as temp, temp.open("wb") as local:
            shutil.copyfileobj(stream, local, PART)
        self._brought[path] = stat.version

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
            return self._patient(path, lambda: _stat(obstore.head(self._raw, self.key(path))))
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
        """As in `FileStore`; versions are those of `read_version`. See `conditional_puts`."""
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        self._seen = None
        mode: Any = "create" if version is None else _update(version)
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
        return _version(done)

    def _patient(self, path: Path, ask: Callable[[], T]) -> T:
        """Ask; again where an answer began and broke off. Raises `FileNotFoundError`."""
        from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

        pause = _PAUSE
        for left in reversed(range(_BODIES)):
            try:
                return ask()
            except FileNotFoundError as error:
                if "NoSuchBucket" in str(error):
                    raise store_error(self.url, error) from error
                raise
            except (PermissionDeniedError, UnauthenticatedError) as error:
                raise store_error(self.name(path), error) from error
            except (BaseError, OSError, TimeoutError) as error:
                if not left or "NoSuchBucket" in str(error):
                    raise store_error(self.name(path), error) from error
            time.sleep(pause)
            pause *= 2
        raise AssertionError("unreachable")


class _ObjectBatch:
    """Objects that appear together: written to local files, put one after another.

    The last one, which says what the others are, is put inside the hook of the commit.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._files: list[tuple[Path, Path]] = []
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> None:
        if self._folder is not None:
            self._folder.cleanup()
        if isinstance(error, OSError) and self._files:
            raise layer_error(self._files[-1][1], error) from error

    def add(self, path: Path) -> Path:
        """A local file in the working folder."""
        try:
            if self._folder is None:
                self._store.root.mkdir(parents=True, exist_ok=True)
                self._folder = tempfile.TemporaryDirectory(prefix=".put.", dir=self._store.root)
            local = Path(self._folder.name) / f"{len(self._files)}{path.suffix}"
            local.touch()
        except OSError as error:
            raise layer_error(path, error) from error
        self._files.append((local, path))
        return local

    def commit(self, gate: CommitHook = contextlib.nullcontext) -> None:
        """Put them all, the last one inside `gate`."""
        for local, path in self._files[:-1]:
            self._store.upload(path, local)
        with gate():
            for local, path in self._files[-1:]:
                self._store.upload(path, local)


def conditional_puts(store: ObjectStore) -> bool:
    """Whether the store refuses a second create and a stale version: a lease needs both.

    Tried with an object of its own, which is removed. Raises `StoreError` where nothing can be put.
    """
    path = store.root / "_tmp" / f"probe-{os.urandom(8).hex()}"
    try:
        first = store.put_if(path, b"1", None)
        try:
            store.put_if(path, b"2", None)
        except Conflict:
            pass
        else:
            return False
        store.put_if(path, b"3", first)
        try:
            store.put_if(path, b"4", first)
        except Conflict:
            return True
        return False
    finally:
        with contextlib.suppress(StoreError):
            store.delete(path)


@contextlib.contextmanager
def _errors_of(name: str) -> Iterator[None]:
    """What obstore raises, as errors of ours."""
    from obstore.exceptions import BaseError

    try:
        yield
    except BaseError as error:
        raise store_error(name, error) from error


def _open_gate() -> None:
    """No fence."""


def _open(url: str) -> RawStore:
    require_extra("obstore", Extra.S3)
    from obstore.exceptions import BaseError
    from obstore.store import from_url

    scheme, _, rest = url.partition("://")
    if scheme not in SCHEMES or not rest.split("/")[0]:
        raise UsageError(
            f"--data-root {url}",
            expected="s3://bucket/prefix, gs://bucket/prefix or az://container/prefix",
        )
    # a server of one's own is often without TLS; naming it with http:// says that this is meant
    plain = os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://")
    options: Any = {"allow_http": True} if plain else {}
    retry: Any = {"max_retries": _RETRIES, "retry_timeout": timedelta(seconds=_GIVE_UP)}
    try:
        return from_url(url, client_options=options, retry_config=retry)
    except (BaseError, ValueError) as error:
        raise store_error(url, error) from error


def _matches(name: str, pattern: str) -> bool:
    if "**" in pattern:
        first, last = pattern.split("**/")
        return name.startswith(first) and fnmatch.fnmatchcase(name.rsplit("/", 1)[-1], last)
    pairs = zip(name.split("/"), pattern.split("/"), strict=True)
    return all(fnmatch.fnmatchcase(part, wanted) for part, wanted in pairs)


def _stat(meta: Mapping[str, Any]) -> FileStat:
    changed = int(meta["last_modified"].timestamp() * 1e9)
    tag = str(meta["e_tag"] or changed).strip('"')  # some listings leave the quotes out
    size = int(meta["size"])
    return FileStat(size, changed, (size, xxhash.xxh3_64_intdigest(tag.encode())))


def _version(meta: Mapping[str, Any]) -> str:
    """Tag and version in one text, as `_update` reads it."""
    parts: Iterable[Any] = (meta["e_tag"], meta["version"])
    return "|".join(str(part) if part is not None else "" for part in parts)


def _update(version: str) -> dict[str, str]:
    tag, _, number = version.rpartition("|")
    told = {"e_tag": tag, "version": number}
    return {name: value for name, value in told.items() if value}
