"""What is written for other programs: Qlib's folder, NumPy panels, copies of the minute layers."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from alphaqcm.data_collection.commands.main import main
from alphaqcm.data_collection.serving.panel_file import STOCK_FEATURES
from alphaqcm.pipeline.domain.date_range import DateRange
from alphaqcm.pipeline.domain.period import Period
from alphaqcm.pipeline.domain.registry import DataType, Market
from alphaqcm.pipeline.reading.aggtrades.model import SCHEMA
from alphaqcm.pipeline.reading.minute_fields import minute_fields
from alphaqcm.pipeline.reading.month_file import MINUTE_COLUMNS
from alphaqcm.pipeline.storage.artifact import Artifact, Fingerprint
from alphaqcm.pipeline.storage.layout import Layout
from alphaqcm.pipeline.tables.wide_table import build_final
from tests.helpers import factor_data as data

FIRST = datetime(2024, 2, 26, tzinfo=UTC)
HOURS = 9 * 24


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wide table of three symbols, one of them listed on the last day."""
    made = data.small_root(tmp_path_factory.mktemp("root"))
    build_final(made.layout, made.symbols, made.span)
    return made.layout.root


def table(root: Path) -> pl.DataFrame:
    return pl.read_parquet(root / "final_dataset_all.parquet")


def export(root: Path, *words: str) -> int:
    return main(["export", *words, "--data-root", str(root)])


def read_bin(path: Path) -> tuple[int, npt.NDArray[np.float32]]:
    """The format by its definition: the first index, then values, all little-endian float32."""
    held = np.frombuffer(path.read_bytes(), dtype="<f4")
    return int(held[0]), held[1:]


def test_a_bin_holds_the_column_from_the_symbols_first_hour_on(root: Path, tmp_path: Path) -> None:
    assert export(root, "qlib", str(tmp_path / "q"), "--fields", "close,rv_l2") == 0
    calendar = (tmp_path / "q" / "calendars" / "60min.txt").read_text().splitlines()
    assert len(calendar) == HOURS
    for symbol in ("ZZZ_USDT:USDT", "1000SHIB_USDT:USDT"):
        rows = table(root).filter(pl.col("symbol") == symbol)
        folder = tmp_path / "q" / "features" / symbol.replace("_USDT:", "").lower()
        for field in ("close", "rv_l2"):
            start, values = read_bin(folder / f"{field}.60min.bin")
            at = {calendar[start + place]: value for place, value in enumerate(values)}
            for moment, wanted in rows.select("datetime", field).iter_rows():
                found = at.pop(f"{moment:%Y-%m-%d %H:%M:%S}")
                assert found == pytest.approx(
                    np.float32(np.nan if wanted is None else wanted), nan_ok=True
                )
            assert all(np.isnan(value) for value in at.values())


def test_qlibs_instruments_have_the_hours_of_their_rows(root: Path, tmp_path: Path) -> None:
    assert export(root, "qlib", str(tmp_path / "q")) == 0
    lines = (tmp_path / "q" / "instruments" / "all.txt").read_text().splitlines()
    told = {name: (first, last) for name, first, last in (line.split("\t") for line in lines)}
    spans = (
        table(root)
        .group_by("symbol")
        .agg(first=pl.col("datetime").min(), last=pl.col("datetime").max())
    )
    assert told == {
        symbol.replace("_USDT:", ""): (f"{first:%Y-%m-%d %H:%M:%S}", f"{last:%Y-%m-%d %H:%M:%S}")
        for symbol, first, last in spans.iter_rows()
    }
    fields = sorted(path.name for path in (tmp_path / "q" / "features" / "zzzusdt").iterdir())
    assert fields == sorted(f"{name}.60min.bin" for name in STOCK_FEATURES)


