"""The 1-minute layers as a data set that explains itself: symbols as a column, units, sort order.

Each file is one symbol's month: `{layer}/{symbol}/{month}.parquet`, or in the manner of Hive
`{layer}/symbol={symbol}/{month}.parquet`, which query engines read as partitions. Rows are those of
the layer, with `symbol` before them; a field's metadata has its `unit` and `definition`; the files
declare that they are sorted by time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.serving.export_folder import MARKER, export_folder
from alphaqcm.data_collection.serving.layer_files import minute_files
from alphaqcm.data_collection.serving.layer_reader import BARS, COUNT, FLOW, LayerReader
from alphaqcm.data_collection.serving.lazy_symbols import Cut, require_symbols
from alphaqcm.pipeline.candles.window_grid import WindowGrid
from alphaqcm.pipeline.domain.period import Period
from alphaqcm.pipeline.domain.symbol import Symbol
from alphaqcm.pipeline.errors import LayerError
from alphaqcm.pipeline.reading.minute_fields import MinuteField, minute_fields

_EACH: Final = WindowGrid.of("1m", "1m", "0m")
_LAYERS: Final = (BARS, FLOW)


@dataclass(frozen=True, slots=True)
class LayerCopies:
    """What was written."""

    folder: Path
    files: int
    rows: int


def write_layers(reader: LayerReader, cut: Cut, folder: Path, *, hive: bool) -> LayerCopies:
    """Copy what there is of the 1-minute layers in the cut into `folder`, a month at a time.

    Raises `UsageError` where no layer has minutes of the cut, for a symbol that no layer has and
    where `folder` holds other files; `LayerError`, `DiskFull`.
    """
    found = {
        layer.data_type: minute_files(reader.layout, layer.data_type).by_symbol()
        for layer in _LAYERS
    }
    _require_some(reader, cut, set().union(*found.values()))
    files = rows = 0
    with export_folder(folder) as temp:
        for layer in _LAYERS:
            name = minute_files(reader.layout, layer.data_type).name
            schema = _schema(minute_fields(layer.data_type, reader.layout.market), layer.columns)
            for symbol, months in found[layer.data_type].items():
                if cut.symbols is not None and symbol not in [s.exchange for s in cut.symbols]:
                    continue
                target = temp / name / (f"symbol={symbol}" if hive else symbol)
                for month, part in _months(months, cut):
                    own = Cut((Symbol(reader.layout.market, symbol),), part.start_us, part.stop_us)
                    frame = reader.windows(layer, own, _EACH).drop(COUNT).collect()
                    if frame.height:
                        _write(frame.rename({"datetime": "minute"}), schema, target / month)
                        files, rows = files + 1, rows + frame.height
        if not files:
            raise UsageError(reader.layout.base, expected="minutes of these days", found="none")
        (temp / MARKER).write_bytes(orjson.dumps({"format": "layers", "hive": hive}))
    return LayerCopies(folder, files, rows)


def _require_some(reader: LayerReader, cut: Cut, there: set[str]) -> None:
    if cut.symbols is not None:
        names = [symbol.exchange for symbol in cut.symbols]
        require_symbols(dict.fromkeys(there), names, reader.layout.base, "minutes")
    elif not there:
        raise UsageError(
            reader.layout.base,
            expected="1-minute layers",
            found="none",
            next_step="alphaqcm run makes them; or name another data root or market",
        )


def _months(months: Sequence[Path], cut: Cut) -> Iterable[tuple[str, Cut]]:
    """Each month file's name and what the cut has of the month."""
    for path in months:
        month = Period.parse(path.stem)
        start = max(month.start_us, cut.start_us or month.start_us)
        stop = min(month.end_us, cut.stop_us or month.end_us)
        if start < stop:
            yield path.name, Cut(None, start, stop)


def _schema(fields: Mapping[str, MinuteField], columns: Mapping[str, pl.DataType]) -> pa.Schema:
    types = {"symbol": pl.String(), "minute": pl.Datetime("us", "UTC"), **columns}
    empty = pl.DataFrame(schema=types).to_arrow(compat_level=pl.CompatLevel.oldest())
    # engines infer partitions as plain strings, and refuse a column of large ones beside them
    plain = empty.schema.set(0, pa.field("symbol", pa.string()))
    return pa.schema(
        [
            one.with_metadata(
                {"unit": fields[one.name].unit, "definition": fields[one.name].definition}
            )
            for one in plain
        ]
    )


def _write(frame: pl.DataFrame, schema: pa.Schema, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = frame.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(schema)
    order = [pq.SortingColumn(schema.get_field_index(name)) for name in ("symbol", "minute")]
    try:
        pq.write_table(
            table, path, compression="zstd", use_dictionary=["symbol"], sorting_columns=order,
            write_page_checksum=True,
        )  # fmt: skip
    except pa.ArrowException as error:
        raise LayerError(path, expected="minutes to write", found=str(error)) from error
