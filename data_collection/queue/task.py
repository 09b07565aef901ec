"""The units of work of a run, and what doing one gives. The queue hands out these."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum

from alphaqcm.pipeline.domain.registry import DataType


class TaskKind(StrEnum):
    """The three steps of a symbol, in order."""

    MONTH = "month"  # fetch a series' files of one month, make its month file
    HOURLY = "hourly"  # a symbol's month files of one type -> its hourly CSV
    FACTORS = "factors"  # a symbol's layers -> its stages and its own columns of the wide table


@dataclass(frozen=True, slots=True, order=True)
class Task:
    """One unit of work; `month` is `YYYY-MM` for MONTH tasks, else empty."""

    kind: TaskKind
    type: str  # a DataType, with its interval where it has one: "klines:1m"; empty for FACTORS
    symbol: str  # exchange name
    month: str = ""

    @property
    def id(self) -> str:
        """The task's name in the state file and the logs."""
        return "/".join(part for part in (self.kind, self.type, self.symbol, self.month) if part)

    @classmethod
    def from_id(cls, text: str) -> Task:
        """Read `id` back."""
        kind, *rest = text.split("/")
        if kind == TaskKind.FACTORS:
            return cls(TaskKind.FACTORS, "", rest[0])
        return cls(TaskKind(kind), *rest)

    @property
    def data_type(self) -> DataType:
        """The archive type of a MONTH or HOURLY task."""
        return DataType(self.type.partition(":")[0])

    @property
    def interval(self) -> str:
        """The type's interval, empty where it has none."""
        return self.type.partition(":")[2]


class TaskResult(StrEnum):
    """How a task ended; a failure is an exception instead."""

    DONE = "done"
    ABSENT = "absent"  # the source has nothing for it


@dataclass(frozen=True, slots=True)
class Outcome:
    """What doing a task gave."""

    result: TaskResult
    built: bool = False  # False: what was there was current
    rows: int = 0
    bytes: int = 0  # of archive ZIPs read
    downloaded: int = 0  # bytes fetched from the source
    output: str = ""  # path of what was made, for the monitor
    files: int = 0  # archive files that the output was made from
    absent: int = 0  # archive files, or days of one, that the source does not have
    holes: tuple[str, ...] = field(default=())  # days (ISO) without a row in any file
    notes: tuple[str, ...] = field(default=())  # what else a person should know
    problems: tuple[str, ...] = field(default=())  # archive files that cannot be used, and why


CommitContext = Callable[[Outcome], AbstractContextManager[None]]
"""A gate around a task's commit: entered with the outcome, it holds the right to commit while the
renames happen and records the outcome on leaving; raises LeaseLost where the right is gone."""

Perform = Callable[[Task, CommitContext], Outcome]
"""Does one task. Work happens outside the gate; only renames happen inside it."""
