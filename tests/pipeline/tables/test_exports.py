"""Stages, minute CSVs and training sets."""

from __future__ import annotations

import json
import math
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from alphaqcm.data_collection.commands.main import main
from alphaqcm.pipeline.domain.date_range import DateRange
from alphaqcm.pipeline.domain.period import Period
from alphaqcm.pipeline.domain.registry import DataType, Market
from alphaqcm.pipeline.domain.symbol import Symbol
from alphaqcm.pipeline.features.columns import (
    COLUMNS,
    CROSS_SECTION,
    REGISTRY,
    STAGE_COLUMNS,
)
from alphaqcm.pipeline.storage.artifact import Artifact, Fingerprint
from alphaqcm.pipeline.storage.layout import Layout
from alphaqcm.pipeline.tables.symbol_table import build_symbol_table, read_stage, stage_frames
from alphaqcm.pipeline.tables.training_set import (
    LABEL,
    TRAINING_COLUMNS,
    Impute,
    TrainingOptions,
    training_rows,
)
from alphaqcm.pipeline.tables.wide_table import build_final
from tests.helpers import factor_data as data

ZZZ = Symbol(Market.UM, "ZZZUSDT")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> data.SmallRoot:
    root = data.small_root(tmp_path_factory.mktemp("root"))
    build_final(root.layout, root.symbols, root.span)
    return root


def symbol_rows(root: data.SmallRoot) -> pl.DataFrame:
    frame = pl.read_parquet(root.layout.final_table())
    return frame.filter(pl.col("symbol") == ZZZ.table)


@pytest.mark.parametrize("stage", STAGE_COLUMNS)
def test_a_stage_on_disk_is_the_frame_it_was_written_from(
    built: data.SmallRoot, stage: str
) -> None:
    path = built.layout.stage_file(stage, ZZZ)
    assert path.read_text().splitlines()[1].startswith("2024-02-26 00:00:00+00:00,")
    wanted = stage_frames(built.tables[ZZZ.table].frame)[stage]
    assert tuple(wanted.columns) == STAGE_COLUMNS[stage]
    read = read_stage(built.layout, stage, ZZZ)
    assert read.schema == wanted.schema
    assert read.equals(wanted)


def test_vwap_is_filled_by_the_cleaning_stage_only(built: data.SmallRoot) -> None:
    stages = stage_frames(built.tables[ZZZ.table].frame)
    quiet = pl.col("volume") == 0
    assert stages["crypto_hourly_basic"].filter(quiet)["vwap"].null_count() >= 2
    assert stages["crypto_hourly_full"].filter(quiet)["vwap"].null_count() >= 2
    assert stages["crypto_hourly_cleaned"].filter(quiet)["vwap"].null_count() == 0


def test_stages_can_be_written_again(built: data.SmallRoot) -> None:
    paths = [built.layout.stage_file(stage, ZZZ) for stage in STAGE_COLUMNS]
    before = [path.read_bytes() for path in paths]
    for path in paths:
        path.unlink()
    words = ["export", "stages", "--symbols", "ZZZ/USDT:USDT"]
    assert main([*words, "--data-root", str(built.layout.root)]) == 0
    assert [path.read_bytes() for path in paths] == before


def minute_root(folder: Path) -> Layout:
    layout = Layout(folder)
    bars = data.klines(DateRange(date(2024, 1, 30), date(2024, 2, 2)), 1, odd=False)
    for month in (date(2024, 1, 1), date(2024, 2, 1)):
        rows = bars.filter(pl.col("minute").dt.month() == month.month)
        path = layout.month_file(DataType.KLINES, "1m", "BTCUSDT", Period.month(month))
        Artifact(path, Fingerprint("klines", 1, ())).write(rows, {})
    return layout


