"""The monitor's snapshot as text for a terminal of 80 columns, or for none."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from alphaqcm.data_collection.process.terminal_text import printable
from alphaqcm.data_collection.queue.state import TaskState
from alphaqcm.data_collection.reporting.monitor.snapshot import Failure, Snapshot, Speed, Worker

WIDTH = 80
_STATES = {
    TaskState.PENDING: ("pending", ""),
    TaskState.IN_PROGRESS: ("at work", "cyan"),
    TaskState.DONE: ("done", "green"),
    TaskState.ABSENT: ("absent", "dim"),
    TaskState.FAILED: ("failed", "bold red"),
}
_ARCHIVE_FOLDER = re.compile(r"\bdata/(?:spot|futures)/\S+/")  # of an archive key, its name follows
_REASON_LINES = 3
_SHOWN = 6  # failures told one by one
_STATUS = {
    "working": ("●", "green"),
    "waiting": ("○", "green"),
    "silent": ("◐", "bold yellow"),
    "dead": ("✗", "bold red"),
    "finished": ("·", "dim"),
    "stopped": ("·", "dim"),
    "error": ("✗", "red"),
}


def render(
    snapshot: Snapshot, title: str, state: Path, root: Path, height: int | None
) -> RenderableType:
    """The whole snapshot; `height` is the number of lines there are, None for as many as needed."""
    head = [*_head(snapshot, title, state), *_warnings(snapshot)]
    body = [_steps(snapshot), Text(), *_workers(snapshot), Text(), _pace(snapshot)]
    trailing = [
        *_failures("failures", snapshot.failures),
        *_failures("unusable archive files", snapshot.problems),
    ]
    newest = list(_newest(snapshot, root))
    if height is not None:
        room = max(0, height - _fixed_lines(snapshot))
        trailing = _first(trailing, room - min(len(newest), 5))
        newest = newest[: room - len(trailing)]
    return Group(*head, *body, *trailing, *newest)


def _fixed_lines(snapshot: Snapshot) -> int:
    """Lines that are shown in any case: head, steps, workers, pace and the blanks between them."""
    steps = len(snapshot.steps) + (len(snapshot.steps) != 1)
    told = len(snapshot.warnings) + (snapshot.over)
    return 3 + told + 1 + (1 + steps) + 1 + (1 + max(1, len(snapshot.workers))) + 1 + 4 + 1


def _first(lines: list[Text], number: int) -> list[Text]:
    """As many of the lines as fit, and a word if some do not."""
    if len(lines) <= number:
        return lines
    return [*lines[: max(0, number - 1)], Text("… (more in --once and --json)", "dim")]


def _head(snapshot: Snapshot, title: str, state: Path) -> Iterable[RenderableType]:
    line = Table.grid(expand=False, padding=0)
    line.add_column(width=WIDTH - 21, overflow="ellipsis", no_wrap=True)
    line.add_column(width=21, justify="right")
    stamp = f"{snapshot.at:%Y-%m-%d %H:%M:%SZ}"
    line.add_row(Text(title, "bold"), Text(stamp, "dim"))
    yield line
    yield _cut(_about(snapshot, state), "dim")
    share = snapshot.settled / snapshot.tasks if snapshot.tasks else 0.0
    bar = Table.grid(padding=(0, 1))
    bar.add_column(width=44)
    bar.add_column()
    counted = f"{100 * share:5.1f} %  {snapshot.settled:,} of {snapshot.tasks:,} tasks"
    bar.add_row(
        ProgressBar(total=max(1, snapshot.tasks), completed=snapshot.settled, width=44), counted
    )
    yield bar


def _about(snapshot: Snapshot, state: Path) -> str:
    told = snapshot.settings
    if "start" not in told:
        return str(state)
    symbols = told.get("symbols", [])
    if not isinstance(symbols, list | tuple):
        return str(state)  # somebody else's settings
    names = ", ".join(map(str, symbols)) if len(symbols) <= 3 else f"{len(symbols)} symbols"
    return f"{told.get('market')}  {told['start']} .. {told['end']}  {names}  {told.get('source')}"


def _warnings(snapshot: Snapshot) -> Iterable[RenderableType]:
    for text in snapshot.warnings:
        yield Text(printable(f"! {text}"), "bold yellow", overflow="fold")
    if snapshot.over:
        failed = snapshot.totals[TaskState.FAILED]
        if failed or snapshot.blocked:
            yield Text(
                f"! over: {failed} failed, {snapshot.blocked} need them; "
                "--retry-failed brings them back",
                "bold red",
            )
        elif snapshot.tasks:
            yield Text("finished: every task is done or absent at the source", "bold green")
        else:
            yield Text("this queue has no such tasks", "yellow")
    yield Text()


def _steps(snapshot: Snapshot) -> RenderableType:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("step", width=30, no_wrap=True)
    for name, _ in _STATES.values():
        table.add_column(name, justify="right", width=9)
    rows = dict(snapshot.steps)
    if len(rows) != 1:
        rows["all"] = snapshot.totals
    for name, counts in rows.items():
        cells = [
            Text(f"{counts[state]:,}" if counts[state] else "·", style if counts[state] else "dim")
            for state, (_, style) in _STATES.items()
        ]
        table.add_row(Text(printable(name), "bold" if name == "all" else ""), *cells)
    return table


def _workers(snapshot: Snapshot) -> Iterable[RenderableType]:
    if not snapshot.workers:
        yield Text("no worker has been here yet", "yellow")
        return
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("worker", width=9, no_wrap=True, overflow="ellipsis")
    table.add_column("", width=10, no_wrap=True)
    table.add_column("task", width=35, no_wrap=True, overflow="ellipsis")
    table.add_column("for", width=6, justify="right", no_wrap=True)
    table.add_column("done", width=6, justify="right", no_wrap=True)
    table.add_column("read", width=9, justify="right", no_wrap=True)
    for worker in snapshot.workers:
        mark, style = _STATUS.get(worker.status, ("?", ""))
        table.add_row(
            Text(printable(worker.name)),
            Text(f"{mark} {worker.status}", style),
            _task(worker),
            _since(worker),
            f"{worker.done:,}",
            size_text(worker.bytes),
        )
    yield table


def _task(worker: Worker) -> Text:
    return Text(printable(worker.task.removeprefix("month/")) or "-")


def _since(worker: Worker) -> str:
    return duration_text(worker.seconds) if worker.task or worker.status == "dead" else ""


def _pace(snapshot: Snapshot) -> RenderableType:
    table = Table.grid(padding=(0, 1))
    table.add_column(width=7, style="dim")
    table.add_column()
    table.add_row("speed", _speed_text("end" if snapshot.ended else "now", snapshot.speed_now))
    table.add_row("", _speed_text("hour", snapshot.speed_hour))
    table.add_row("finish", _finish(snapshot))
    share = snapshot.disk_free / snapshot.disk_total if snapshot.disk_total else 0.0
    table.add_row("disk", f"{size_text(snapshot.disk_free)} free ({100 * share:.0f} %)")
    return table


def _speed_text(name: str, speed: Speed) -> str:
    rows = speed.rows
    unit = next((u for u in ((1e6, " M"), (1e3, " k")) if rows >= u[0]), (1.0, " "))
    return (
        f"{name:4} {speed.bytes / 1e6:8.1f} MB/s {rows / unit[0]:8.1f}{unit[1]}rows/s"
        f"   (last {duration_text(speed.window)})"
    )


def _finish(snapshot: Snapshot) -> str:
    if snapshot.ended is not None:
        return f"ended {snapshot.ended:%Y-%m-%d %H:%MZ}"
    if snapshot.over:
        return "-"
    if snapshot.seconds_left is None:
        return "cannot be told before a task is finished and a worker is alive"
    end = snapshot.at + timedelta(seconds=snapshot.seconds_left)
    day = "" if end.date() == snapshot.at.date() else f"{end:%Y-%m-%d} "
    least = "not before " if snapshot.left_is_least else "about "
    return f"{least}{day}{end:%H:%M}Z, in {duration_text(snapshot.seconds_left)}"


def _failures(title: str, failures: tuple[Failure, ...]) -> Iterable[Text]:
    if not failures:
        return
    yield Text()
    yield _rule(f"{title}: {len(failures)}", "bold red")
    for failure in failures[:_SHOWN]:
        tries = f", {failure.attempts} attempts" if failure.attempts > 1 else ""
        again = f", again at {failure.next_try[11:19]}Z" if failure.next_try else ""
        yield _cut(f"{failure.task}{tries}{again}", "red")
        reason = printable(_ARCHIVE_FOLDER.sub("", failure.reason))
        for line in textwrap.wrap(reason, WIDTH - 4)[:_REASON_LINES]:
            yield Text(f"  {line}")
    if len(failures) > _SHOWN:
        yield Text(f"and {len(failures) - _SHOWN} more (--json has all)", "dim")


def _newest(snapshot: Snapshot, root: Path) -> Iterable[Text]:
    if not snapshot.newest:
        return
    yield Text()
    yield _rule("newest outputs", "dim")
    for at, output in snapshot.newest:
        path = Path(output)
        inside = path.is_relative_to(root.resolve())
        shown = str(path.relative_to(root.resolve()) if inside else path)
        cut = shown if len(shown) <= WIDTH - 11 else "…" + shown[12 - WIDTH :]
        yield _cut(f"{at[11:19]}Z  {cut}", "")


def _rule(title: str, style: str) -> Text:
    """A title and a line after it, as wide as the tables however wide the terminal is."""
    line = "─" * max(0, WIDTH - len(title) - 1)
    return Text.assemble((title, style), " ", (line, "dim"), no_wrap=True, overflow="crop")


def _cut(text: str, style: str) -> Text:
    return Text(printable(text.replace("\n", " ")), style, no_wrap=True, overflow="ellipsis")


def size_text(size: float) -> str:
    """A number of bytes in decimal units: `82.1 GB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(size) < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def duration_text(seconds: float) -> str:
    """A duration in its two largest units: `1h05m`, `2d03h`."""
    whole = round(seconds)
    for unit, name, small, least in (
        (86_400, "d", 3_600, "h"),
        (3_600, "h", 60, "m"),
        (60, "m", 1, "s"),
    ):
        if whole >= unit:
            return f"{whole // unit}{name}{whole % unit // small:02}{least}"
    return f"{whole}s"
