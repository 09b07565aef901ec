"""What became of the tasks of a run, and its progress on the screen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from tqdm import tqdm

from alphaqcm.data_collection.build.run.forecast import size
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
    """A bar in a terminal, else a line each time another tenth of the work is done.

    The work of a task is its `weight`, the bytes of archive files behind it: a bar of tasks would
    stand still over the trades, and race over the small types. `read` is the sum of these bytes.
    """

    def __init__(self, weights: Mapping[str, int], read: int) -> None:
        self._weights = weights
        self._total = max(1, sum(weights.values()))
        self._to_read = read
        self._done = self._settled = self._shown = 0
        self._read = self._rows = self._downloaded = 0
        self._bar = tqdm(
            total=self._total,
            disable=None,
            dynamic_ncols=True,
            smoothing=0.1,
            bar_format="{percentage:3.0f}%|{bar}| [{elapsed}<{remaining}{postfix}]",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def add(self, task: str, outcome: Outcome | None) -> None:
        """One more task has ended, with this outcome, or failed."""
        self._settled += 1
        self._done += self._weights[task]
        if outcome is not None:
            self._downloaded += outcome.downloaded
            self._read += outcome.bytes
            self._rows += outcome.rows if outcome.bytes else 0
        if not self._bar.disable:
            self._bar.set_postfix_str(self._told(), refresh=False)
            self._bar.update(self._weights[task])
        elif self._done * 10 // self._total > self._shown:
            self._shown = self._done * 10 // self._total
            print(f"{self._done * 100 // self._total} %: {self._told()}", flush=True)

    def _told(self) -> str:
        return (
            f"{self._settled:,} of {len(self._weights):,} tasks, "
            f"{size(self._downloaded)} downloaded, "
            f"{size(self._read)} of {size(self._to_read)} read, {self._rows:,} rows"
        )
