"""A small executor: tasks that stand alone, in this process or in a pool of fresh ones."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Generic, Self

from alphaqcm.data_collection.build.run.executor import Finished, R, T
from alphaqcm.data_collection.process.process_pool import process_lost, process_pool


class PoolExecutor(Generic[T, R]):
    """Does tasks without needs in `count` processes; with one, this process does them itself.

    Used in a `with`: the processes start there, and import what `warm_up` needs meanwhile.
    """

    def __init__(self, count: int, warm_up: Callable[[], object] | None = None) -> None:
        self.count = max(1, min(count, os.cpu_count() or 1))
        self._warm_up = warm_up
        self._stack = contextlib.ExitStack()
        self._pool: ProcessPoolExecutor | None = None
        self._cancelled = False

    def __enter__(self) -> Self:
        if self.count > 1:
            self._pool = self._stack.enter_context(process_pool(self.count))
            if self._warm_up is not None:
                for _ in range(self.count):
                    self._pool.submit(self._warm_up)
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.__exit__(*error)  # type: ignore[arg-type]

    def run(self, tasks: Sequence[T], perform: Callable[[T], R], /) -> Iterator[Finished[T, R]]:
        """See `Executor`; raises `ProcessLost`, and what `perform` raises."""
        if self._pool is None:
            for task in tasks:
                if self._cancelled:
                    return
                yield Finished(task, perform(task))
            return
        futures: dict[Future[R], T] = {self._pool.submit(perform, task): task for task in tasks}
        try:
            for future in as_completed(futures):
                if future.cancelled():
                    continue
                yield Finished(futures[future], future.result())
        except BrokenProcessPool as error:
            raise process_lost(self.count) from error
        finally:
            for future in futures:
                future.cancel()

    def cancel(self) -> None:
        """See `Executor`: what has begun is finished, the rest is not begun."""
        self._cancelled = True
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
