"""The ready protocol: a candle file and the ready file that tells to when it is complete.

For run time T of a symbol, in this order:

1. the rows are written to `.SYM.<pid>.tmp`, whose footer has `as_of` = T
2. it is renamed to `SYM.pqt`
3. a temp file is renamed to the new ready file
4. the old ready file, known by its name, is removed

Whoever sees the ready file of T reads every row up to T, then and later. A process that is killed
between two steps leaves that true; `recover` cleans up behind it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from alphaqcm.data_collection.live.config import SaveType
from alphaqcm.data_collection.live.files.layout import SUFFIXES
from alphaqcm.data_collection.live.files.ready_names import parse_ready_name, ready_name
from alphaqcm.data_collection.live.files.tables import CandleRows, read_candles, write_candles


class Step(Enum):
    """How far a file has come; tests end the process at each."""

    WRITTEN = 1
    IN_PLACE = 2
    READY = 3
    OLD_GONE = 4


@dataclass(slots=True)
class ReadyFiles:
    """The files of one folder, written by one process; symbols may be written side by side."""

    folder: Path
    save_type: SaveType = SaveType.PARQUET
    fsync: bool = False
    reached: Callable[[Step], None] = lambda _: None
    _ready: dict[str, int] = field(default_factory=dict)  # run time of each name's ready file, µs

    def path(self, name: str) -> Path:
        """The data file of a symbol."""
        return self.folder / f"{name}.{SUFFIXES[self.save_type]}"

    def ready_at(self, name: str) -> int | None:
        """The run time (µs) of the symbol's ready file."""
        return self._ready.get(name)

    def names(self) -> list[str]:
        """Symbols that have a data file."""
        suffix = f".{SUFFIXES[self.save_type]}"
        return sorted(
            path.name.removesuffix(suffix)
            for path in self.folder.iterdir()
            if path.name.endswith(suffix) and not path.name.startswith(".")
        )

    def recover(self) -> int:
        """Make the folder, remove what a killed process left; how many files were removed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        found: dict[str, list[int]] = {}
        removed = 0
        for path in list(self.folder.iterdir()):
            if path.name.startswith(".") and path.name.endswith(".tmp"):
                path.unlink(missing_ok=True)
                removed += 1
            elif (parsed := parse_ready_name(path.name)) is not None:
                found.setdefault(parsed[0], []).append(parsed[1])
        for name, times in found.items():
            newest = max(times)
            superseded = [time for time in times if time != newest]
            if not self.path(name).exists():  # ready for nothing
                superseded = times
            else:
                self._ready[name] = newest
            for time in superseded:
                (self.folder / ready_name(name, time)).unlink(missing_ok=True)
                removed += 1
        return removed

    def write(self, name: str, rows: CandleRows, interval_ms: int) -> None:
        """Write a symbol's candles and make them ready; raises OSError, nothing is torn then."""
        self.publish(
            name,
            rows.as_of_us,
            lambda temp: write_candles(temp, rows, interval_ms, self.save_type),
        )

    def publish(self, name: str, run_time_us: int, write: Callable[[Path], None]) -> None:
        """Let `write` fill the data file of `name`, and make it ready for the run time."""
        temp = self.folder / f".{name}.{os.getpid()}.tmp"
        ready_temp = self.folder / f".{name}.ready.{os.getpid()}.tmp"
        ready = self.folder / ready_name(name, run_time_us)
        try:
            write(temp)
            self._sync(temp)
            self.reached(Step.WRITTEN)
            temp.replace(self.path(name))
            self.reached(Step.IN_PLACE)
            ready_temp.touch()
            ready_temp.replace(ready)
        except BaseException:
            temp.unlink(missing_ok=True)
            ready_temp.unlink(missing_ok=True)
            raise
        self.reached(Step.READY)
        old = self._ready.get(name)
        self._ready[name] = run_time_us
        if old is not None and old != run_time_us:
            (self.folder / ready_name(name, old)).unlink(missing_ok=True)
        self._sync(self.folder)
        self.reached(Step.OLD_GONE)

    def withdraw(self, name: str) -> None:
        """Remove the ready file of a symbol: nothing is to be believed of it any more."""
        old = self._ready.pop(name, None)
        if old is not None:
            (self.folder / ready_name(name, old)).unlink(missing_ok=True)

    def read(self, name: str, interval_ms: int) -> CandleRows | None:
        """A symbol's candles; None without a file, or where it is damaged and was moved aside."""
        path = self.path(name)
        try:
            return read_candles(path, interval_ms, self.save_type)
        except FileNotFoundError:
            return None
        except ValueError:
            self.withdraw(name)
            path.replace(path.with_name(f"{path.name}.damaged"))
            return None

    def move(self, name: str, to: Path) -> None:
        """Move a symbol's data file to another folder; its ready file goes first."""
        self.withdraw(name)
        path = self.path(name)
        if path.exists():
            to.mkdir(parents=True, exist_ok=True)
            path.replace(to / path.name)

    def _sync(self, path: Path) -> None:
        if not self.fsync:
            return
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
