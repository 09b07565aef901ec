"""The journal beside a large queue's state file: what changed since the file was written whole.

A line a step, each with its own check:

    {check of the line}:{name of the snapshot}
    {check of this and of all lines before}:{"revision":9,"last_token":4,"tasks":{…}}

The snapshot's name is its digest, so that a journal belongs to one snapshot alone; the checks form
a chain. A line counts from its last byte on: it is written and synced with a blank there, and the
one byte that makes it count replaces the blank. A process killed before leaves a line that does not
count, which the next writer cuts off. Whatever else does not hold is damage, and told as such.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import xxhash

from alphaqcm.pipeline.errors import layer_error

SUFFIX = ".journal"
_CHECK = 16  # hex digits of a line's check
_END, _OPEN = b"\n", b" "


class DamagedJournal(ValueError):
    """The journal's bytes are not those that were written."""


@dataclass(frozen=True, slots=True)
class Place:
    """Up to where a journal is known: the file, the bytes that hold, the chain's last check."""

    snapshot: str  # the name of the snapshot that it goes on from
    inode: int = 0
    end: int = 0
    check: str = ""


def journal_path(state: Path) -> Path:
    """Where the journal of a state file lies."""
    return state.with_name(state.name + SUFFIX)


@dataclass(frozen=True, slots=True)
class Journal:
    """One journal file. Who writes holds the lock of the state."""

    path: Path

    def signature(self) -> tuple[int, int]:
        """Changes with every line; (0, 0) where there is no journal."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return 0, 0
        return status.st_ino, status.st_size

    def read(self, known: Place) -> tuple[list[bytes], Place]:
        """The lines after those that are `known`, and the new place.

        None where there is no journal or it goes on from another snapshot. Raises `DamagedJournal`,
        `OSError`.
        """
        try:
            stream = self.path.open("rb")
        except FileNotFoundError:
            return [], Place(known.snapshot)
        with stream:
            inode = os.fstat(stream.fileno()).st_ino
            place = known if known.inode == inode else Place(known.snapshot)
            size = os.fstat(stream.fileno()).st_size
            if size < place.end:
                raise DamagedJournal(f"less than {place.end} bytes")
            # in one call and no further: a line that is published and one that follows it, read one
            # after the other, would look like a single damaged one
            data = os.pread(stream.fileno(), size - place.end, place.end)
        lines = []
        at = 0
        for check, payload, length in _lines(data, place.check):
            if not place.check and payload.decode("ascii", "replace") != known.snapshot:
                return [], Place(known.snapshot)  # of another snapshot: a killed writer's, or old
            if place.check:
                lines.append(payload)
            at += length
            place = Place(known.snapshot, inode, place.end + length, check)
        return lines, place

    def stage(self, place: Place, payload: bytes) -> Place:
        """Write a line after `place` that does not count yet; gives the place when it will.

        Raises `LayerError`, `DiskFull`; what was written of the line is cut off then.
        """
        text, check = b"", place.check
        if not check:
            check = _check("", place.snapshot.encode())
            text = check.encode() + b":" + place.snapshot.encode() + _END
        check = _check(check, payload)
        text += check.encode() + b":" + payload + _OPEN
        flags = os.O_RDWR | (0 if place.inode else os.O_CREAT | os.O_TRUNC)
        try:
            descriptor = os.open(self.path, flags, 0o644)
            try:
                os.ftruncate(descriptor, place.end)
                if os.pwrite(descriptor, text, place.end) != len(text):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fdatasync(descriptor)
                inode = os.fstat(descriptor).st_ino
            except OSError:
                os.ftruncate(descriptor, place.end)
                raise
            finally:
                os.close(descriptor)
        except OSError as error:
            raise layer_error(self.path, error) from error
        return Place(place.snapshot, inode, place.end + len(text), check)

    def publish(self, place: Place) -> None:
        """Make the line that ends at `place` count; raises `LayerError`."""
        try:
            with self.path.open("r+b", buffering=0) as stream:
                os.pwrite(stream.fileno(), _END, place.end - 1)
        except OSError as error:
            raise layer_error(self.path, error) from error

    def withdraw(self, place: Place) -> None:
        """Cut off what was staged after `place`; what cannot be cut off does not count either."""
        with contextlib.suppress(OSError):
            os.truncate(self.path, place.end)

    def remove(self) -> None:
        """Begin anew: a whole snapshot was written; raises `LayerError`."""
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise layer_error(self.path, error) from error


def _lines(data: bytes, check: str) -> Iterator[tuple[str, bytes, int]]:
    """(check, payload, length) of every line that counts."""
    at = 0
    while at < len(data):
        end = data.find(_END, at)
        line = data[at : end if end >= 0 else len(data) - 1]
        told, payload = line[:_CHECK], line[_CHECK + 1 :]
        found = _check(check, payload)
        holds = told == found.encode() and line[_CHECK : _CHECK + 1] == b":"
        if end < 0:
            if holds and data[-1:] != _OPEN:
                raise DamagedJournal("the end of its last line is another")
            return
        if not holds:
            raise DamagedJournal(f"a line of {len(line)} bytes does not hold")
        yield found, payload, end + 1 - at
        check, at = found, end + 1


def _check(before: str, payload: bytes) -> str:
    found = xxhash.xxh3_64(before.encode())
    found.update(payload)
    return found.hexdigest()
