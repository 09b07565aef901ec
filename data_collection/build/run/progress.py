"""What became of the tasks of a run, and its progress on the screen."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Self

from tqdm import tqdm

from alphaqcm.data_collection.build.task import Task
from alphaqcm.data_collection.queue.task import Outcome


@dataclass(slots=True)
class RunProgress:
    """What became of every task of a run."""

    outcomes: dict[Task, Outcome] = field(default_factory=dict)
    failures: dict[Task, str] = field(default_factory=dict)
    blocked: int = 0  # tasks that need a failed one
    built: int = 0
    downloaded: int = 0  # bytes
    retried_errors: Counter[str] = field(default_factory=Counter)  # attempts gone wrong and mended

    @property
    def problems(self) -> list[str]:
        """Archive files that cannot be used, and tasks that failed."""
        files = [text for outcome in self.outcomes.values() for text in outcome.problems]
        return files + [f"{task.id}: {reason}" for task, reason in self.failures.items()]


class ProgressBar:
    """A bar in a terminal, else a line each time another tenth is done."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._settled = self._shown = self._downloaded = 0
        self._bar = tqdm(total=total, unit="step", disable=None, dynamic_ncols=True, smoothing=0.1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def add(self, downloaded: int) -> None:
        """One more task has ended, for which so many bytes came."""
        self._settled += 1
        self._downloaded += downloaded
        brought = f"{self._downloaded / 1e6:,.1f} MB"
        if not self._bar.disable:
            self._bar.set_postfix_str(brought, refresh=False)
            self._bar.update()
        elif self._settled * 10 // self._total > self._shown:
            self._shown = self._settled * 10 // self._total
            print(f"{self._settled:,} of {self._total:,} steps, {brought} downloaded", flush=True)
