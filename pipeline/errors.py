"""Every error the core raises.

    PipelineError
      BadName          a symbol, period, archive key or data type that does not exist
      RawError         one archive file that cannot be trusted
        BadZip           cut, not a zip, no CSV, several CSVs, larger than it declares
        BadHeader        a header row that is not the registry's
        BadRow           a row with the wrong number of fields, or a field that is no value
        OutsidePeriod    too many rows lie outside the file's own period
      LayerError       a file of the data root that cannot be read or written
        DiskFull         no space left while writing; the old file is still there
        DamagedFile      a file whose bytes are not those that were written
        Conflict         a file that another process changed first
      TableError       a table that cannot be built from its parts
        Undefined        asked for something the project does not define (a wide table for spot)

Each message has four parts: what it is about (a file, a symbol), what was expected, what was
found, and what to run next. Foreign exceptions (polars, pyarrow, zlib, OSError) are wrapped where
the core calls them, never further up.
"""

from __future__ import annotations

import errno
from pathlib import Path


class PipelineError(Exception):
    """Base of the core's errors; `str()` gives one sentence a part."""

    def __init__(
        self,
        subject: str | Path,
        *,
        expected: str = "",
        found: str = "",
        next_step: str = "",
    ) -> None:
        self.subject = str(subject)
        self.expected = expected
        self.found = found
        self.next_step = next_step
        super().__init__(self.subject, expected, found, next_step)

    def __str__(self) -> str:
        parts = [self.subject]
        if self.expected:
            parts.append(f"expected {self.expected}")
        if self.found:
            parts.append(f"found {self.found}")
        if self.next_step:
            parts.append(f"next: {self.next_step}")
        return "; ".join(parts)

    def __reduce__(self) -> tuple[object, ...]:
        """Keep the parts when the error crosses a process boundary."""
        return (_rebuild, (type(self), self.subject, self.expected, self.found, self.next_step))


def _rebuild(
    kind: type[PipelineError], subject: str, expected: str, found: str, next_step: str
) -> PipelineError:
    return kind(subject, expected=expected, found=found, next_step=next_step)


class BadName(PipelineError):
    """A symbol, period, archive key or data type that does not exist."""


class RawError(PipelineError):
    """One archive file that cannot be trusted."""


class BadZip(RawError):
    """Cut, not a zip, no CSV inside, several CSVs inside, or larger than it declares."""


class BadHeader(RawError):
    """A header row that is not the registry's."""


class BadRow(RawError):
    """A row with the wrong number of fields, or a field that is no value of its type."""


class OutsidePeriod(RawError):
    """More rows outside the file's own period than can be an accident."""


class LayerError(PipelineError):
    """A file of the data root that cannot be read or written."""


class DiskFull(LayerError):
    """No space left while writing; what was there before is still there."""


class DamagedFile(LayerError):
    """A file whose bytes are not those that were written; it is made again, never believed."""


class Conflict(LayerError):
    """A file that was to be written only as the one it was, and is another by now."""


class TableError(PipelineError):
    """A table that cannot be built from its parts."""


class Undefined(TableError):
    """Asked for something the project does not define."""


def layer_error(path: Path, error: Exception, expected: str = "") -> LayerError:
    """Wrap what was met while reading or writing `path` into the tree; a full disk is told apart.

    Libraries pass the system's errors on with their number (OSError) or in words only.
    """
    number = getattr(error, "errno", None)
    told = str(error)
    if number in (errno.ENOSPC, errno.EDQUOT) or f"(os error {errno.ENOSPC})" in told:
        return DiskFull(
            path,
            expected="free space to write it",
            found="no space left on the device",
            next_step="free some space and run the same command again; nothing was lost",
        )
    return LayerError(
        path,
        expected=expected or "a file that can be read and written",
        found=(getattr(error, "strerror", None) or told).splitlines()[0] if told else "an error",
        next_step="check the permissions of the data root",
    )
