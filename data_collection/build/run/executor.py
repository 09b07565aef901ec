"""Who does the tasks: the protocol that the local queue, a pool, or a cluster follow.

    for finished in executor.run(tasks, perform):
        ...                      # in the order in which they end; others go on meanwhile

A task tells by its `needs` what must be settled before it. `perform` can be pickled and does one
task in whatever process the executor calls it. What a process may fetch is no matter of the
executor's: the limits lie with the cache and hold for every process that uses it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Finished(Generic[T, R]):
    """What became of a task; without outcome and failure it was not done: it needs a failed one."""

    task: T
    outcome: R | None = None
    failure: str = ""  # why it failed for good

    @property
    def blocked(self) -> bool:
        """Whether it was not done."""
        return self.outcome is None and not self.failure


class Executor(Protocol[T, R]):
    """Does tasks somewhere, those first that others need."""

    def run(self, tasks: Sequence[T], perform: Callable[[T], R], /) -> Iterator[Finished[T, R]]:
        """Do the tasks, and give each as it ends; all have ended when the iterator has.

        Closing the iterator cancels. Raises `CollectionError` where the tasks cannot be done at
        all: its processes died, its machines are gone.
        """
        ...

    def cancel(self) -> None:
        """End what is at work as soon as that loses nothing; callable from another thread."""
        ...
