"""A worker process of `alphaqcm run`: works on the queue of a state file until it is over.

Started by the run as a module with the state file's path and its own name, and a pipe as standard
input; it stops when the pipe closes, which it does however the run ends.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

import orjson

from alphaqcm.data_collection.build.settings_json import settings_of_queue
from alphaqcm.data_collection.build.stages.perform import LISTING_AGE
from alphaqcm.data_collection.build.stages.task_runner import TaskRunner, open_task_runner
from alphaqcm.data_collection.process.event_log import Log
from alphaqcm.data_collection.queue.options import QueueOptions
from alphaqcm.data_collection.queue.shared_queue import Queue
from alphaqcm.data_collection.queue.worker import work
from alphaqcm.pipeline.errors import PipelineError

RETRIED_ERRORS = "retried_errors: "
"""Begins the line of standard error that counts attempts gone wrong, as JSON."""


def main() -> int:
    """Work; returns the exit code."""
    state, name = Path(sys.argv[1]), sys.argv[2]
    stop_with_parent()
    log = Log(name)
    queue = Queue.open(state, options=QueueOptions(say=log.say))
    try:
        settings = settings_of_queue(queue.snapshot().settings, state)
        with open_task_runner(settings, listing_age=LISTING_AGE, say=log.say) as runner:
            try:
                return work(
                    queue, name, runner.perform_by_id, log=log, brought=lambda: runner.brought
                ).exit_code
            finally:
                tell_retried_errors(runner)
    except PipelineError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1


def tell_retried_errors(runner: TaskRunner) -> None:
    """Tell the run, on standard error, what went wrong in single attempts and was mended."""
    sys.stderr.write(f"{RETRIED_ERRORS}{orjson.dumps(runner.retried_errors).decode()}\n")


def stop_with_parent() -> None:
    """End like by SIGTERM once standard input closes."""

    def follow() -> None:
        # not through sys.stdin: a thread that waits in its buffer upsets the interpreter's end
        while os.read(0, 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=follow, daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())
