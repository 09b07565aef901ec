"""Daily parts: one growing CSV a symbol, kind and UTC day, in the archive's own columns.

    {data root}/recorded/parts/{market}/{kind}/{SYMBOL}/{YYYY-MM-DD}.csv

Rows are kept in memory until `flush`. A row that a crash cut is dropped when the part is next
written to; whoever reads a part passes over rows that are there twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path

from alphaqcm.pipeline.domain.registry import Market

_DAY_US = 86_400_000_000


class Kind(StrEnum):
    """What is recorded; the value names the folder."""

    KLINES = "klines_1m"
    AGG_TRADES = "aggTrades"
    MARK_PRICE = "markPrice"
    FORCE_ORDER = "forceOrder"


Key = tuple[Kind, str, int]
"""Kind, symbol, number of the UTC day since the epoch."""


def day_of(number: int) -> date:
    """The date of a day's number."""
    return datetime.fromtimestamp(number * 86_400, UTC).date()


@dataclass(slots=True)
class DayParts:
    """The parts of one market below a data root, written by one process."""

    root: Path
    market: Market
    rows: Counter[str] = field(default_factory=Counter)  # written so far, by kind
    _waiting: dict[Key, list[str]] = field(default_factory=dict)
    _mended: set[Key] = field(default_factory=set)

    @property
    def folder(self) -> Path:
        """Where the parts lie."""
        return self.root / "recorded" / "parts" / self.market

    def path(self, kind: Kind, symbol: str, day: int) -> Path:
        """One part."""
        return self.folder / kind / symbol / f"{day_of(day)}.csv"

    def add(self, kind: Kind, symbol: str, time_us: int, row: str) -> None:
        """One row without its line's end."""
        self._waiting.setdefault((kind, symbol, time_us // _DAY_US), []).append(row)

    @property
    def waiting(self) -> int:
        """Rows that are not written yet."""
        return sum(len(rows) for rows in self._waiting.values())

    def take(self) -> dict[Key, list[str]]:
        """What waits; it does not wait any more."""
        taken, self._waiting = self._waiting, {}
        return taken

    def give_back(self, taken: dict[Key, list[str]]) -> None:
        """What could not be written waits again, before what came since."""
        for key, rows in taken.items():
            self._waiting[key] = rows + self._waiting.get(key, [])

    def write(self, taken: dict[Key, list[str]]) -> None:
        """Append rows; those that are written leave `taken`. Raises OSError."""
        for key in list(taken):
            path = self.path(*key)
            if key not in self._mended:
                path.parent.mkdir(parents=True, exist_ok=True)
                _drop_cut_row(path)
                self._mended.add(key)
            rows = taken[key]
            _append(path, rows)
            self.rows[key[0]] += len(rows)
            del taken[key]

    def days(self, kind: Kind) -> Iterable[tuple[str, date, Path]]:
        """Every part of a kind: symbol, day, path."""
        for path in sorted((self.folder / kind).glob("*/*.csv")):
            yield path.parent.name, date.fromisoformat(path.stem), path

    def last_row(self, kind: Kind, symbol: str) -> str | None:
        """The newest whole row of a symbol, None without any."""
        for path in sorted((self.folder / kind / symbol).glob("*.csv"), reverse=True):
            lines = path.read_text(encoding="utf-8").rpartition("\n")[0].splitlines()
            if lines:
                return lines[-1]
        return None


def read_rows(path: Path) -> list[list[str]]:
    """The whole rows of a part, split at commas."""
    text = path.read_text(encoding="utf-8").rpartition("\n")[0]
    return [line.split(",") for line in text.splitlines()]


def _append(path: Path, rows: list[str]) -> None:
    """Append all of the rows or none, as far as a full disk allows."""
    data = ("\n".join(rows) + "\n").encode()
    with path.open("ab", buffering=0) as stream:
        before = stream.tell()
        try:
            written = stream.write(data)
            if written != len(data):
                raise OSError("disk full")
        except OSError:
            stream.truncate(before)
            raise


def _drop_cut_row(path: Path) -> None:
    if not path.exists():
        return
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole != len(data):
        with path.open("r+b") as stream:
            stream.truncate(whole)
