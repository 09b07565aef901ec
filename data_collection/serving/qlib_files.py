"""The wide table as a data folder of Qlib: calendar, instruments, one binary file a field.

The format is that of github.com/microsoft/qlib (scripts/dump_bin.py writes it,
qlib/data/storage/file_storage.py reads it):

    calendars/60min.txt                    every hour, `2024-02-27 01:00:00`, a line each
    instruments/all.txt                    symbol, first and last hour, tabs between
    features/{symbol}/{field}.60min.bin    float32, little-endian: the index of the first value in
                                           the calendar, then the values up to the last hour

Folders and fields are in lower case. Qlib's name of the frequency is `60min`; its times have no
zone, these are UTC. A bar carries the time at which it starts, as Qlib's minute bars do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import orjson
import polars as pl

from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.serving.export_folder import MARKER, export_folder
from alphaqcm.data_collection.serving.layer_reader import LayerReader
from alphaqcm.data_collection.serving.lazy_symbols import Cut
from alphaqcm.data_collection.serving.panel import HOUR, VALID
from alphaqcm.pipeline.domain.registry import Market
from alphaqcm.pipeline.domain.symbol import Symbol

FREQUENCY: Final = "60min"


@dataclass(frozen=True, slots=True)
class QlibExport:
    """What was written."""

    folder: Path
    symbols: list[str]  # the exchange's names
    hours: int
    fields: list[str]


def write_qlib(
    reader: LayerReader,
    cut: Cut,
    fields: Sequence[str],
    folder: Path,
    *,
    valid: bool,
    variant: str = "",
) -> QlibExport:
    """Write the fields of the cut's rows into `folder`, one symbol held at a time.

    NaN stands where there is no row, where the value is null and, with `valid`, where the row is
    not valid for training. Raises `UsageError` where no row is in the cut or `folder` holds other
    files, `LayerError`, `DiskFull`.
    """
    table = reader.final(cut, variant)
    first, last = (
        table.select(first=pl.col("datetime").min(), last=pl.col("datetime").max()).collect().row(0)
    )
    if first is None:
        raise UsageError(
            reader.layout.final_table(variant), expected="rows of these days", found="none"
        )
    start = np.datetime64(first.replace(tzinfo=None), "us")
    hours = np.arange(start, np.datetime64(last.replace(tzinfo=None), "us") + HOUR, HOUR)
    if cut.symbols is None:
        symbols = [Symbol.parse(name, Market.UM) for name in reader.final_symbols(variant)]
    else:
        symbols = list(cut.symbols)
    lines = []
    with export_folder(folder) as temp:
        for symbol in symbols:
            rows = table.filter(pl.col("symbol") == symbol.table)
            frame = rows.select("datetime", VALID, *(n for n in fields if n != VALID)).collect()
            if not frame.height:
                continue
            places = _places(frame, start)
            target = temp / "features" / symbol.exchange.lower()
            target.mkdir(parents=True)
            for name in fields:
                values = _values(frame, name, valid=valid)
                _write_bin(target / f"{name.lower()}.{FREQUENCY}.bin", places, values)
            own = _texts(hours[[places[0], places[-1]]])
            lines.append("\t".join((symbol.exchange, *own)))
        _write_lines(temp / "calendars" / f"{FREQUENCY}.txt", _texts(hours))
        _write_lines(temp / "instruments" / "all.txt", lines)
        told = {"format": "qlib", "frequency": FREQUENCY, "fields": list(fields)}
        (temp / MARKER).write_bytes(orjson.dumps(told))
    return QlibExport(folder, [line.split("\t")[0] for line in lines], len(hours), list(fields))


def _places(frame: pl.DataFrame, start: np.datetime64) -> npt.NDArray[np.int64]:
    """Where each row lies in the calendar."""
    times = frame["datetime"].to_numpy().astype("datetime64[us]")
    return ((times - start) // HOUR).astype(np.int64)


def _values(frame: pl.DataFrame, name: str, *, valid: bool) -> npt.NDArray[np.float64]:
    value = pl.col(name).cast(pl.Float64)
    if valid:
        value = pl.when(pl.col(VALID) == 1).then(value)
    return frame.select(value).to_series().to_numpy()


def _write_bin(path: Path, places: npt.NDArray[np.int64], values: npt.NDArray[np.float64]) -> None:
    first = int(places[0])
    held = np.full(int(places[-1]) - first + 2, np.nan, dtype="<f4")
    held[0] = first
    held[places - first + 1] = values
    held.tofile(path)


def _texts(hours: npt.NDArray[np.datetime64]) -> list[str]:
    texts = np.datetime_as_string(hours, unit="s")
    return [str(text).replace("T", " ") for text in texts]


def _write_lines(path: Path, lines: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
