"""A table grown by days: chunks that stay are copied, and the bytes are those of a full build."""

from __future__ import annotations

import hashlib
import io
import os
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alphaqcm.pipeline.domain.date_range import DateRange
from alphaqcm.pipeline.domain.period import Period
from alphaqcm.pipeline.domain.time import epoch_us
from alphaqcm.pipeline.errors import LayerError
from alphaqcm.pipeline.features.columns import (
    COLUMNS,
    CROSS_SECTION,
    REGISTRY,
    SYMBOL_COLUMNS,
    VERSION,
    DType,
)
from alphaqcm.pipeline.features.cross_section import cross_section
from alphaqcm.pipeline.features.factors.rolling import with_volume_clean
from alphaqcm.pipeline.storage.artifact import Artifact, Fingerprint, Input
from alphaqcm.pipeline.storage.layout import Layout
from alphaqcm.pipeline.storage.parquet_footer import read_footer_of
from alphaqcm.pipeline.storage.parquet_splice import ChunkRef, EncodedFile, Splice
from alphaqcm.pipeline.tables.append_rows import (
    ExistingTable,
    GrownPart,
    SymbolAppend,
    first_change,
    write_appended,
)
from alphaqcm.pipeline.tables.table_file import TableOptions, open_writer, write_table
from alphaqcm.pipeline.tables.wide_table import LAYER, wide_frames

OPTIONS = TableOptions(row_group_size=100)
START = date(2024, 1, 1)
SYMBOLS = ("AAA_USDT:USDT", "BBB_USDT:USDT", "CCC_USDT:USDT")


def own_rows(symbol: str, days: int, late: int = 0) -> pl.DataFrame:
    """Own columns of `days` days of hours from day `late` on; the same days give the same rows."""
    first = epoch_us(START) // 3_600_000_000
    times = pl.Series(np.arange(first + late * 24, first + days * 24) * 3_600_000_000)
    noise = np.random.default_rng(sum(symbol.encode()))
    columns = []
    for name in SYMBOL_COLUMNS:
        dtype = REGISTRY[name].dtype
        values = noise.lognormal(size=10_000)[late * 24 : days * 24]
        if name == "symbol":
            columns.append(pl.Series(name, [symbol] * len(times)))
        elif dtype is DType.TIME:
            columns.append(times.cast(dtype.polars).alias(name))
        elif dtype is DType.FLOAT:
            column = pl.Series(name, values)
            columns.append(column.set(column > 4, None) if name != "volume" else column)
        else:
            columns.append(pl.Series(name, values > 1).cast(dtype.polars))
    return with_volume_clean(pl.DataFrame(columns))


class Rows:
    """A symbol's rows in memory, as the cross-section reads them."""

    def __init__(self, symbol: str, frame: pl.DataFrame) -> None:
        self.symbol, self.frame = symbol, frame

    def read(self, columns: list[str]) -> pl.DataFrame:
        return self.frame.select(columns)


def prints(days: int, names: tuple[str, ...]) -> dict[str, Fingerprint]:
    return {name: Fingerprint("symbol_table", days, (Input(name, "0" * 64),)) for name in names}


def build(path: Path, rows: dict[str, pl.DataFrame], days: int, options: TableOptions) -> None:
    """The table as a full build writes it."""
    parts = [Rows(name, frame) for name, frame in rows.items() if frame.height]
    held = prints(days, tuple(part.symbol for part in parts))
    fingerprint = Fingerprint(
        LAYER,
        VERSION,
        tuple(Input(name, held[name].digest) for name in held),
        (*options.parameters, ("end", str(last_day(days))), ("start", str(START))),
    )
    frames = wide_frames(parts, cross_section(parts))  # type: ignore[arg-type]
    write_table(frames, Artifact(path, fingerprint), options, dict.fromkeys(held))


def last_day(days: int) -> date:
    return START + timedelta(days=days - 1)


def grown_equals_built(
    folder: Path,
    old: dict[str, pl.DataFrame],
    new: dict[str, pl.DataFrame],
    since: dict[str, date | None],
    days: int,
    options: TableOptions = OPTIONS,
) -> None:
    layout = Layout(folder)
    build(layout.final_table(), old, days - 1, OPTIONS)
    held = prints(days, tuple(new))
    growths = []
    for name, frame in new.items():
        day = since[name]
        rows = None
        if day is not None:
            rows = frame.filter(pl.col("datetime").dt.date() >= day).with_columns(
                pl.lit(None, pl.Float64).alias("volume_clean")
            )
        growths.append(SymbolAppend(name, day, rows, held[name], None))
    done = write_appended(layout, growths, DateRange(START, last_day(days)), options)
    build(folder / "anew.parquet", new, days, options)
    grown = layout.final_table().read_bytes()
    assert grown == (folder / "anew.parquet").read_bytes()
    assert done.sha256 == hashlib.sha256(grown).hexdigest()


