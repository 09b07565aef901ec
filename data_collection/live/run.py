"""`bmac start`: holds the live directory alone and works until it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from alphaqcm.data_collection.errors import RootBusy, UsageError
from alphaqcm.data_collection.live.config import LiveConfig, load_config
from alphaqcm.data_collection.live.files.layout import LiveLayout
from alphaqcm.data_collection.live.service import LiveClient, LiveParts, writable
from alphaqcm.data_collection.live.watch.door import Door
from alphaqcm.data_collection.live.watch.snapshot import Watcher
from alphaqcm.data_collection.process.root_lock import RootPart, hold_root
from alphaqcm.pipeline.errors import layer_error
from alphaqcm.pipeline.storage.layout import Layout

SWITCH_INTERVAL = 0.0005
"""Seconds for which a thread that writes files may keep the interpreter from the streams."""


def read_config(base: Path, exchange: str | None) -> LiveConfig:
    """The directory's configuration, asked at another exchange where one is named."""
    if not base.is_dir():
        raise UsageError(
            base,
            expected="a directory with a config.json",
            found="no such directory",
            next_step="make it, and write a config.json into it; see alphaqcm docs live",
        )
    config = load_config(base)
    if not writable(base):
        raise UsageError(base, expected="a directory that can be written", found="it cannot")
    return config.at(exchange) if exchange else config


@contextmanager
def hold(base: Path) -> Iterator[None]:
    """Be the only writer of a live directory; raises `RootBusy`, which says who is."""
    work = LiveLayout(base, "", "").work
    holder = work / "holder.json"
    try:
        work.mkdir(parents=True, exist_ok=True)
        lock = FileLock(work / "lock")
        lock.acquire(timeout=0)
    except Timeout:
        raise RootBusy(
            base,
            expected="a live directory that nobody writes",
            found=_holder(holder),
            next_step="stop that process first; any number may read",
        ) from None
    except OSError as error:
        raise layer_error(work, error) from error
    try:
        holder.write_text(json.dumps({"pid": os.getpid(), "command": " ".join(sys.argv)}))
        yield
    finally:
        lock.release()


def _holder(path: Path) -> str:
    try:
        told = json.loads(path.read_text())
        return f"process {told['pid']}: {told['command']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process that holds it"


async def work(client: LiveClient, port: int = 0) -> None:
    """Run a client, its door and its status file until SIGINT, SIGTERM or SIGHUP."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stopping.set)
    door = Door(Watcher(client), port)
    client.supervisor.add("door", door.serve)
    client.supervisor.add("status", door.write)
    running = asyncio.create_task(client.run())
    waiting = asyncio.create_task(stopping.wait())
    await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if not running.done():
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await asyncio.to_thread(client.finish)
        return
    running.result()


def start(base: Path, config: LiveConfig, port: int = 0, data_root: Path | None = None) -> None:
    """Work in a live directory until stopped, and record below `data_root` where one is named.

    Raises `RootBusy`, `ExchangeError`.
    """

    async def run() -> None:
        async with LiveClient(base, config, LiveParts(data_root=data_root)) as client:
            await work(client, port)

    sys.setswitchinterval(SWITCH_INTERVAL)
    with contextlib.ExitStack() as held:
        held.enter_context(hold(base))
        if data_root is not None:
            temp = Layout(data_root).temp
            held.enter_context(hold_root(temp, exclusive=True, part=RootPart.RECORDED))
        asyncio.run(run())
