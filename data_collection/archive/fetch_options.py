"""How files are downloaded: the limits and the patience of a fetch."""

from __future__ import annotations

from dataclasses import dataclass

from alphaqcm.data_collection.errors import UsageError

DOWNLOADERS = ("requests", "aria2")


@dataclass(frozen=True, slots=True)
class FetchOptions:
    """How to download. The limits hold for all processes on one cache together."""

    connections: int = 16  # requests at once
    rate_limit: int | None = None  # bytes a second
    max_disk: int | None = None  # bytes the cache may hold
    recheck: float = 24.0  # hours after which a listed file that was a 404 is asked for again
    downloader: str = "requests"  # or aria2
    stall: float = 30.0  # seconds without a byte
    retries: int = 8  # fruitless attempts after the first
    backoff: float = 0.5  # seconds before the second attempt; doubles, with jitter
    listing_age: float = 0.0  # seconds a kept listing counts as fresh; 0: listed anew by each open

    def __post_init__(self) -> None:
        if self.connections < 1 or self.stall <= 0 or self.retries < 0:
            raise UsageError(
                f"--connections {self.connections} --stall {self.stall} --retries {self.retries}",
                expected="at least one connection, a stall above 0 s, no fewer than 0 retries",
            )
        if self.downloader not in DOWNLOADERS:
            raise UsageError(
                f"--downloader {self.downloader}", expected="one of " + ", ".join(DOWNLOADERS)
            )
