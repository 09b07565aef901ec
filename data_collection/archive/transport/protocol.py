"""What a transport must do, and the file it writes into."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Wanted:
    """One object to bring: its key, and what the listing says of it."""

    key: str
    size: int  # bytes
    etag: str  # without quotes


@dataclass(frozen=True, slots=True)
class PartFile:
    """The temp file beside the target; whoever writes it holds its lock."""

    path: Path

    @property
    def size(self) -> int:
        """Bytes that are there."""
        return self.path.stat().st_size

    def clear(self) -> None:
        """Begin again from the first byte."""
        with self.path.open("r+b") as stream:
            stream.truncate(0)


class Downloader(Protocol):
    """One attempt at a time; it never retries, verifies or renames: its caller does.

    Both calls raise `TransientError` for what another attempt may mend, `Refused` for what none
    will, `LayerError` or `DiskFull` when the part cannot be written. Many threads call them.
    """

    def text(self, key: str) -> str | None:
        """A small text object such as a .CHECKSUM; None when the source has none (404)."""
        ...

    def body(self, wanted: Wanted, part: PartFile) -> bool:
        """Append the object's bytes from `part.size` on until its end; False on a 404."""
        ...

    def close(self) -> None:
        """Let go of connections and processes."""
        ...
