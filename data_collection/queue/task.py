"""`Outcome` and `TaskResult` of a queue task; a task is an id and the ids that it needs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum


class TaskResult(StrEnum):
    """How a task ended; a failure is an exception instead."""

    DONE = "done"
    ABSENT = "absent"  # the source has nothing for it


@dataclass(frozen=True, slots=True)
class Outcome:
    """What doing a task gave."""

    result: TaskResult
    built: int = 0  # files made; 0: what was there was current
    rows: int = 0
    bytes: int = 0  # of archive ZIPs read
    downloaded: int = 0  # bytes fetched from the source
    output: str = ""  # path of what was made, the last of several
    siblings: tuple[str, ...] = field(default=())  # names of what else was made in its folder
    files: int = 0  # archive files that the output was made from
    absent: int = 0  # archive files, or days of one, that the source does not have
    absent_parts: tuple[str, ...] = field(default=())  # parts of the task without any file
    gaps: tuple[str, ...] = field(default=())  # days (ISO) without a row in any file
    notes: tuple[str, ...] = field(default=())  # what else a person should know
    problems: tuple[str, ...] = field(default=())  # archive files that cannot be used, and why


CommitContext = Callable[[Outcome], AbstractContextManager[None]]
"""A gate around a task's commit: entered with the outcome, it holds the right to commit while the
renames happen and records the outcome on leaving; raises LeaseLost where the right is gone."""

Perform = Callable[[str, CommitContext], Outcome]
"""Does the task of an id. Work happens outside the gate; only renames happen inside it."""
