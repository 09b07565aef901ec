"""`candles resample --bmac`: the hours of a live directory, once or at each of its closes."""

from __future__ import annotations

import argparse
import asyncio
import signal

from alphaqcm.data_collection.build.candles.resample import ResampleJob, resample_store
from alphaqcm.data_collection.commands.data.candles_resample import make_all, make_job, tell
from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.exchange.clock import default_clock
from alphaqcm.data_collection.live.bmac_source import BmacSource
from alphaqcm.data_collection.process.root_lock import RootPart, hold_root

_EXPIRE_SEC = 40.0  # after a close nobody is waited for longer, as in BmacKit
_NAMED = 5


def run_live(arguments: argparse.Namespace) -> int:
    """Resample the live directory now, with --watch at each close too; 0 when all were made."""
    if arguments.base == "holo":
        raise UsageError("--from holo and --bmac", expected="one of the two")
    source = BmacSource.open(arguments.bmac)
    job = make_job(arguments, source)
    _make(job)
    if arguments.watch:
        asyncio.run(_watch(job, source))
    return 0


def _make(job: ResampleJob) -> None:
    with hold_root(job.root / "_tmp", exclusive=True, part=RootPart.CANDLES):
        made = make_all(job.source, lambda progress: resample_store(job, progress))
    tell(job.source, job.interval, made)


async def _watch(job: ResampleJob, source: BmacSource) -> None:
    """Until SIGINT or SIGTERM; files that are being made are made to their end."""
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(_each_close(job, source))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, task.cancel)
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()


async def _each_close(job: ResampleJob, source: BmacSource) -> None:
    async for run_time, late in source.closes(default_clock(), _EXPIRE_SEC):
        await asyncio.to_thread(_make, job)
        named = ", ".join(late[:_NAMED]) + (" …" if len(late) > _NAMED else "")
        print(
            f"  at {run_time:%Y-%m-%d %H:%M} (Hong Kong)",
            f"late: {named}" if late else "",
            flush=True,
        )
