"""Every error the shell raises; the core's own are in `pipeline.errors`.

CollectionError
UsageError       the command's words do not fit: unknown symbol, start after end, no such file
RootBusy         another process holds the data root
SourceError      the archive, a mirror or a directory does not give what it should
Unreachable      no answer after every retry
BadListing       a listing that is no S3 listing
Refused          451, or an answer that will not change by asking again
CacheError       the cache or its ledger cannot be trusted or written
QueueError       the shared state cannot be used
LeaseLost        the task was given to another worker: the late result is refused
"""

from __future__ import annotations

from pipeline.errors import PipelineError


class CollectionError(PipelineError):
    """Base of the shell's errors; same four parts as the core's."""


class UsageError(CollectionError):
    """The command's words do not fit together or name what is not there."""


class RootBusy(CollectionError):
    """Another process holds the data root."""


class SourceError(CollectionError):
    """The archive, a mirror or a directory does not give what it should."""


class Unreachable(SourceError):
    """No answer after every retry."""


class BadListing(SourceError):
    """A listing that is no S3 listing."""


class Refused(SourceError):
    """An answer that will not change by asking again."""


class CacheError(CollectionError):
    """The cache or its ledger cannot be trusted or written."""


class QueueError(CollectionError):
    """The shared state cannot be used."""


class LeaseLost(QueueError):
    """The task was given to another worker: the late result is refused."""
