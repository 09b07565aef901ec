"""What became of the tasks of a run, and its progress on the screen."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
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


_REFRESH = 1.0  # seconds between two looks at what is under way


class ProgressBar:
    """A bar in a terminal, else a line each time another tenth of the work is done.

    The work of a task is its `weight`, the bytes of archive files behind it: a bar of tasks would
    stand still over the trades, and race over the small types. `read` is the sum of these bytes;
    `under_way` tells the bytes that have come for tasks which have not ended.
    """

    def __init__(
        self, weights: Mapping[str, int], read: int, under_way: Callable[[], int] | None = None
    ) -> None:
        self._weights = weights
        self._total = max(1, sum(weights.values()))
        self._to_read = read
        self._under_way = under_way
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._refresh, daemon=True)
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
        if self._under_way is not None and not self._bar.disable:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._bar.close()

    def _refresh(self) -> None:
        while not self._stop.wait(_REFRESH):
            self._bar.set_postfix_str(self._told(), refresh=True)

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
        live = self._under_way() if self._under_way is not None else 0
        return (
            f"{self._settled:,} of {len(self._weights):,} tasks, "
            f"{size(self._downloaded + live)} downloaded, "
            f"{size(self._read)} of {size(self._to_read)} read, {self._rows:,} rows"
        )
