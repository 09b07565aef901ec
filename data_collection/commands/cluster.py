"""The executor that the options of a run name."""

from __future__ import annotations

import argparse

from alphaqcm.data_collection.build.run.dask_cluster import ClusterOptions
from alphaqcm.data_collection.build.run.dask_executor import DaskExecutor
from alphaqcm.data_collection.commands.output import tell
from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.extras import Extra, require_extra


def chosen_cluster(arguments: argparse.Namespace) -> DaskExecutor | None:
    """The cluster of `--executor dask`, None for local workers; raises `UsageError`."""
    if arguments.executor == "local":
        if arguments.scheduler is not None:
            raise UsageError(
                f"--scheduler {arguments.scheduler}", expected="--executor dask beside it"
            )
        return None
    require_extra("distributed", Extra.DASK)
    return DaskExecutor(
        ClusterOptions(arguments.workers, arguments.scheduler, arguments.scratch), tell
    )
