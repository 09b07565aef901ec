"""The monitor's loop: look at a queue's files, take a snapshot, show it. It writes nothing.

It reads the state without the queue's lock (the file is replaced whole), the workers' heartbeats,
and asks the kernel which worker locks are held.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import orjson
from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from alphaqcm.data_collection.errors import QueueError
from alphaqcm.data_collection.queue.liveness import (
    LivenessChecker,
    heartbeat_file_age,
    read_heartbeats,
    this_host,
)
from alphaqcm.data_collection.queue.options import workers_dir
from alphaqcm.data_collection.queue.shared_queue import Queue
from alphaqcm.data_collection.reporting.monitor.snapshot import (
    Focus,
    Snapshot,
    WorkerView,
    take_snapshot,
)
from alphaqcm.data_collection.reporting.monitor.view import render


@dataclass(frozen=True, slots=True)
class Monitor:
    """One monitor: which queue, which of its tasks, and after how many seconds it has stalled."""

    state: Path
    root: Path
    title: str
    focus: Focus
    stall: float

    def look(self) -> Snapshot:
        """The queue as it is now; raises `QueueError` where there is none that can be read."""
        queue_state = Queue.open(self.state).snapshot()
        folder = workers_dir(self.state)
        watch = LivenessChecker(folder, this_host())
        views = [
            WorkerView(beat, heartbeat_file_age(folder, beat.worker), watch.looks_alive(beat))
            for beat in read_heartbeats(folder)
        ]
        return take_snapshot(
            queue_state, views, self._disk(), datetime.now(UTC), focus=self.focus, stall=self.stall
        )

    def once(self, console: Console, *, as_json: bool) -> None:
        """Show one snapshot; raises `QueueError`."""
        snapshot = self.look()
        if as_json:
            options = orjson.OPT_NON_STR_KEYS | orjson.OPT_UTC_Z
            console.file.write(orjson.dumps(snapshot, option=options).decode() + "\n")
            console.file.flush()
        else:
            console.print(self._view(snapshot, None))

    def follow(self, console: Console, interval: float, *, as_json: bool) -> NoReturn:
        """Show a snapshot every `interval` seconds, until Ctrl-C."""
        while as_json or not console.is_terminal:
            try:
                self.once(console, as_json=as_json)
            except QueueError as error:
                console.print(f"{error}; looking again", soft_wrap=True)
            time.sleep(interval)
        try:
            with Live(console=console, screen=True, auto_refresh=False) as live:
                while True:
                    live.update(self._frame(console.height), refresh=True)
                    time.sleep(interval)
        finally:
            console.print(self._frame(None))  # the last snapshot stays when the screen goes

    def _frame(self, height: int | None) -> RenderableType:
        try:
            return self._view(self.look(), height)
        except QueueError as error:
            return Text(f"{error}; looking again")

    def _view(self, snapshot: Snapshot, height: int | None) -> RenderableType:
        return render(snapshot, self.title, self.state, self.root, height)

    def _disk(self) -> tuple[int, int]:
        place = self.root.absolute()
        while not place.exists():
            place = place.parent
        usage = shutil.disk_usage(place)
        return usage.free, usage.total
