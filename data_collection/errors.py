"""Every error the shell raises; the core's own are in `pipeline.errors`.

    CollectionError
      UsageError       the command's words do not fit: unknown symbol, start after end, no such file
      RootBusy         another process holds the data root
      ProcessLost      a process of this command ended in the middle of its work
      ClusterError     a cluster that cannot be used, or that went away
      StoreError       an object store that does not answer, or lacks what is needed
        StoreRefused     it does not take our credentials, or not any more
      SourceError      the archive, a mirror or a directory does not give what it should
        Unreachable      no answer after every retry
        BadListing       a listing that is no S3 listing
        Refused          451, or an answer that will not change by asking again
        TransientError   one attempt went wrong; another may not (never leaves the transports)
      CandlesLate      candles of a live directory that are not ready in time (a TimeoutError too)
      BadMessage       a message between processes that is none of ours
      ExchangeError    the exchange does not give what it should
        NoAnswer         no answer after every try
        RegionRefused    451: this region is not served
        Banned           418: this address is shut out until a time (exit code 75)
        BadSymbol        a symbol that the exchange does not (or no longer) trade
        RequestRefused   the exchange takes our request for wrong
      CacheError       the cache or its ledger cannot be trusted or written
        CacheFull        the next file would pass --max-disk
      QueueError       the shared state cannot be used
        LeaseLost        the task was given to another worker: the late result is refused

A message has the same four parts as the core's.
"""

from __future__ import annotations

from enum import StrEnum

from alphaqcm.pipeline.errors import PipelineError


class CollectionError(PipelineError):
    """Base of the shell's errors; same four parts as the core's."""


class UsageError(CollectionError):
    """The command's words do not fit together or name what is not there."""


class RootBusy(CollectionError):
    """Another process holds the data root."""


class ProcessLost(CollectionError):
    """A process of this command ended in the middle of its work."""


class ClusterError(CollectionError):
    """A cluster that cannot be used, or that went away."""


class StoreError(CollectionError):
    """An object store that does not answer, or lacks what is needed."""


class StoreRefused(StoreError):
    """An object store does not take our credentials, or not any more: nothing can be done there."""


class SourceError(CollectionError):
    """The archive, a mirror or a directory does not give what it should."""


class Unreachable(SourceError):
    """No answer after every retry."""


class BadListing(SourceError):
    """A listing that is no S3 listing."""


class Refused(SourceError):
    """An answer that will not change by asking again."""


class ErrorKind(StrEnum):
    """What can go wrong in one attempt at a download; the summary counts them by these names."""

    THROTTLED = "throttled"
    SERVER = "server error"
    CONNECTION = "connection lost"
    NAME = "name not found"
    STALL = "stalled"
    SHORT = "short body"
    LENGTH = "wrong length"
    RANGE = "range not served"
    CHECKSUM = "wrong checksum"
    ZIP = "broken zip"
    LISTING = "broken listing page"


class TransientError(SourceError):
    """One attempt went wrong; another may not."""

    def __init__(
        self, kind: ErrorKind, subject: str, found: str, retry_after: float | None = None
    ) -> None:
        super().__init__(subject, expected="a whole answer", found=found)
        self.kind = kind
        self.retry_after = retry_after  # seconds

    def __reduce__(self) -> tuple[object, ...]:
        """Keep the parts when the error crosses a process boundary."""
        return (TransientError, (self.kind, self.subject, self.found, self.retry_after))


class CandlesLate(CollectionError, TimeoutError):
    """Candles of a live directory that are not ready in time."""


class BadMessage(CollectionError):
    """A message between processes that is none of ours."""


class ExchangeError(CollectionError):
    """The exchange does not give what it should."""


class NoAnswer(ExchangeError):
    """No answer after every try."""


class RegionRefused(ExchangeError):
    """The exchange does not serve this region (451)."""


class Banned(ExchangeError):
    """The exchange shut this address out for a time (418)."""

    def __init__(self, subject: str, until: float, until_text: str) -> None:
        super().__init__(
            subject,
            expected="an address that may ask",
            found=f"a ban of this address until {until_text}",
            next_step="run the same command again after that; what was fetched is kept",
        )
        self.until_text = until_text
        self.until = until  # the exchange's time, seconds since the epoch


class BadSymbol(ExchangeError):
    """A symbol that the exchange does not trade, or not any more."""


class RequestRefused(ExchangeError):
    """The exchange takes our request for wrong."""


class CacheError(CollectionError):
    """The cache or its ledger cannot be trusted or written."""


class CacheFull(CacheError):
    """The next file would pass --max-disk."""


class QueueError(CollectionError):
    """The shared state cannot be used."""


class LeaseLost(QueueError):
    """The task was given to another worker: the late result is refused."""