@pytest.mark.slow
@pytest.mark.parametrize("days", [3, 5, 9, 26])
def test_a_day_more_gives_the_bytes_of_a_full_build(tmp_path: Path, days: int) -> None:
    old = {name: own_rows(name, days - 1) for name in SYMBOLS}
    new = {name: own_rows(name, days) for name in SYMBOLS}
    grown_equals_built(tmp_path, old, new, dict.fromkeys(SYMBOLS, last_day(days)), days)


@pytest.mark.slow
def test_a_symbol_that_is_new_and_one_that_stands_still(tmp_path: Path) -> None:
    old = {SYMBOLS[0]: own_rows(SYMBOLS[0], 11), SYMBOLS[2]: own_rows(SYMBOLS[2], 11)}
    new = {
        SYMBOLS[0]: own_rows(SYMBOLS[0], 12),
        SYMBOLS[1]: own_rows(SYMBOLS[1], 12, late=11),
        SYMBOLS[2]: old[SYMBOLS[2]],
    }
    since = {SYMBOLS[0]: last_day(12), SYMBOLS[1]: START, SYMBOLS[2]: None}
    grown_equals_built(tmp_path, old, new, since, 12)


def test_rows_changed_in_the_middle_are_computed_from_there_on(tmp_path: Path) -> None:
    old = {name: own_rows(name, 19) for name in SYMBOLS}
    new = {name: own_rows(name, 20) for name in SYMBOLS}
    changed = START + timedelta(days=7)
    later = pl.col("datetime").dt.date() >= changed
    for name in SYMBOLS[:2]:
        volume = pl.when(later).then(pl.col("volume") * 2).otherwise("volume").alias("volume")
        new[name] = with_volume_clean(new[name].with_columns(volume))
    since = {SYMBOLS[0]: changed, SYMBOLS[1]: changed, SYMBOLS[2]: last_day(20)}
    grown_equals_built(tmp_path, old, new, since, 20)


def test_another_way_of_packing_encodes_everything_anew(tmp_path: Path) -> None:
    old = {name: own_rows(name, 11) for name in SYMBOLS}
    new = {name: own_rows(name, 12) for name in SYMBOLS}
    since: dict[str, date | None] = dict.fromkeys(SYMBOLS, last_day(12))
    options = replace(OPTIONS, row_group_size=64)
    grown_equals_built(tmp_path, old, new, since, 12, options)


def test_what_stays_is_copied_and_not_read(tmp_path: Path) -> None:
    """A chunk that cannot be decoded any more is carried over untouched."""
    layout = Layout(tmp_path)
    old = {name: own_rows(name, 19) for name in SYMBOLS[:1]}
    build(layout.final_table(), old, 19, OPTIONS)
    column = pq.read_metadata(layout.final_table()).row_group(0).column(COLUMNS.index("rv_l2"))
    data = bytearray(layout.final_table().read_bytes())
    spot = column.data_page_offset + column.total_compressed_size // 2
    data[spot : spot + 8] = b"scribble"
    layout.final_table().write_bytes(data)
    new = own_rows(SYMBOLS[0], 20)
    rows = new.filter(pl.col("datetime").dt.date() >= last_day(20))
    growth = SymbolAppend(SYMBOLS[0], last_day(20), rows, prints(20, SYMBOLS[:1])[SYMBOLS[0]], None)
    write_appended(layout, [growth], DateRange(START, last_day(20)), OPTIONS)
    assert b"scribble" in layout.final_table().read_bytes()
    names = [name for name in COLUMNS if name != "rv_l2"]
    assert pl.read_parquet(layout.final_table(), columns=names).height == 480


