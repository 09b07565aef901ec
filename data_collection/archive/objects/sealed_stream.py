"""A parquet on its way out that gets its digest although nothing of it can be written twice.

The digest covers the whole file and stands in the footer, which comes last: all before the footer
is sent as it comes, the footer is held back until the digest is known.
"""

from __future__ import annotations

import hashlib
import io
from typing import IO, Any, Protocol, cast

import xxhash

from alphaqcm.pipeline.storage.file_digest import digest_place
from alphaqcm.pipeline.storage.file_store import Written


class Sink(Protocol):
    """Takes bytes in order."""

    def write(self, data: bytes, /) -> Any:
        """Take some more."""
        ...


class SealedStream(io.RawIOBase):
    """What a parquet writer writes to; see `SealedFile`."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._digest = xxhash.xxh3_128()
        self._sha256 = hashlib.sha256()
        self._sent = 0
        self._footer: bytearray | None = None

    @property
    def target(self) -> IO[bytes]:
        """The stream itself."""
        return cast(IO[bytes], self)

    def begin_footer(self) -> None:
        """Hold back what comes from now on."""
        self._footer = bytearray()

    def writable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Bytes so far."""
        return self._sent + len(self._footer or b"")

    def write(self, data: Any, /) -> int:
        """Send or hold back."""
        view = memoryview(data)
        if self._footer is not None:
            self._footer += view
        else:
            self._digest.update(view)
            self._sha256.update(view)
            self._sink.write(bytes(view))
            self._sent += view.nbytes
        return view.nbytes

    def send_footer(self) -> Written:
        """Set the digest and send the rest; raises `ValueError` where there is no place for it."""
        held = self._footer or bytearray()
        length = int.from_bytes(held[-8:-4], "little") + 8
        start = max(0, len(held) - length)
        at = digest_place(bytes(held[start:]))
        if at is None:
            raise ValueError("no place for a digest")
        self._digest.update(held)
        found = self._digest.hexdigest()
        held[start + at : start + at + len(found)] = found.encode()
        self._sink.write(bytes(held))
        self._sha256.update(held)
        self._sent += len(held)
        self._footer = None
        return Written(found, self._sha256.hexdigest(), self._sent)
