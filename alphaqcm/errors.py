"""Every error that reading or making data raises, of both trees.

PipelineError            the base of all: subject, expected, found, next_step
  BadName, RawError, LayerError, DiskFull, TableError, Undefined, …
  CollectionError        the shell's
    UsageError, RootBusy, SourceError, CacheError, QueueError, …
"""

from __future__ import annotations

from alphaqcm.data_collection.errors import (
    BadListing,
    CacheError,
    CacheFull,
    CollectionError,
    LeaseLost,
    ProcessLost,
    QueueError,
    Refused,
    RootBusy,
    SourceError,
    TransientError,
    Unreachable,
    UsageError,
)
from alphaqcm.pipeline.errors import (
    BadHeader,
    BadName,
    BadRow,
    BadZip,
    DiskFull,
    LayerError,
    OutsidePeriod,
    PipelineError,
    RawError,
    TableError,
    Undefined,
)

__all__ = [
    "BadHeader",
    "BadListing",
    "BadName",
    "BadRow",
    "BadZip",
    "CacheError",
    "CacheFull",
    "CollectionError",
    "DiskFull",
    "LayerError",
    "LeaseLost",
    "OutsidePeriod",
    "PipelineError",
    "ProcessLost",
    "QueueError",
    "RawError",
    "Refused",
    "RootBusy",
    "SourceError",
    "TableError",
    "TransientError",
    "Undefined",
    "Unreachable",
    "UsageError",
]
