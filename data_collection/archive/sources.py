"""Where archive files and their listing come from: the real archive, a mirror, or a directory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from alphaqcm.data_collection.errors import UsageError
from alphaqcm.pipeline.domain.archive_file import quote_key

OFFICIAL_SOURCE = "https://data.binance.vision"
OFFICIAL_LISTING = "https://s3-ap-northeast-1.amazonaws.com/data.binance.vision"


@dataclass(frozen=True, slots=True)
class HttpSource:
    """An HTTP address below which the archive's keys are paths, or a bucket that lists them."""

    base: str  # without a last slash

    def url(self, key: str) -> str:
        """The address of a key."""
        return f"{self.base}/{quote_key(key)}"

    def __str__(self) -> str:
        return self.base


@dataclass(frozen=True, slots=True)
class DirectorySource:
    """A directory that holds the archive's own tree; it lists itself."""

    root: Path

    def path(self, key: str) -> Path:
        """The file of a key."""
        return self.root / key

    def __str__(self) -> str:
        return str(self.root)


@dataclass(frozen=True, slots=True)
class Source:
    """Where files are read and where they are listed."""

    files: HttpSource | DirectorySource
    listing: HttpSource | DirectorySource

    @classmethod
    def parse(cls, source: str, listing: str | None = None) -> Source:
        """Read `--source` and `--listing`; raises `UsageError`.

        Without a listing the official source is listed by its bucket, any other by itself.
        """
        files = _parse_one(source, "--source")
        if listing is None and isinstance(files, HttpSource) and files.base == OFFICIAL_SOURCE:
            listing = OFFICIAL_LISTING
        return cls(files, files if listing is None else _parse_one(listing, "--listing"))


def is_remote(source: str) -> bool:
    """Whether `--source` names an address, not a directory."""
    return "://" in source


def _parse_one(text: str, option: str) -> HttpSource | DirectorySource:
    if not is_remote(text):
        root = Path(text).expanduser()
        if not root.is_dir():
            raise UsageError(
                f"{option} {text}",
                expected="an http(s) address or a directory",
                found="no such directory",
                next_step="correct the path, or add http:// in front of an address",
            )
        if not (root / "data").is_dir():
            raise UsageError(
                f"{option} {text}",
                expected="a directory that holds the archive's own tree, data/spot or data/futures",
                found="no data/ in it",
                next_step="name the directory above data/",
            )
        return DirectorySource(root.resolve())
    url = urlsplit(text)
    if url.scheme not in ("http", "https") or not url.netloc:
        raise UsageError(f"{option} {text}", expected="an http(s) address or a directory")
    return HttpSource(text.rstrip("/"))
