"""Works off many orders at once, with as many threads as connections."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from queue import Empty, SimpleQueue

from alphaqcm.data_collection.archive.disk_budget import DiskBudget
from alphaqcm.data_collection.archive.download import Downloads, Fetched, Missing, Order
from alphaqcm.data_collection.archive.transport.retry_policy import RetryPolicy, Stopped
from alphaqcm.data_collection.errors import SourceError, Unreachable
from alphaqcm.pipeline.domain.archive_file import ArchiveFile


def bring_all(
    orders: Sequence[Order],
    downloads: Downloads,
    policy: RetryPolicy,
    budget: DiskBudget,
    done: Callable[[ArchiveFile, Fetched | Missing], None],
) -> None:
    """Fetch every order; `done` is told of each, one at a time, from any thread.

    Raises `SourceError` for orders that could not be had, once the others are there; at once what
    no other order would escape (`Refused`, `CacheFull`, `DiskFull`, `CacheError`).
    """
    pending: SimpleQueue[tuple[Order, bool]] = SimpleQueue()
    for order in orders:
        pending.put((order, False))
    failed: list[Unreachable] = []
    told = threading.Lock()

    def work() -> None:
        while not policy.stop.is_set():
            try:
                order, waiting = pending.get_nowait()
            except Empty:
                return
            try:
                result = downloads.fetch(order, budget, wait=waiting)
            except Unreachable as error:
                failed.append(error)
                if policy.circuit_open:
                    policy.stop.set()
                continue
            except Stopped:
                return
            if result is None:
                pending.put((order, True))  # another process is at it: the others first
                continue
            with told:
                done(order.file, result)

    count = min(policy.settings.connections, len(orders))
    try:
        with ThreadPoolExecutor(count, thread_name_prefix="fetch") as pool:
            _watch([pool.submit(work) for _ in range(count)], policy)
    finally:
        policy.stop.clear()
    if failed:
        raise _failures(failed, len(orders))


def _watch(threads: list[Future[None]], policy: RetryPolicy) -> None:
    """Wait for the threads; the first error, or Ctrl-C, stops them all."""
    running = set(threads)
    try:
        while running:
            done, running = wait(running, return_when="FIRST_COMPLETED")
            for thread in done:
                thread.result()
    except BaseException:
        policy.stop.set()
        raise


def _failures(failed: Sequence[Unreachable], orders: int) -> SourceError:
    if len(failed) == 1:
        return failed[0]
    return SourceError(
        f"{len(failed)} of {orders} files",
        expected="every listed file to be served",
        found="; ".join(f"{error.subject} ({error.found})" for error in failed[:3]),
        next_step="run the same command again: what is verified stays",
    )