def test_an_export_replaces_the_one_before_and_nothing_else(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "q"
    assert export(root, "qlib", str(folder), "--fields", "close,volume") == 0
    assert export(root, "qlib", str(folder), "--fields", "close", "--symbols", "ZZZUSDT") == 0
    assert [path.name for path in (folder / "features").rglob("*.bin")] == ["close.60min.bin"]
    assert [path.name for path in tmp_path.iterdir()] == ["q"]


def test_a_folder_of_other_files_is_left_alone(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    assert export(root, "qlib", str(tmp_path)) == 2
    assert "other files" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_what_a_killed_export_left_is_removed_by_the_next(root: Path, tmp_path: Path) -> None:
    left = tmp_path / ".q.abc.tmp"
    (left / "features").mkdir(parents=True)
    assert export(root, "qlib", str(tmp_path / "q")) == 0
    assert not left.exists()


def test_a_panel_holds_what_the_table_has_at_each_hour_and_symbol(
    root: Path, tmp_path: Path
) -> None:
    path = tmp_path / "p.npz"
    assert export(root, "panel", str(path), "--fields", "close,is_spike,vwap") == 0
    with np.load(path, allow_pickle=False) as held:
        times, symbols, fields = held["times"], held["symbols"].tolist(), held["fields"].tolist()
        values = held["values"]
    assert values.shape == (HOURS, 3, 3)
    assert fields == ["close", "is_spike", "vwap"]
    wanted = np.full(values.shape, np.nan)
    for symbol, moment, *row in table(root).select("symbol", "datetime", *fields).iter_rows():
        place = int((moment - FIRST) / timedelta(hours=1))
        wanted[place, :, symbols.index(symbol)] = [np.nan if one is None else one for one in row]
    np.testing.assert_array_equal(values, wanted)
    assert (np.diff(times) == np.timedelta64(1, "h")).all()


def test_the_quality_filter_leaves_only_values_of_valid_rows(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    words = ("--fields", "is_valid_for_training,close", "--filter-quality")
    assert export(root, "panel", str(path), *words) == 0
    with np.load(path) as held:
        values = held["values"]
    assert np.nanmin(values[:, 0, :]) == 1
    valid = table(root).filter(pl.col("is_valid_for_training") == 1)
    assert int((~np.isnan(values[:, 1, :])).sum()) == valid["close"].drop_nulls().len()


def test_stock_data_is_the_tensor_of_the_six_features_in_their_order(
    root: Path, tmp_path: Path
) -> None:
    path = tmp_path / "s.npz"
    words = ("--stock-data", "--fields", "close,rv_l2", "--symbols", "ZZZUSDT")
    assert export(root, "panel", str(path), *words) == 0
    with np.load(path, allow_pickle=False) as held:
        assert held["features"].tolist() == [*STOCK_FEATURES, "rv_l2"]
        assert held["stock_ids"].tolist() == ["ZZZUSDT"]
        assert held["dates"].dtype == np.dtype("datetime64[ns]")
        tensor = held["data"]
    rows = table(root).filter(pl.col("symbol") == "ZZZ_USDT:USDT")
    assert tensor.dtype == np.float32
    close = tensor[:, 1, 0]  # FeatureType.CLOSE
    np.testing.assert_array_equal(
        close[~np.isnan(close)], rows["close"].drop_nulls().cast(pl.Float32).to_numpy()
    )


@pytest.mark.parametrize(
    "words",
    [
        ("qlib",),
        ("panel", "p.txt"),
        ("final", "somewhere"),
        ("layers", "m", "--fields", "close"),
        ("qlib", "q", "--hive"),
        ("panel", "p.npz", "--fields", "datetime"),
        ("panel", "p.npz", "--fields", "clos"),
        ("panel", "p.npz", "--end", "2020-01-01"),
        ("qlib", "q", "--end", "2020-01-01"),
        ("layers", "m"),
    ],
)
def test_words_that_do_not_fit_are_a_usage_error(
    root: Path, words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert export(root, *words) == 2
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def minutes(tmp_path: Path) -> Path:
    """A root of four days of bars across a month's end, of two symbols."""
    layout = Layout(tmp_path / "root")
    for seed, symbol in enumerate(("BTCUSDT", "ETHUSDT")):
        bars = data.klines(DateRange(date(2024, 1, 30), date(2024, 2, 2)), seed + 1, odd=False)
        volume = pl.col("volume")
        bars = bars.with_columns(
            quote_volume=volume * pl.col("close"),
            count=pl.lit(3, pl.Int64),
            taker_buy_volume=volume / 2,
            taker_buy_quote_volume=volume * pl.col("close") / 2,
        )
        for month in (date(2024, 1, 1), date(2024, 2, 1)):
            rows = bars.filter(pl.col("minute").dt.month() == month.month)
            path = layout.month_file(DataType.KLINES, "1m", symbol, Period.month(month))
            Artifact(path, Fingerprint("klines", 1, ())).write(rows, {})
    return layout.root


def test_copies_of_minutes_are_the_rows_of_the_layer(minutes: Path, tmp_path: Path) -> None:
    assert export(minutes, "layers", str(tmp_path / "m")) == 0
    own = minutes / "binance_klines_1m_parquet" / "ETHUSDT" / "2024-02.parquet"
    copy = pl.read_parquet(tmp_path / "m" / "klines_1m" / "ETHUSDT" / "2024-02.parquet")
    assert set(copy["symbol"]) == {"ETHUSDT"}
    assert copy.drop("symbol").equals(pl.read_parquet(own).select(copy.columns[1:]))


def test_a_copy_tells_units_and_its_order(minutes: Path, tmp_path: Path) -> None:
    assert export(minutes, "layers", str(tmp_path / "m")) == 0
    file = pq.ParquetFile(tmp_path / "m" / "klines_1m" / "BTCUSDT" / "2024-01.parquet")
    names = file.schema_arrow.names
    assert file.schema_arrow.field("quote_volume").metadata[b"unit"] == b"quote"
    assert all(file.schema_arrow.field(name).metadata[b"definition"] for name in names)
    order = [names[one.column_index] for one in file.metadata.row_group(0).sorting_columns]
    assert order == ["symbol", "minute"]


def test_hive_partitions_are_read_by_three_engines(minutes: Path, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    words = ("--hive", "--start", "2024-01-31", "--end", "2024-02-01")
    assert export(minutes, "layers", str(folder), *words) == 0
    files = f"{folder}/klines_1m/**/*.parquet"
    scanned = pl.scan_parquet(files, hive_partitioning=True).filter(pl.col("symbol") == "ETHUSDT")
    assert scanned.collect().height == 2 * 1440
    queried = duckdb.sql(
        f"select symbol, count(*) from read_parquet('{files}', hive_partitioning = true) "
        "group by symbol order by symbol"
    ).fetchall()
    assert queried == [("BTCUSDT", 2 * 1440), ("ETHUSDT", 2 * 1440)]
    whole = ds.dataset(folder / "klines_1m", partitioning="hive")
    assert whole.count_rows(filter=ds.field("symbol") == "BTCUSDT") == 2 * 1440


@pytest.mark.parametrize("market", Market)
def test_every_field_of_the_minute_layers_has_a_unit(market: Market) -> None:
    keys = {"symbol", "minute"}
    assert set(minute_fields(DataType.KLINES, market)) == {*keys, *MINUTE_COLUMNS}
    assert set(minute_fields(DataType.AGGTRADES, market)) == {*keys, *SCHEMA}


def test_coin_margined_bars_count_contracts() -> None:
    fields = minute_fields(DataType.KLINES, Market.CM)
    assert (fields["volume"].unit, fields["quote_volume"].unit) == ("contracts", "base")
