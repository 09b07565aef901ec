"""Files of a directory, copied like any other download."""

from __future__ import annotations

from alphaqcm.data_collection.archive.sources import DirectorySource
from alphaqcm.data_collection.archive.transport.protocol import PartFile, Wanted
from alphaqcm.data_collection.errors import Refused
from alphaqcm.pipeline.errors import layer_error

_CHUNK = 1 << 20
_LARGEST_TEXT = 1 << 16


class DirectoryDownloader:
    """Copies from a tree on disk."""

    def __init__(self, source: DirectorySource) -> None:
        self._source = source

    def text(self, key: str) -> str | None:
        """See `Downloader`."""
        try:
            with self._source.path(key).open("rb") as stream:
                return stream.read(_LARGEST_TEXT).decode("utf-8", errors="replace")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _unreadable(self._source, key, error) from error

    def body(self, wanted: Wanted, part: PartFile) -> bool:
        """See `Downloader`."""
        try:
            origin = self._source.path(wanted.key).open("rb")
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise _unreadable(self._source, wanted.key, error) from error
        with origin:
            try:
                with part.path.open("ab") as target:
                    origin.seek(target.tell())
                    left = wanted.size - target.tell()
                    # a file that grew since it was listed shows by one byte too many
                    while piece := origin.read(min(_CHUNK, left + 1)):
                        left -= target.write(piece)
                        if left < 0:
                            break
            except OSError as error:
                raise layer_error(part.path, error) from error
        return True

    def close(self) -> None:
        """Nothing is held."""


def _unreadable(source: DirectorySource, key: str, error: OSError) -> Refused:
    return Refused(
        source.path(key),
        expected="a readable file",
        found=f"{error.strerror or error}",
        next_step="check the permissions of the --source directory",
    )
