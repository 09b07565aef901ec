"""Spliced parquet files: every reader sees the values that were given, and damage is told."""

from __future__ import annotations

import tempfile
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alphaqcm.pipeline.storage.file_digest import Proof, proof_of
from alphaqcm.pipeline.storage.parquet_template import TemplateWriter
from alphaqcm.pipeline.storage.verified_read import read_record

SCHEMA = pa.schema(
    [
        pa.field("time", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("price", pa.float64(), nullable=False),
        pa.field("count", pa.int64(), nullable=False),
    ]
)
SOURCE = "ab" * 32


def writer() -> TemplateWriter:
    fingerprint = {"layer": "test", "version": 1, "inputs": [], "parameters": {"holes": "strict"}}
    return TemplateWriter(SCHEMA, fingerprint, "candles")


def columns_of(rows: int, seed: int = 0) -> list[npt.NDArray[np.generic]]:
    rng = np.random.default_rng(seed)
    return [
        rng.integers(0, 2**50, rows),
        rng.random(rows),
        rng.integers(-(2**63), 2**63 - 1, rows),
    ]


def joined(buffers: list[object]) -> bytes:
    return b"".join(bytes(one) for one in buffers)  # type: ignore[call-overload]


def assert_all_readers_see(data: bytes, columns: list[npt.NDArray[np.generic]]) -> None:
    """The bits of each value, as pyarrow, polars and duckdb read them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "one.parquet"
        path.write_bytes(data)
        table = pq.read_table(path)
        frame = pl.read_parquet(path)
        found = duckdb.sql(
            f"select epoch_us(time) as time, price, count from read_parquet('{path}')"
        ).fetchnumpy()
    assert table.schema.field("time").type == pa.timestamp("us", tz="UTC")
    assert frame.schema["time"] == pl.Datetime("us", "UTC")
    read = (
        {name: table[name].cast(pa.int64() if name == "time" else table[name].type).to_numpy()
         for name in SCHEMA.names},
        {name: frame[name].to_physical().to_numpy() for name in SCHEMA.names},
        found,
    )  # fmt: skip
    for reader in read:
        for name, values in zip(SCHEMA.names, columns, strict=True):
            assert np.asarray(reader[name]).tobytes() == values.tobytes()


@settings(deadline=None, max_examples=25)
@given(
    rows=st.lists(
        st.tuples(
            st.integers(-(2**55), 2**55),
            st.floats(allow_nan=False),
            st.integers(-(2**63), 2**63 - 1),
        ),
        max_size=40,
    )
)
def test_every_reader_sees_the_bits_that_were_given(rows: list[tuple[int, float, int]]) -> None:
    columns: list[npt.NDArray[np.generic]] = [
        np.array([row[0] for row in rows], np.int64),
        np.array([row[1] for row in rows], np.float64),
        np.array([row[2] for row in rows], np.int64),
    ]
    assert_all_readers_see(joined(writer().encode(columns, SOURCE)), columns)


@pytest.mark.parametrize("rows", [0, 1, 361, 20_000, 500_000])
def test_short_and_long_files_are_read_alike(rows: int) -> None:
    # the longest do not fit one page: the library writes them itself
    columns = columns_of(rows)
    assert_all_readers_see(joined(writer().encode(columns, SOURCE)), columns)


def test_a_template_that_is_used_again_keeps_nothing_of_the_file_before() -> None:
    used = writer()
    used.encode(columns_of(50), SOURCE)
    columns = columns_of(50, seed=1)
    again = joined(used.encode([values[::1] for values in columns], "cd" * 32))
    assert again == joined(writer().encode(columns, "cd" * 32))
    assert_all_readers_see(again, columns)


def test_columns_that_are_not_contiguous_are_written_in_order() -> None:
    columns = columns_of(100)
    every_second = [values[::2] for values in columns]
    data = joined(writer().encode(every_second, SOURCE))
    assert_all_readers_see(data, [np.ascontiguousarray(values) for values in every_second])


@pytest.mark.parametrize("rows", [0, 3, 500_000])
def test_a_file_tells_what_it_was_made_from(rows: int, tmp_path: Path) -> None:
    path = tmp_path / "one.parquet"
    path.write_bytes(joined(writer().encode(columns_of(rows), SOURCE)))
    record = read_record(path)
    assert record is not None
    (source,) = record.fingerprint.inputs
    assert (source.key, source.sha256) == ("candles", SOURCE)
    assert record.fingerprint.parameters == (("holes", "strict"),)


@pytest.mark.parametrize("rows", [0, 3, 361, 500_000])
def test_every_flipped_bit_is_noticed(rows: int) -> None:
    data = joined(writer().encode(columns_of(rows), SOURCE))
    assert proof_of(data) is Proof.WHOLE
    places = np.random.default_rng(7).integers(0, len(data), 60).tolist()
    for at in [0, 4, len(data) - 1, len(data) - 9, *places]:
        torn = bytearray(data)
        torn[at] ^= 1 << (at % 8)
        assert proof_of(bytes(torn)) is Proof.DAMAGED, at
