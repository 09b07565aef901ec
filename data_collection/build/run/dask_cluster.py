"""The Dask cluster of a run: one of this machine's processes, or one that runs somewhere already.

A cluster of this machine listens on the loopback address alone. A scheduler elsewhere is looked at
before it is given work: whether it answers, runs the same versions, and has workers that tell what
they can do. dask and distributed come with the extra `dask` and are imported when used.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from alphaqcm._version import __version__
from alphaqcm.data_collection._bootstrap import ONE_THREAD
from alphaqcm.data_collection.build.run.versions import listed, own_versions
from alphaqcm.data_collection.errors import ClusterError, UsageError
from alphaqcm.data_collection.extras import Extra, require_extra

if TYPE_CHECKING:
    from distributed import Client, LocalCluster

LOOPBACK = "127.0.0.1"
DOWNLOAD, CPU, MEMORY = "download", "cpu", "memory"
"""The resources that workers tell and tasks ask for: tasks at once, tasks at once, bytes."""

LEAST_MEMORY = 500_000_000
"""Bytes: a worker with less cannot hold its libraries and one small month."""

_STARTS = 5
_PATIENT_LOOKS = 20  # looks at a cluster with too few workers before one more is started
_PATIENCE = 10.0  # seconds for a scheduler's answer and for its first worker
_SCHEDULER_LOCAL = ("127.", "localhost", "[::1]", "::1")


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """Which cluster: `scheduler` is the address of a running one; without it `workers` are made."""

    workers: int
    scheduler: str | None = None
    scratch: Path | None = None  # folder of the workers' own files; default: the system's


@dataclass(frozen=True, slots=True)
class Cluster:
    """An open cluster and what its workers can do.

    `refill` replaces workers of our own that are gone for good; the others are not ours to start.
    """

    client: Client
    workers: int
    memory: int  # bytes, of the largest worker
    refill: Callable[[], None] = lambda: None


@contextlib.contextmanager
def open_cluster(options: ClusterOptions, say: Callable[[str], None]) -> Iterator[Cluster]:
    """Make or find the cluster; `say` hears what a user should know of it.

    Raises `UsageError`, `ClusterError`.
    """
    require_extra("distributed", Extra.DASK)
    with contextlib.ExitStack() as stack:
        if options.scheduler is None:
            yield stack.enter_context(_own_cluster(options))
            return
        client = stack.enter_context(_running_cluster(options.scheduler, say))
        told = client.scheduler_info(n_workers=-1)["workers"]
        _check_workers(client, options.scheduler, told)
        yield Cluster(
            client, len(told), max(int(one["resources"][MEMORY]) for one in told.values())
        )


@contextlib.contextmanager
def _own_cluster(options: ClusterOptions) -> Iterator[Cluster]:
    """A cluster of processes of this machine that ends with this process."""
    import dask
    from distributed import Client
    from distributed.system import MEMORY_LIMIT

    memory = MEMORY_LIMIT // options.workers
    _has_memory(memory, f"each of {options.workers} workers of this machine", "fewer --workers")
    with (
        dask.config.set({"distributed.deploy.lost-worker-timeout": "10s"}),
        _started(options, memory) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield Cluster(client, options.workers, memory, _Refill(cluster, options.workers))


class _Refill:
    """Starts workers again that Dask itself has given up: those that died while they began."""

    def __init__(self, cluster: LocalCluster, count: int) -> None:
        self._cluster = cluster
        self._count = count
        self._asked = 0

    def __call__(self) -> None:
        """To be called from time to time while there are fewer than there should be."""
        ended = ("closed", "failed", "stopped", "closing_gracefully")
        for name, nanny in list(self._cluster.workers.items()):
            if nanny.status.name in ended:
                self._cluster.workers.pop(name, None)
        self._asked += 1
        # whatever else keeps one from coming back: now and then another one is added
        self._cluster.scale(self._count + self._asked // _PATIENT_LOOKS)


def _started(options: ClusterOptions, memory: int) -> LocalCluster:
    from distributed import LocalCluster

    for attempt in range(_STARTS):
        try:
            return LocalCluster(
                n_workers=options.workers,
                threads_per_worker=1,
                host=LOOPBACK,
                dashboard_address=f"{LOOPBACK}:0",
                worker_dashboard_address=f"{LOOPBACK}:0",
                silence_logs=logging.CRITICAL,
                memory_limit=memory,
                resources={DOWNLOAD: 1, CPU: 1, MEMORY: memory},
                local_directory=None if options.scratch is None else str(options.scratch),
                env=ONE_THREAD,
            )
        except (RuntimeError, OSError, TimeoutError) as error:
            if attempt + 1 < _STARTS:
                continue  # a worker was killed before it had begun
            raise ClusterError(
                f"{options.workers} workers of this machine",
                expected="to start",
                found=f"{error.__cause__ or error}",
                next_step="fewer --workers, or another --scratch",
            ) from error
    raise AssertionError("unreachable")


@contextlib.contextmanager
def _running_cluster(address: str, say: Callable[[str], None]) -> Iterator[Client]:
    """A scheduler that runs already; one that cannot be trusted is told in a line."""
    from distributed import Client

    if "://" not in address:
        raise UsageError(
            f"--scheduler {address}",
            expected="an address such as tcp://10.0.0.5:8786 or tls://10.0.0.5:8786",
        )
    host = urlsplit(address).hostname or ""
    if not address.startswith("tls://") and not host.startswith(_SCHEDULER_LOCAL):
        say(
            f"{address} is not encrypted, and a scheduler runs what anybody sends it: use tls:// "
            "and a private network (alphaqcm docs scale)"
        )
    try:
        client = Client(address, timeout=_PATIENCE, set_as_default=False)
    except (OSError, TimeoutError, ValueError, TypeError) as error:
        raise ClusterError(
            f"--scheduler {address}",
            expected=f"a Dask scheduler that answers within {_PATIENCE:.0f} s",
            found=f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else '-'}",
            next_step="start one with `dask scheduler` and name its address; a tls:// address "
            "needs the certificates that DASK_DISTRIBUTED__COMM__TLS__* name",
        ) from error
    with client:
        yield client


def _check_workers(client: Client, address: str, told: Mapping[str, Any]) -> None:
    """Refuse a cluster on which the tasks could not be done, or would wait for ever."""
    if not told:
        try:
            client.wait_for_workers(1, timeout=_PATIENCE)
        except TimeoutError as error:
            raise ClusterError(
                f"the scheduler {address}",
                expected=f"at least one worker within {_PATIENCE:.0f} s",
                found="none",
                next_step=_worker_command(address),
            ) from error
        told.update(client.scheduler_info(n_workers=-1)["workers"])  # type: ignore[attr-defined]
    names = {DOWNLOAD, CPU, MEMORY}
    for worker, one in told.items():
        missing = sorted(names - set(one["resources"]))
        if missing:
            raise ClusterError(
                f"worker {worker}",
                expected=f"the resources {', '.join(sorted(names))}",
                found=f"none named {', '.join(missing)}: tasks that ask for it would wait for ever",
                next_step=_worker_command(address),
            )
        _has_memory(
            min(one["resources"][MEMORY], one["memory_limit"] or sys.maxsize),
            f"worker {worker}",
            "a larger --memory-limit",
        )
    _check_versions(client, address)


def _check_versions(client: Client, address: str) -> None:
    """Refuse a cluster with workers of other versions; one that joins later refuses its tasks."""
    ours = own_versions()
    try:
        theirs = client.run(own_versions)
    except Exception as error:  # noqa: BLE001 - whatever a foreign worker's import raises
        theirs = {"its workers": f"{type(error).__name__}: {error}"}
    for worker, found in theirs.items():
        if found != ours:
            raise ClusterError(
                f"worker {worker} of {address}",
                expected=listed(ours),
                found=listed(found),
                next_step="install the same versions there: pip install -c constraints.txt "
                f"'alphaqcm-data[dask]=={__version__}'",
            )


def _has_memory(found: int, who: str, instead: str) -> None:
    if found < LEAST_MEMORY:
        raise ClusterError(
            who,
            expected=f"{LEAST_MEMORY / 1e6:,.0f} MB of memory",
            found=f"{found / 1e6:,.0f} MB",
            next_step=instead,
        )


def _worker_command(address: str) -> str:
    cores = os.cpu_count() or 1
    return (
        f'dask worker {address} --nworkers {cores} --nthreads 1 --memory-limit 4GB --resources "'
        f'{DOWNLOAD}=1 {CPU}=1 {MEMORY}=4e9"'
    )
