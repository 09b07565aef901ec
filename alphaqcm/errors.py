"""Every error that reading or making data raises, of both trees.

PipelineError            the base of all: subject, expected, found, next_step
  BadName, RawError, LayerError, DiskFull, TableError, Undefined, …
  CollectionError        the shell's
    UsageError, RootBusy, SourceError, CacheError, QueueError, …
"""

from __future__ import annotations

from alphaqcm.data_collection.errors import (
    BadListing,
    BadSymbol,
    Banned,
    CacheError,
    CacheFull,
    CandlesLate,
    ClusterError,
    CollectionError,
    ErrorKind,
    ExchangeError,
    LeaseLost,
    NoAnswer,
    ProcessLost,
    QueueError,
    Refused,
    RegionRefused,
    RequestRefused,
    RootBusy,
    SourceError,
    StoreError,
    TransientError,
    Unreachable,
    UsageError,
)
from alphaqcm.pipeline.errors import (
    BadHeader,
    BadName,
    BadRow,
    BadZip,
    Conflict,
    DamagedFile,
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
    "BadSymbol",
    "BadZip",
    "Banned",
    "CacheError",
    "CacheFull",
    "CandlesLate",
    "ClusterError",
    "CollectionError",
    "Conflict",
    "DamagedFile",
    "DiskFull",
    "ErrorKind",
    "ExchangeError",
    "LayerError",
    "LeaseLost",
    "NoAnswer",
    "OutsidePeriod",
    "PipelineError",
    "ProcessLost",
    "QueueError",
    "RawError",
    "Refused",
    "RegionRefused",
    "RequestRefused",
    "RootBusy",
    "SourceError",
    "StoreError",
    "TableError",
    "TransientError",
    "Undefined",
    "Unreachable",
    "UsageError",
]
