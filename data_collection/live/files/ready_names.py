"""What ready files are called: `SYM_20240131_080000.ready`, the run time in Hong Kong time."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from alphaqcm.data_collection.exchange.timing import DEFAULT_TZ

_END = ".ready"
_STAMP = "%Y%m%d_%H%M%S"
_STAMP_SIZE = len("20240131_080000")


def stamp_of(run_time_us: int) -> str:
    """A run time (µs since the epoch) as names of ready files tell it; later ones sort later."""
    moment = datetime.fromtimestamp(run_time_us // 1_000_000, UTC)
    return moment.astimezone(DEFAULT_TZ).strftime(_STAMP)


def ready_name(name: str, run_time_us: int) -> str:
    """Name of the file that says that the rows of a symbol are there up to a run time (µs)."""
    return f"{name}_{stamp_of(run_time_us)}{_END}"


def parse_ready_name(file_name: str) -> tuple[str, int] | None:
    """(symbol, run time in µs) of a ready file's name, None for other names."""
    stem = file_name.removesuffix(_END)
    name, stamp = stem[: -_STAMP_SIZE - 1], stem[-_STAMP_SIZE:]
    if stem == file_name or not name or stem[len(name)] != "_":
        return None
    try:
        moment = datetime.strptime(stamp, _STAMP).replace(tzinfo=DEFAULT_TZ)
    except ValueError:
        return None
    return name, int(moment.timestamp()) * 1_000_000


def latest_ready(folder: Path) -> dict[str, str]:
    """Of each symbol in `folder` the stamp of its ready file, of several the last."""
    found: dict[str, str] = {}
    try:
        names = os.listdir(folder)  # one call for 700 symbols  # noqa: PTH208
    except FileNotFoundError:
        return found
    for file_name in names:
        stem = file_name.removesuffix(_END)
        name, stamp = stem[: -_STAMP_SIZE - 1], stem[-_STAMP_SIZE:]
        if stem != file_name and name and stamp > found.get(name, ""):
            found[name] = stamp
    return found
