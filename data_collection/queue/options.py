"""How a queue is used: limits, the watcher's patience, the steps of a commit, where things lie."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from alphaqcm.data_collection.queue.liveness import STALE_AFTER, this_host
from alphaqcm.data_collection.queue.state import Limits
from alphaqcm.data_collection.queue.state_file import JOURNAL_FROM

DEFAULT_STATE = "aggTrades_queue_state.json"
"""The state file's name below the working folder `_tmp`."""


class CommitStep(StrEnum):
    """The instants of a commit, in order; a fault can strike before each."""

    LOCK = "lock"  # nothing has happened yet
    CHECK = "check"  # the state's lock is held
    STAGE = "stage"  # the lease is good
    RENAME = "rename"  # the next state is on disk beside the old one
    PUBLISH = "publish"  # the task's files have their names
    RELEASE = "release"  # the state says done
    END = "end"  # the lock is free again


def _no_fault(_: CommitStep) -> None:
    """No fault strikes."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class QueueOptions:
    """How a queue is used.

    `say` hears what people should know, `fault` is called before every step of a commit, `now` is
    the wall clock: it stamps what is written and times the rests after failures, no lease.
    """

    limits: Limits = field(default_factory=Limits)
    stale: float = STALE_AFTER  # seconds without a heartbeat, for workers of other hosts
    host: str = field(default_factory=this_host)
    say: Callable[[str], None] = print
    fault: Callable[[CommitStep], None] = _no_fault
    now: Callable[[], datetime] = _utc_now
    journal_from: int = JOURNAL_FROM  # tasks from which on the state has a journal


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is left when nothing can be claimed: over, others' tasks, or a rest."""

    over: bool
    holders: frozenset[tuple[str, str]]
    due: float | None  # seconds until a failed task comes back


def workers_dir(state: Path) -> Path:
    """Where the locks and heartbeats of a state's workers lie."""
    return state.with_name(f"{state.stem}.workers")
