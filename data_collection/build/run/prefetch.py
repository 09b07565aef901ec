"""A process of `alphaqcm run` that brings small files ahead of the workers.

A worker fetches what its task needs, which for a month of funding is one small file: most of the
time would be spent waiting for answers. This process asks for many at once. The workers find them
in the cache, or wait for the one under way; what goes wrong here they meet and tell themselves.

Started by the run as a module with the state file's path, and a pipe as standard input.
"""

from __future__ import annotations

import sys
from pathlib import Path

from alphaqcm.data_collection.build.run.run_worker import stop_with_parent, tell_retried_errors
from alphaqcm.data_collection.build.settings_json import settings_of_queue
from alphaqcm.data_collection.build.stages.perform import LISTING_AGE
from alphaqcm.data_collection.build.stages.task_runner import open_task_runner
from alphaqcm.data_collection.queue.shared_queue import Queue
from alphaqcm.pipeline.domain.registry import DataType
from alphaqcm.pipeline.errors import PipelineError

_BATCH = 500  # files asked for at once: errors show, and the listing is planned, in such pieces


def main() -> int:
    """Fetch; returns the exit code."""
    stop_with_parent()
    state = Path(sys.argv[1])
    try:
        settings = settings_of_queue(Queue.open(state).snapshot().settings, state)
        with open_task_runner(settings, listing_age=LISTING_AGE) as runner:
            # trades last: the workers begin with them, and they fill the line by themselves
            files = sorted(runner.find_files(), key=lambda f: f.series.type is DataType.AGGTRADES)
            for start in range(0, len(files), _BATCH):
                runner.archive.fetch(files[start : start + _BATCH])
            tell_retried_errors(runner)
    except PipelineError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
