"""The candle store: one parquet a symbol, whose footer tells what was asked, when and where.

    candles/{spot|usdt_futures|coin_futures}_{interval}/{SYMBOL}.parquet

A file is replaced whole or not at all, and nothing clears a directory. What cannot be read is moved
aside, never written over.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson
import polars as pl

from alphaqcm.data_collection.build.candles.spans import Stretch, gaps, text, union
from alphaqcm.data_collection.exchange.answers import Rejected
from alphaqcm.pipeline.candles.schema import CANDLE_SCHEMA
from alphaqcm.pipeline.candles.window_grid import interval_us
from alphaqcm.pipeline.errors import BadName, LayerError
from alphaqcm.pipeline.storage.artifact import Artifact, Fingerprint, read_frame, read_record
from alphaqcm.pipeline.storage.atomic_write import write_bytes

VERSION = 1
FOLDER = "candles"
_LONGEST_NAME = 100  # bytes


@dataclass(frozen=True, slots=True)
class Covered:
    """A stretch of time that was asked for and answered, by one source at one time."""

    begin_ms: int
    end_ms: int
    source: str  # rest or archive
    fetched_at: str  # ISO 8601, the exchange's time
    pages: int = 0
    weight: int = 0

    @property
    def stretch(self) -> Stretch:
        """As a pair."""
        return self.begin_ms, self.end_ms


@dataclass(frozen=True, slots=True)
class StoredCandles:
    """What the store has of a symbol; `candles` has `CANDLE_SCHEMA`, in order of time."""

    candles: pl.DataFrame
    covered: tuple[Covered, ...]


@dataclass(frozen=True, slots=True)
class CandleStore:
    """The files of one trade type and interval below a data root."""

    root: Path  # the data root
    trade_type: str
    interval: str

    @property
    def folder(self) -> Path:
        """Where the files lie."""
        return self.root / FOLDER / f"{self.trade_type}_{self.interval}"

    @property
    def interval_ms(self) -> int:
        """Milliseconds from one candle to the next."""
        return interval_us(self.interval) // 1000

    def path(self, symbol: str) -> Path:
        """The symbol's file; raises `BadName` for a name that leads elsewhere."""
        if not is_file_name(symbol):
            raise BadName(f"symbol {symbol!r}", expected="letters, digits and _ . -")
        return self.folder / f"{symbol}.parquet"

    def symbols(self) -> list[str]:
        """Symbols with a file, in order."""
        return sorted(path.stem for path in self.folder.glob("*.parquet"))

    def covered(self, symbol: str) -> tuple[Covered, ...]:
        """What was asked for so far; empty where there is no file that can be trusted."""
        record = read_record(self.path(symbol))
        try:
            if record is None or record.fingerprint.version != VERSION:
                return ()
            return tuple(Covered(**one) for one in record.report["covered"])
        except (KeyError, TypeError):
            return ()

    def checksum(self, symbol: str) -> str:
        """SHA-256 of the symbol's rows as the footer has it; empty without a file."""
        record = read_record(self.path(symbol))
        return str(record.report["checksum"]) if record else ""

    def read(self, symbol: str) -> StoredCandles | None:
        """The symbol's candles, None without a file; raises `LayerError` for a damaged one."""
        path = self.path(symbol)
        if not path.exists():
            return None
        record = read_record(path)
        try:
            if record is None:
                raise ValueError("cut short, or not of this store")
            frame = read_frame(path).select(list(CANDLE_SCHEMA))
            if rows_checksum(frame) != record.report["checksum"]:
                raise ValueError("rows that are not those that were written")
            return StoredCandles(frame, self.covered(symbol))
        except (ValueError, KeyError, LayerError, pl.exceptions.PolarsError) as error:
            raise LayerError(
                path,
                expected="a whole file of the candle store",
                found=f"{error}".splitlines()[0],
                next_step="run alphaqcm candles fetch: it moves the file aside and fetches anew",
            ) from error

    def set_aside(self, symbol: str) -> Path | None:
        """Rename a file that cannot be read; the new path, None where the file is whole."""
        try:
            self.read(symbol)
        except LayerError:
            path = self.path(symbol)
            number = 1
            while (to := path.with_name(f"{path.name}.damaged-{number}")).exists():
                number += 1
            return path.rename(to)
        return None

    def add(
        self, symbol: str, frames: Sequence[pl.DataFrame], covered: Sequence[Covered]
    ) -> dict[str, Any]:
        """Merge candles into the symbol's file; the report that its footer then carries.

        Of a candle twice the one that was there stays: what is final does not change. Raises
        `LayerError`, `DiskFull`; the old file then stays as it was.
        """
        old = self.read(symbol)
        every = [*([old.candles] if old else []), *frames]
        rows = (
            pl.concat(every or [pl.DataFrame(schema=CANDLE_SCHEMA)])
            .unique("candle_begin_time", keep="first", maintain_order=True)
            .sort("candle_begin_time")
        )
        parts = _joined([*(old.covered if old else ()), *covered])
        asked = union(part.stretch for part in parts)
        begins = (rows["candle_begin_time"].dt.epoch("ms")).to_numpy()
        report = {
            "symbol": symbol,
            "rows": rows.height,
            "range": [text(asked[0][0]), text(asked[-1][1])] if asked else [],
            "fetched_at": max((part.fetched_at for part in parts), default=""),
            "pages": sum(part.pages for part in parts),
            "weight": sum(part.weight for part in parts),
            "gaps": [[text(a), text(b)] for a, b in gaps(begins, asked, self.interval_ms)],
            "checksum": rows_checksum(rows),
            "covered": [asdict(part) for part in parts],
        }
        fingerprint = Fingerprint(
            f"{FOLDER}/{self.trade_type}", VERSION, (), (("interval", self.interval),)
        )
        Artifact(self.path(symbol), fingerprint).write(rows, report)
        return report

    def quarantine(self, symbol: str, rejected: Sequence[Rejected], seen_at: str) -> Path:
        """Keep rows that cannot be candles, one JSON line each, beside the store."""
        path = self.folder / "quarantine" / f"{symbol}.jsonl"
        kept = path.read_bytes() if path.exists() else b""
        lines = [
            orjson.dumps({"seen_at": seen_at, "reason": one.reason, "row": one.row}) + b"\n"
            for one in rejected
        ]
        write_bytes(path, kept + b"".join(lines))
        return path


def is_file_name(symbol: str) -> bool:
    """Whether a symbol, which is told by a server, may name a file in the store's folder."""
    return re.fullmatch(r"\w[\w.-]*", symbol) is not None and len(symbol.encode()) <= _LONGEST_NAME


def rows_checksum(frame: pl.DataFrame) -> str:
    """SHA-256 of the columns' numbers, little-endian, one column after the other."""
    digest = hashlib.sha256()
    for column in frame.iter_columns():
        digest.update(column.to_physical().to_numpy().tobytes())
    return digest.hexdigest()


def _joined(parts: Sequence[Covered]) -> list[Covered]:
    """In order of time; neighbours of one source and time are one."""
    found: list[Covered] = []
    for part in sorted(parts, key=lambda one: one.stretch):
        last = found[-1] if found else None
        if (
            last is not None
            and last.end_ms >= part.begin_ms
            and (last.source, last.fetched_at) == (part.source, part.fetched_at)
        ):
            found[-1] = Covered(
                last.begin_ms,
                max(last.end_ms, part.end_ms),
                last.source,
                last.fetched_at,
                last.pages + part.pages,
                last.weight + part.weight,
            )
        else:
            found.append(part)
    return found
