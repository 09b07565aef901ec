"""The one way to the files of a data root: a protocol, and the store that is a local disk.

Everything that reads or writes layers does it through a `FileStore`, so that a data root can lie
somewhere else than on a disk. Names are paths below the data root; a store that is no file system
makes its own names of them.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, Protocol, Self

from alphaqcm.pipeline.errors import Conflict, layer_error
from alphaqcm.pipeline.storage.atomic_write import AtomicBatch, CommitHook
from alphaqcm.pipeline.storage.checksum import xxh3_of_bytes
from alphaqcm.pipeline.storage.file_digest import seal_file


@dataclass(frozen=True, slots=True)
class FileStat:
    """Size in bytes, time of the last change in ns since 1970 UTC, and the file's version.

    Versions of a file compare equal or not: another one follows whenever the file is written.
    """

    size: int
    changed_ns: int
    version: tuple[int, ...]


class Batch(Protocol):
    """Files that appear together; used in a `with` block, see `AtomicBatch`."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object, /
    ) -> None: ...

    def add(self, path: Path) -> Path:
        """A local path to write the future file `path` to."""
        ...

    def commit(self, gate: CommitHook = contextlib.nullcontext) -> None:
        """Make all of them appear, inside `gate`."""
        ...


@dataclass(frozen=True, slots=True)
class Written:
    """What is known of a sealed file from writing it: its digest, SHA-256 and size in bytes."""

    digest: str
    sha256: str
    size: int


class SealedFile(Protocol):
    """A parquet file that is being written in order; its footer carries the file's digest."""

    @property
    def target(self) -> Path | IO[bytes]:
        """What a parquet writer writes to."""
        ...

    def begin_footer(self) -> None:
        """To be called after the last rows, before the writer writes the footer."""
        ...


class FileStore(Protocol):
    """Where the files of a data root lie. Methods raise `LayerError`, `DiskFull`."""

    def __hash__(self) -> int: ...

    def read(self, path: Path) -> bytes | None:
        """The whole file, None where there is none."""
        ...

    def open(self, path: Path) -> BinaryIO:
        """The file, to be read in pieces; raises `LayerError` where there is none."""
        ...

    def replace(self, path: Path, data: bytes) -> None:
        """Write the whole file: readers see the old one or the new one."""
        ...

    def batch(self) -> Batch:
        """Begin files that appear together."""
        ...

    def sealed(
        self, path: Path, gate: CommitHook = contextlib.nullcontext
    ) -> AbstractContextManager[SealedFile]:
        """Write a parquet of any size, in a `with`; at its end it is sealed, and appears in `gate`.

        An exception in the block leaves the old file as it was, and nothing of the new one.
        """
        ...

    def written(self, path: Path) -> Written | None:
        """What this process knows of a file that it sealed, None: read it; see `sealed`."""
        ...

    def list(self, folder: Path, pattern: str = "*") -> Sequence[Path]:
        """The files and folders in `folder` that match `pattern`, sorted; may be empty."""
        ...

    def stat(self, path: Path) -> FileStat | None:
        """Size and age of a file, None where there is none."""
        ...

    def delete(self, path: Path) -> None:
        """Remove a file; one that is not there is no error."""
        ...

    def upload(self, path: Path, local: Path) -> None:
        """Write the whole file from a local one; a no-op where it is that very file."""
        ...

    def bring(self, paths: Iterable[Path]) -> None:
        """See to it that the newest of these files lie at their paths on this machine's disk.

        For engines that open paths themselves; those that are not there are left out.
        """
        ...

    def bring_below(self, folder: Path, wanted: Callable[[Path], bool]) -> None:
        """The same of every file below a folder that is wanted."""
        ...

    def as_listed(self) -> AbstractContextManager[None]:
        """For who looks at everything: what is asked in the block may be answered from one look."""
        ...

    def put_if(self, path: Path, data: bytes, version: str | None) -> str:
        """Write the file if it still is `version`, None: if there is none; gives its new version.

        Raises `Conflict` where it is another by now. Versions compare equal or not, no more.
        """
        ...


@dataclass(frozen=True, slots=True)
class _LocalSealed:
    """A temp file, which is sealed when it is whole."""

    target: Path

    def begin_footer(self) -> None:
        """Nothing: the file can be read again."""


class LocalStore:
    """A local disk: temp file, fsync, rename. It has no state; `LOCAL` serves everybody."""

    def read(self, path: Path) -> bytes | None:
        """As in `FileStore`."""
        try:
            return path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise layer_error(path, error) from error

    def open(self, path: Path) -> BinaryIO:
        """As in `FileStore`."""
        try:
            return path.open("rb")
        except OSError as error:
            raise layer_error(path, error) from error

    def replace(self, path: Path, data: bytes) -> None:
        """As in `FileStore`."""
        with self.batch() as batch:
            batch.add(path).write_bytes(data)
            batch.commit()

    def batch(self) -> Batch:
        """As in `FileStore`."""
        return AtomicBatch()

    @contextlib.contextmanager
    def sealed(self, path: Path, gate: CommitHook = contextlib.nullcontext) -> Iterator[SealedFile]:
        """As in `FileStore`: the digest is set when the file is whole."""
        with self.batch() as batch:
            written = _LocalSealed(batch.add(path))
            yield written
            seal_file(written.target)
            batch.commit(gate)

    def written(self, path: Path) -> Written | None:
        """As in `FileStore`: reading it again from a disk is cheap, and tells more."""
        del path
        return None

    def list(self, folder: Path, pattern: str = "*") -> Sequence[Path]:
        """As in `FileStore`; working files of writers are none of them."""
        found = folder.glob(pattern)
        return sorted(path for path in found if not path.name.startswith("."))

    def stat(self, path: Path) -> FileStat | None:
        """As in `FileStore`."""
        try:
            found = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise layer_error(path, error) from error
        version = (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        return FileStat(found.st_size, found.st_mtime_ns, version)

    def delete(self, path: Path) -> None:
        """As in `FileStore`."""
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise layer_error(path, error) from error

    def upload(self, path: Path, local: Path) -> None:
        """As in `FileStore`."""
        if path != local:
            with self.batch() as batch:
                shutil.copyfile(local, batch.add(path))
                batch.commit()

    def bring(self, paths: Iterable[Path]) -> None:
        """As in `FileStore`: they lie there."""

    def bring_below(self, folder: Path, wanted: Callable[[Path], bool]) -> None:
        """As in `FileStore`: they lie there."""

    def as_listed(self) -> AbstractContextManager[None]:
        """As in `FileStore`: a disk answers at once."""
        return contextlib.nullcontext()

    def put_if(self, path: Path, data: bytes, version: str | None) -> str:
        """As in `FileStore`; a version is the content's digest. All writers must come this way."""
        with _alone(path):
            held = self.read(path)
            found = None if held is None else xxh3_of_bytes(held)
            if found != version:
                raise Conflict(
                    path,
                    expected=f"version {version}" if version else "no such file yet",
                    found=f"version {found}" if found else "none",
                    next_step="read it again: another process was faster",
                )
            self.replace(path, data)
        return xxh3_of_bytes(data)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep other processes' conditional writes of `path` out."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise layer_error(path, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


LOCAL = LocalStore()
