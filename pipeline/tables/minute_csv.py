"""1m bars of a symbol as one CSV (`crypto_1min`), on request, from the 1m klines parquet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from alphaqcm.pipeline.domain.date_range import DateRange
from alphaqcm.pipeline.domain.period import months_between
from alphaqcm.pipeline.domain.registry import DataType
from alphaqcm.pipeline.domain.symbol import Symbol
from alphaqcm.pipeline.errors import LayerError
from alphaqcm.pipeline.reading.month_file import inside
from alphaqcm.pipeline.storage.artifact import (
    Artifact,
    Fingerprint,
    layer_inputs,
    read_frame,
    sidecar_path,
)
from alphaqcm.pipeline.storage.csv_file import CSV_TIME
from alphaqcm.pipeline.storage.file_digest import sealed_json
from alphaqcm.pipeline.storage.layout import Layout

STAGE = "crypto_1min"
VERSION = 1
COLUMNS = ("datetime", "open", "high", "low", "close", "volume")


@dataclass(frozen=True, slots=True)
class MinuteCsv:
    """What became of one symbol's CSV."""

    path: Path
    rows: int
    built: bool  # False: nothing was to be added


def symbols_with_minutes(layout: Layout) -> list[Symbol]:
    """The symbols that the 1m klines layer holds, sorted by the exchange's name."""
    files = layout.store.list(layout.months(DataType.KLINES, "1m"), "*/*.parquet")
    names = sorted({path.parent.name for path in files})
    return [Symbol(layout.market, name) for name in names]


def minute_files(layout: Layout, symbol: Symbol) -> dict[str, Path]:
    """Month -> file of the symbol's 1m klines, months in order."""
    folder = layout.months(DataType.KLINES, "1m") / symbol.exchange
    return {path.stem: path for path in layout.store.list(folder, "*.parquet")}


def write_minute_csv(
    layout: Layout, symbol: Symbol, span: DateRange, created_at: str
) -> MinuteCsv | None:
    """Write `{SYM}_1m.csv` and its `.meta.json` for the days of `span`, month by month.

    None when the layer has no minute of the symbol in these months. When the CSV is current it
    stays, and its marker says `noop`. `created_at` is ISO 8601. Raises `LayerError`, `DiskFull`.
    """
    wanted = {month.stamp for month in months_between(span.start, span.end)}
    files = {stamp: path for stamp, path in minute_files(layout, symbol).items() if stamp in wanted}
    if not files:
        return None
    path = layout.stage_file(STAGE, symbol)
    fingerprint = Fingerprint(
        STAGE,
        VERSION,
        layer_inputs(files.items()),
        (("end", span.end.isoformat()), ("start", span.start.isoformat())),
    )
    artifact = Artifact(path, fingerprint, layout.store)
    held = artifact.current()
    if held is not None:
        told = {**held.report, "status": "noop", "created_at_utc": created_at}
        layout.store.replace(sidecar_path(path), sealed_json(told, indent=True))
        return MinuteCsv(path, int(held.report["rows"]), built=False)
    with layout.store.batch() as batch:
        temp = batch.add(path)
        rows, last = _write(temp, list(files.values()), span)
        told = {
            "status": "ok",
            "ccxt_symbol": symbol.ccxt,
            "binance_symbol": symbol.exchange,
            "requested_start": span.start.isoformat(),
            "requested_end": span.end.isoformat(),
            "max_ts": last,
            "created_at_utc": created_at,
            "rows": rows,
        }
        artifact.add_sidecar(batch, temp, told)
        batch.commit()
    return MinuteCsv(path, rows, built=True)


def _write(target: Path, files: Sequence[Path], span: DateRange) -> tuple[int, str | None]:
    rows, last = 0, None
    with target.open("wb") as stream:
        for path in files:
            try:
                frame = (
                    read_frame(path, ["minute", *COLUMNS[1:]])
                    .filter(inside("minute", span))
                    .rename({"minute": "datetime"})
                    .select(COLUMNS)
                )
                frame.write_csv(stream, include_header=path == files[0], datetime_format=CSV_TIME)
            except pl.exceptions.PolarsError as error:
                raise LayerError(
                    path,
                    expected="a month of 1m klines",
                    found=str(error).splitlines()[0],
                    next_step="remove it and run again: it is made anew from the cache",
                ) from error
            if frame.height:
                rows += frame.height
                last = frame["datetime"][-1].isoformat()
    return rows, last