def test_minutes_are_exported_with_their_marker(tmp_path: Path) -> None:
    layout = minute_root(tmp_path)
    words = ["export", "crypto_1min", "--start", "2024-01-31", "--end", "2024-02-01"]
    assert main([*words, "--data-root", str(tmp_path)]) == 0
    path = layout.stage_file("crypto_1min", Symbol(Market.UM, "BTCUSDT"))
    assert path.name == "BTC_USDT:USDT_1m.csv"
    written = pl.read_csv(path)
    assert written.columns == ["datetime", "open", "high", "low", "close", "volume"]
    assert written.height == 2 * 1440
    assert written["datetime"][0] == "2024-01-31 00:00:00+00:00"
    assert written["datetime"][-1] == "2024-02-01 23:59:00+00:00"
    meta = json.loads(path.with_name(path.name + ".meta.json").read_text())
    assert meta["status"] == "ok"
    assert (meta["ccxt_symbol"], meta["binance_symbol"]) == ("BTC/USDT:USDT", "BTCUSDT")
    assert (meta["requested_start"], meta["requested_end"]) == ("2024-01-31", "2024-02-01")
    assert meta["max_ts"] == "2024-02-01T23:59:00+00:00"


def test_minutes_that_are_current_are_not_written_again(tmp_path: Path) -> None:
    layout = minute_root(tmp_path)
    words = ["export", "crypto_1min", "--data-root", str(tmp_path)]
    path = layout.stage_file("crypto_1min", Symbol(Market.UM, "BTCUSDT"))
    assert main(words) == 0
    first = path.stat().st_ino
    assert main(words) == 0
    assert path.stat().st_ino == first
    assert json.loads(path.with_name(path.name + ".meta.json").read_text())["status"] == "noop"
    path.write_text("cut")
    assert main(words) == 0
    assert pl.read_csv(path).height == 4 * 1440


def test_a_symbol_without_minutes_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    minute_root(tmp_path)
    words = ["export", "crypto_1min", "--symbols", "ETHUSDT,BTCUSDT"]
    assert main([*words, "--data-root", str(tmp_path)]) == 1
    assert "ETHUSDT: no 1m klines" in capsys.readouterr().out


def test_nothing_to_export_is_a_clear_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", "final", "--data-root", str(tmp_path)]) == 2
    assert "alphaqcm run" in capsys.readouterr().err


def test_the_label_is_the_return_of_the_next_hour_by_the_clock(built: data.SmallRoot) -> None:
    frame = symbol_rows(built)
    labels = training_rows(frame, TrainingOptions())[LABEL].to_list()
    traded = frame.filter(pl.col("volume") > 0)
    assert traded.height < frame.height
    later_close = dict(zip(traded["datetime"], traded["close"], strict=True))
    close = dict(zip(frame["datetime"], frame["close"], strict=True))
    for at, label in zip(frame["datetime"], labels, strict=True):
        later = later_close.get(at + timedelta(hours=1))
        if later is None or later <= 0 or close[at] <= 0:
            assert label is None
        else:
            assert label == pytest.approx(math.log(later / close[at]), rel=1e-12, abs=1e-15)
    assert labels[-1] is None
    assert sum(label is None for label in labels) >= 2  # the outage too


@pytest.mark.parametrize("hours", [4, 24])
def test_a_label_looks_forward_by_exactly_its_horizon(built: data.SmallRoot, hours: int) -> None:
    frame = symbol_rows(built)
    rows = training_rows(frame, TrainingOptions(horizons=(1, hours)))
    assert rows.columns[-2:] == [LABEL, f"y_logret_fwd_{hours}h"]
    assert rows[LABEL].equals(training_rows(frame, TrainingOptions())[LABEL])
    traded = frame.filter(pl.col("volume") > 0)
    later = dict(zip(traded["datetime"], traded["close"], strict=True))
    told = rows.select("datetime", label=rows.columns[-1], close=frame["close"])
    wanted = [
        math.log(later[at + timedelta(hours=hours)] / close)
        if later.get(at + timedelta(hours=hours)) and close > 0
        else None
        for at, _, close in told.iter_rows()
    ]
    assert None in wanted[:-hours]  # the outage
    assert wanted[-hours:] == [None] * hours
    found = told["label"].to_list()
    assert [one is None for one in found] == [one is None for one in wanted]
    numbers = [one for one in wanted if one is not None]
    assert [one for one in found if one is not None] == pytest.approx(numbers, rel=1e-12, abs=1e-15)


