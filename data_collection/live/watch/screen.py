"""The status of a live directory as text for a terminal of 80 columns."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from filelock import FileLock, Timeout
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.live.watch.snapshot import Spread, Status, status_path
from alphaqcm.data_collection.process.terminal_text import printable

WIDTH = 80
_SILENT = 10.0  # seconds without a new status after which that is told
_ALERTS = 5


@dataclass(frozen=True, slots=True)
class View:
    """A directory's newest status, and whether a process keeps it now."""

    base: Path
    status: Status | None
    alive: bool
    age: float  # seconds since the status was written

    def document(self) -> dict[str, Any]:
        """For programs."""
        told = msgspec.to_builtins(self.status) if self.status is not None else None
        return {"base_dir": str(self.base), "alive": self.alive, "age": self.age, "status": told}


def look(base: Path) -> View:
    """Read a directory's status; raises `UsageError` where there is no live directory."""
    path = status_path(base)
    if not path.parent.is_dir():
        raise UsageError(
            base,
            expected="a live directory",
            found="none that was ever started",
            next_step=f"alphaqcm bmac start {base}",
        )
    try:
        status = msgspec.json.decode(path.read_bytes(), type=Status)
    except (OSError, msgspec.MsgspecError):
        status = None
    age = max(0.0, time.time() - status.written) if status else 0.0
    return View(base, status, _is_held(path.with_name("lock")), age)


def _is_held(path: Path) -> bool:
    if not path.exists():
        return False
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except (Timeout, OSError):
        return True
    lock.release()
    return False


def render(view: View) -> RenderableType:
    """The whole screen."""
    status = view.status
    head = Text(no_wrap=True, overflow="ellipsis")
    state, style = _state(view)
    head.append(state, style)
    head.append(f"  {printable(str(view.base))}", "bold")
    if status is None:
        return Group(head, Text("no status was written yet", "dim"))
    when = Text(f"{status.trade_type} {status.interval}, exchange's time {status.at}", "dim")
    return Group(head, when, Text(), _numbers(status), *_late(status), *_alerts(status))


def _state(view: View) -> tuple[str, str]:
    if not view.alive:
        return "stopped", "bold red"
    if view.age > _SILENT:
        return f"silent for {view.age:.0f} s", "bold yellow"
    if view.status is not None and not view.status.warm:
        return "starting", "bold yellow"
    return "running", "bold green"


def _numbers(status: Status) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", width=12, no_wrap=True)
    table.add_column(width=64, overflow="ellipsis", no_wrap=True)
    ends = ", ".join(f"{number} {why}" for why, number in status.ends.items())
    bars = ", ".join(f"{number:,} {source}" for source, number in status.bars.items())
    frozen = f", frozen for {status.frozen_for:.0f} s" if status.frozen_for else ""
    rows = [
        ("symbols", f"{status.symbols:,} followed, {status.trading:,} trading, "
                    f"{status.ready:,} ready for {status.run_time[11:16]}"),
        ("connections", f"{status.connections_live} of {status.connections} live on "
                        f"{status.route}, {status.frames:,} frames"),
        ("ended", ends or "none"),
        ("bars", bars or "none yet"),
        ("gaps", f"{status.gaps:,} told, {status.repaired:,} repaired, {status.repairing:,} open; "
                 f"{status.revisions:,} revisions"),
        ("latency", f"to bus {_spread(status.to_bus)}; to file {_spread(status.to_file)}"),
        ("files", f"{status.files:,} written, {status.waiting_files:,} waiting, "
                  f"{status.file_errors:,} failed"),
        ("weight", f"{status.weight_used:,} of {status.weight_limit:,} this minute{frozen}"),
        ("clock", f"{status.clock_offset_ms:+.0f} ms"),
    ]  # fmt: skip
    if status.recorder:
        told = ", ".join(f"{number:,} {layer}" for layer, number in status.recorder.items())
        rows.append(("recorded", told))
    if status.restarts:
        told = ", ".join(f"{part} {number}" for part, number in status.restarts.items())
        rows.append(("restarted", told))
    for name, text in rows:
        table.add_row(name, text)
    return table


def _spread(spread: Spread) -> str:
    if not spread.count:
        return "-"
    return f"{spread.p50:.1f}/{spread.p99:.1f}/{spread.most:.0f} ms"


def _late(status: Status) -> list[RenderableType]:
    if not status.late:
        return []
    return [Text(), Text("late: " + ", ".join(status.late), "yellow")]


def _alerts(status: Status) -> list[RenderableType]:
    total = sum(status.alerts.values())
    if not total:
        return [Text(), Text("no alerts", "dim")]
    lines: list[RenderableType] = [Text(), Text(f"{total:,} alerts, the newest", "bold")]
    for one in status.latest[-_ALERTS:]:
        line = Text(no_wrap=True, overflow="ellipsis")
        line.append(f"{one.at[11:19]} ", "dim")
        line.append(f"{one.kind} ", "yellow")
        line.append(printable(one.text).replace("\n", " "))
        lines.append(line)
    return lines
