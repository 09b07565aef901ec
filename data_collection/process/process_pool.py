"""A pool of fresh processes that end with the one that started them."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait

from alphaqcm.data_collection._bootstrap import ONE_THREAD
from alphaqcm.data_collection.errors import ProcessLost


@contextmanager
def process_pool(count: int) -> Iterator[ProcessPoolExecutor]:
    """`count` processes with one thread of polars each; raises `ProcessLost` when one dies."""
    os.environ.update(ONE_THREAD)  # read by the processes that start from now on
    # fresh ones: a fork of a process that has used polars may hang
    spawn = get_context("spawn")
    try:
        with ProcessPoolExecutor(count, mp_context=spawn, initializer=_end_with_parent) as pool:
            yield pool
    except BrokenProcessPool as error:
        raise process_lost(count) from error


def process_lost(count: int) -> ProcessLost:
    """The error of a pool of `count` processes of which one died."""
    return ProcessLost(
        f"one of {count} processes",
        expected="its work done",
        found="it ended in the middle: killed, or out of memory",
        next_step="run the same command again; nothing was lost, and what is done stays done",
    )


def _end_with_parent() -> None:
    parent = parent_process()

    def follow() -> None:
        if parent is not None:
            wait([parent.sentinel])
            os._exit(1)  # nobody is there to hear more; what was not committed was not done

    threading.Thread(target=follow, daemon=True).start()