def dead_contract() -> pl.DataFrame:
    """Nine days of a contract that dies on the sixth: its klines go on with volume 0."""
    span = DateRange(date(2024, 2, 1), date(2024, 2, 9))
    bars = data.klines(span, 3, odd=False)
    dead = pl.col("minute") >= data.midnight(date(2024, 2, 6))
    last = bars.filter(~dead)["close"][-1]
    still = dict.fromkeys(("open", "high", "low", "close"), last) | {"volume": 0.0}
    bars = bars.with_columns(
        pl.when(dead).then(value).otherwise(pl.col(name)).alias(name)
        for name, value in still.items()
    )
    frame = build_symbol_table(ZZZ, data.only_klines(bars), span).frame
    return frame.with_columns(
        pl.lit(None, REGISTRY[name].dtype.polars).alias(name) for name in CROSS_SECTION
    )


def test_a_dead_contract_gives_neither_rows_nor_labels_to_train_on() -> None:
    frame = dead_contract()
    dead = pl.col("datetime") >= data.midnight(date(2024, 2, 6))
    assert frame.filter(dead).height == 96
    every = training_rows(frame, TrainingOptions())
    ending = every.tail(97)  # the last living row's label lies in the first dead hour
    assert ending[LABEL].null_count() == 97
    assert every.head(-97)[LABEL].null_count() == 0
    chosen = training_rows(frame, TrainingOptions(filter_quality=True))
    assert chosen.filter(dead).is_empty()
    assert chosen.height > 80


def test_the_quality_filter_may_ask_for_minutes_that_traded_and_for_windows_without_holes(
    built: data.SmallRoot,
) -> None:
    frame = symbol_rows(built)
    plain = training_rows(frame, TrainingOptions(filter_quality=True))
    busy = training_rows(frame, TrainingOptions(filter_quality=True, min_minutes_traded=55))
    assert busy["datetime"].to_list() == (
        plain.filter(pl.col("n_minutes_traded") >= 55)["datetime"].to_list()
    )
    assert 0 < busy.height < plain.height
    whole = training_rows(frame, TrainingOptions(filter_quality=True, no_holes=True))
    assert whole["datetime"].to_list() == (
        plain.filter(pl.col("row_span_168h") == 168)["datetime"].to_list()
    )
    imputed = training_rows(
        frame, TrainingOptions(filter_quality=True, no_holes=True, impute=Impute.FFILL)
    )
    assert imputed["datetime"].to_list() == whole["datetime"].to_list()


