"""A pool of fresh processes that end with the one that started them."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait

ONE_THREAD = {"POLARS_MAX_THREADS": "1"}
"""The environment of a process that shares the machine with one a core like it."""


def process_pool(count: int) -> ProcessPoolExecutor:
    """`count` processes with one thread of polars each."""
    os.environ.update(ONE_THREAD)  # read by the processes that start from now on
    # fresh ones: a fork of a process that has used polars may hang
    spawn = get_context("spawn")
    return ProcessPoolExecutor(count, mp_context=spawn, initializer=_end_with_parent)


def _end_with_parent() -> None:
    parent = parent_process()

    def follow() -> None:
        if parent is not None:
            wait([parent.sentinel])
            os._exit(1)  # nobody is there to hear more; what was not committed was not done

    threading.Thread(target=follow, daemon=True).start()
