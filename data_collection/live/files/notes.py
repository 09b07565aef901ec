"""What must be remembered beside the candles: gaps that the exchange confirmed, and revisions.

Both are JSON lines below `_live/`, appended as they happen; a line that was cut by a crash is
passed over when they are read.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from alphaqcm.data_collection.live.bars.series import Row
from alphaqcm.data_collection.live.events import BarSource

GAPS, REVISIONS = "gaps.jsonl", "revisions.jsonl"


@dataclass(slots=True)
class Notes:
    """The notes of one live directory, written by its one process."""

    folder: Path
    failed: int = 0  # lines that could not be written
    _gaps: dict[str, set[int]] = field(default_factory=dict)

    def load(self, series: str) -> None:
        """Read the gaps of one trade type and interval."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            for line in (self.folder / GAPS).read_bytes().splitlines():
                with contextlib.suppress(orjson.JSONDecodeError, KeyError, TypeError):
                    row = orjson.loads(line)
                    if row["series"] == series:
                        self._gaps.setdefault(row["symbol"], set()).update(row["open_ms"])

    def gaps(self, symbol: str) -> set[int]:
        """Open times of which the exchange is known to have no candle."""
        return self._gaps.get(symbol, set())

    def add_gaps(
        self, series: str, symbol: str, open_ms: Sequence[int], told_ms: int, why: str
    ) -> None:
        """Remember that the exchange has no candles there."""
        self._gaps.setdefault(symbol, set()).update(open_ms)
        row = {"series": series, "symbol": symbol, "open_ms": list(open_ms)}
        self._append(GAPS, row | {"told_ms": told_ms, "why": why})

    def add_revision(
        self,
        series: str,
        symbol: str,
        open_ms: int,
        told_ms: int,
        old: tuple[Row, BarSource],
        new: tuple[Row, BarSource],
        *,
        applied: bool,
    ) -> None:
        """Remember that a candle was told with other values."""
        row = {
            "series": series,
            "symbol": symbol,
            "open_ms": open_ms,
            "told_ms": told_ms,
            "old": old[0],
            "old_source": old[1].name.lower(),
            "new": new[0],
            "new_source": new[1].name.lower(),
            "applied": applied,
        }
        self._append(REVISIONS, row)

    def _append(self, name: str, row: dict[str, object]) -> None:
        try:
            with (self.folder / name).open("ab") as stream:
                stream.write(orjson.dumps(row) + b"\n")
        except OSError:
            self.failed += 1