@pytest.mark.parametrize(
    "words",
    [
        ["--no-holes"],
        ["--min-minutes-traded", "50"],
        ["--filter-quality", "--min-minutes-traded", "61"],
        ["--filter-quality", "--min-minutes-traded", "0"],
    ],
)
def test_more_than_quality_needs_the_quality_filter_and_minutes_of_an_hour(
    built: data.SmallRoot, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert main(["training-set", *words, "--data-root", str(built.layout.root)]) == 2
    assert words[-1] in capsys.readouterr().err


def test_no_feature_looks_ahead() -> None:
    features = [name for name in TRAINING_COLUMNS if name != LABEL]
    assert all(REGISTRY[name].point_in_time for name in features)
    assert set(COLUMNS) - set(features) == {"volume_clean", "cs_coverage_frac"}
    assert TRAINING_COLUMNS.count(LABEL) == 1


@pytest.mark.parametrize(
    ("limit", "cases"), [(1, {"filled", "too far"}), (5, {"filled", "too far"}), (16, {"filled"})]
)
def test_imputation_reaches_no_farther_than_its_limit(
    built: data.SmallRoot, limit: int, cases: set[str]
) -> None:
    frame = symbol_rows(built)
    filled = training_rows(frame, TrainingOptions(impute=Impute.FFILL, ffill_limit=limit))
    name = "funding_rate"  # unknown for 16 hours on end
    known = None
    seen = set()
    for at, value, got in zip(frame["datetime"], frame[name], filled[name], strict=True):
        if value is not None:
            known = (at, value)
        if known is None or at - known[0] > timedelta(hours=limit):
            assert got is None
            seen.add("too far")
        else:
            assert got == known[1]
            if value is None:
                seen.add("filled")
    assert seen == cases


def test_imputation_counts_hours_not_rows() -> None:
    start = data.midnight(date(2024, 5, 1))
    hours = [0, 1, 6, 7]  # hours are missing in between
    frame = pl.DataFrame(
        {
            name: [None] * 4 if name not in ("symbol", "datetime", "close", "vwap") else None
            for name in COLUMNS
        },
        schema={name: REGISTRY[name].dtype.polars for name in COLUMNS},
    ).clear()
    frame = pl.concat(
        [
            frame,
            pl.DataFrame(
                {
                    "symbol": ["A"] * 4,
                    "datetime": [start + timedelta(hours=h) for h in hours],
                    "close": [1.0, 2.0, 3.0, 4.0],
                    "volume": [1.0] * 4,
                    "vwap": [5.0, None, None, None],
                },
                schema_overrides={"datetime": pl.Datetime("us", "UTC")},
            ),
        ],
        how="diagonal",
    )
    filled = training_rows(frame, TrainingOptions(impute=Impute.FFILL, ffill_limit=3))
    assert filled["vwap"].to_list() == [5.0, 5.0, None, None]
    assert filled[LABEL].to_list() == [math.log(2.0), None, pytest.approx(math.log(4 / 3)), None]


def test_zeros_stand_for_missing_features_but_not_for_labels(built: data.SmallRoot) -> None:
    filled = training_rows(symbol_rows(built), TrainingOptions(impute=Impute.ZERO))
    features = filled.drop(LABEL)
    assert sum(features.null_count().row(0)) == 0
    assert filled[LABEL].null_count() >= 2


def test_training_set_is_written_by_the_command(built: data.SmallRoot) -> None:
    words = ["training-set", "--label", LABEL, "--filter-quality"]
    assert main([*words, "--data-root", str(built.layout.root)]) == 0
    folder = built.layout.training
    table = pl.read_parquet(folder / "training_all.parquet")
    assert tuple(table.columns) == TRAINING_COLUMNS
    assert (table["is_valid_for_training"] == 1).all()
    names = table["symbol"].unique(maintain_order=True).to_list()
    assert sorted(path.name for path in folder.glob("*.csv")) == [
        f"{name}_training.csv" for name in names
    ]
    csv = pl.read_csv(folder / f"{ZZZ.table}_training.csv")
    own = table.filter(pl.col("symbol") == ZZZ.table)
    assert csv[LABEL].equals(own[LABEL])
    told = pq.read_schema(folder / "training_all.parquet").field(LABEL).metadata
    assert told[b"point_in_time"] == b"no"


def test_each_horizon_that_is_asked_for_is_a_column_of_the_files(built: data.SmallRoot) -> None:
    words = ["training-set", "--horizon", "24h,1h,4h"]
    assert main([*words, "--data-root", str(built.layout.root)]) == 0
    labels = [f"y_logret_fwd_{hours}h" for hours in (1, 4, 24)]
    folder = built.layout.training
    assert pl.read_parquet_schema(folder / "training_all.parquet").names()[-3:] == labels
    assert pl.read_csv(folder / f"{ZZZ.table}_training.csv").columns[-3:] == labels
    schema = pq.read_schema(folder / "training_all.parquet")
    assert b"24 hours later" in schema.field(labels[2]).metadata[b"definition"]


@pytest.mark.parametrize("horizon", ["0h", "4", "1h,", "-1h", "1d", "8761h", ""])
def test_a_horizon_that_is_none_is_refused(
    built: data.SmallRoot, horizon: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["training-set", f"--horizon={horizon}", "--data-root", str(built.layout.root)]
    assert main(words) == 2
    assert "1h,4h,24h" in capsys.readouterr().err


def test_ffill_limit_needs_ffill(built: data.SmallRoot, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["training-set", "--ffill-limit", "3", "--data-root", str(built.layout.root)]
    assert main(words) == 2
    assert "--impute ffill" in capsys.readouterr().err


def test_a_training_set_needs_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["training-set", "--data-root", str(tmp_path)]) == 2
    assert "final_dataset_all.parquet" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