def test_whole_groups_are_those_before_the_change(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    build(layout.final_table(), {SYMBOLS[0]: own_rows(SYMBOLS[0], 19)}, 19, OPTIONS)
    old, mark = ExistingTable(layout.final_table()), prints(1, SYMBOLS)[SYMBOLS[0]]

    def stay(since: date | None) -> int:
        return GrownPart(old, SymbolAppend(SYMBOLS[0], since, None, mark, None)).whole_groups(100)

    assert [stay(None), stay(last_day(20)), stay(last_day(9)), stay(START)] == [4, 4, 1, 0]


def encode(table: pa.Table, rows: int) -> bytes:
    stream = io.BytesIO()
    with open_writer(stream, table.schema, OPTIONS) as writer:
        writer.write_table(table, row_group_size=rows)
        writer.add_key_value_metadata({"told": "x" * rows})
    return stream.getvalue()


@st.composite
def tables(draw: st.DrawFn) -> tuple[pa.Table, int]:
    rows = draw(st.integers(1, 300))
    noise = np.random.default_rng(draw(st.integers(0, 1000)))
    columns = {"symbol": pa.array(["some_name"] * rows)}
    for number in range(draw(st.integers(1, 20))):
        values = noise.standard_normal(rows)
        empty = noise.random(rows) < draw(st.sampled_from([0.0, 0.5, 1.0]))
        columns[f"c{number}"] = pa.array(values, mask=empty)
    return pa.table(columns), draw(st.integers(1, 120))


@settings(max_examples=40, deadline=None)
@given(tables())
def test_a_file_copied_chunk_by_chunk_is_the_same_file(made: tuple[pa.Table, int]) -> None:
    table, rows = made
    data = encode(table, rows)
    base = EncodedFile(read_footer_of(data, "made"), data)
    out = io.BytesIO()
    sha256 = spliced(base, table, rows, out, base)
    assert out.getvalue() == data
    assert sha256 == hashlib.sha256(data).hexdigest()


@settings(max_examples=40, deadline=None)
@given(tables())
def test_a_file_copied_on_disk_is_the_same_file(made: tuple[pa.Table, int]) -> None:
    table, rows = made
    data = encode(table, rows)
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "base").write_bytes(data)
        with (folder / "base").open("rb") as stream, (folder / "out").open("wb") as out:
            base = EncodedFile.of_file(stream, folder / "base")
            sha256 = spliced(base, table, rows, out, EncodedFile(base.footer, data))
        assert (folder / "out").read_bytes() == data
    assert sha256 == hashlib.sha256(data).hexdigest()


def test_a_table_that_is_cut_while_it_is_copied_is_an_error(tmp_path: Path) -> None:
    table = pa.table({"symbol": ["a"] * 5_000, "c": np.random.default_rng(1).random(5_000)})
    path = tmp_path / "base"
    path.write_bytes(encode(table, 500))
    with path.open("rb") as stream, (tmp_path / "out").open("wb") as out:
        base = EncodedFile.of_file(stream, path)
        os.truncate(path, 2_000)
        with pytest.raises(OSError, match="ends before its footer says"):
            spliced(base, table, 500, out, base)


def spliced(
    base: EncodedFile, table: pa.Table, rows: int, out: IO[bytes], other: EncodedFile
) -> str:
    """Copy `base` group by group, the last column from `other`; the checksum of the result."""
    last = len(table.schema) - 1
    with Splice(out) as splice:
        for group in range(len(base.footer.groups)):
            splice.add(base, group, {last: ChunkRef(other, group, last)})
        make = partial(open_writer, options=OPTIONS)
        splice.finish(table.schema, make, {"told": "x" * rows})
    return splice.sha256


def cuts() -> list[bytes]:
    data = encode(pa.table({"symbol": ["a"] * 10}), 5)
    long = data[-12:-8] + (10**6).to_bytes(4, "little") + b"PAR1"
    return [data[:-1], data[:-4] + b"PARX", long]


@pytest.mark.parametrize("data", cuts())
def test_a_torn_file_is_an_error_that_names_it(data: bytes) -> None:
    with pytest.raises(LayerError, match="the table"):
        read_footer_of(data, "the table")


@pytest.mark.parametrize(
    ("new", "day"),
    [
        ({"a-01": "1", "a-02": "2"}, None),
        ({"a-01": "1", "a-02": "2", "a-03": "3", "a-04": "4"}, date(2024, 2, 3)),
        ({"a-01": "1", "a-02": "9"}, date(2024, 2, 1)),
        ({"a-01": "1"}, date(2024, 2, 1)),
    ],
)
def test_the_first_day_that_changes_is_told_by_the_files(
    new: dict[str, str], day: date | None
) -> None:
    def keys(files: dict[str, str]) -> dict[str, str]:
        folder = "data/futures/um/daily/metrics/BTCUSDT/BTCUSDT-metrics-2024-02"
        return {f"{folder}-{name[-2:]}.zip": sha for name, sha in files.items()}

    old = {"a-01": "1", "a-02": "2"}
    assert first_change(keys(old), keys(new), Period.parse("2024-02")) == day


def test_the_columns_of_the_whole_range_are_known() -> None:
    """Only these can change in old rows: all others are told to be point-in-time."""
    looking = {name for name in COLUMNS if not REGISTRY[name].point_in_time}
    assert looking <= {"volume_clean", *CROSS_SECTION}
