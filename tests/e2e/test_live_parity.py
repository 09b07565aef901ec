"""A day's minutes, hour by hour, on a root that ends the day before: the next root's rows."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from alphaqcm.data_collection.build.settings import RunSettings
from alphaqcm.data_collection.simulation.sample import SampleSpec, write_sample
from alphaqcm.pipeline.domain.archive_file import ArchiveFile, Series
from alphaqcm.pipeline.domain.period import Period
from alphaqcm.pipeline.domain.registry import DataType, Market
from alphaqcm.pipeline.domain.symbol import Symbol
from alphaqcm.pipeline.domain.time import HOUR_US, epoch_us
from alphaqcm.pipeline.errors import TableError
from alphaqcm.pipeline.features.stream.live_columns import LIVE_COLUMNS
from alphaqcm.pipeline.reading.aggtrades.trade_rows import aggregate_rows
from alphaqcm.pipeline.storage.layout import Layout
from alphaqcm.pipeline.tables.live_start import warm_engine
from tests.helpers.built_root import settings_of, walk
from tests.helpers.sample_files import rows_of

SPEC = SampleSpec(
    symbols=("BTCUSDT", "ETHUSDT", "SOLUSDT"), start=date(2024, 2, 22), days=9,
    trades_per_day=800, compression=1, daily_since=date(2024, 3, 1),
)  # fmt: skip
LAST = SPEC.last
HOURS = range(epoch_us(LAST), epoch_us(LAST + timedelta(days=1)), HOUR_US)


def archive_rows(source: Path, kind: DataType, symbol: str, interval: str = "") -> pl.DataFrame:
    """The last day's rows of the archive's own file, as texts."""
    file: ArchiveFile = Series(Market.UM, kind, symbol, interval).file(Period.day(LAST))
    return pl.DataFrame(rows_of(source, file))


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunSettings, pl.DataFrame]:
    """The archive, a root of all days but the last, and the table of all days."""
    folder = tmp_path_factory.mktemp("parity")
    write_sample(folder / "source", SPEC)
    whole = settings_of(SPEC, folder / "source", folder / "whole")
    walk(whole)
    before = settings_of(SPEC, folder / "source", folder / "before", LAST - timedelta(days=1))
    walk(before)
    return folder / "source", before, pl.read_parquet(whole.layout.final_table())


@pytest.mark.slow
def test_the_last_day_live_is_the_last_day_of_the_archives_table(
    sample: tuple[Path, RunSettings, pl.DataFrame],
) -> None:
    source, before, table = sample
    symbols = [Symbol(Market.UM, name) for name in SPEC.symbols]
    engine = warm_engine(before.layout, symbols)
    bars, trades = {}, {}
    for symbol in engine.symbols:
        bars[symbol] = archive_rows(source, DataType.KLINES, symbol, "1m")
        trades[symbol] = archive_rows(source, DataType.AGGTRADES, symbol).with_columns(
            (pl.col("is_buyer_maker") == "true").alias("is_buyer_maker")
        )
    published = []
    for hour_us in HOURS:
        for symbol in engine.symbols:
            series = Series(Market.UM, DataType.AGGTRADES, symbol, "")
            for row in bars[symbol].iter_rows(named=True):
                moment = int(row["open_time"]) * 1000
                if hour_us <= moment < hour_us + HOUR_US:
                    values = [
                        float(row[name]) for name in ("open", "high", "low", "close", "volume")
                    ]
                    engine.add_bar(symbol, moment, values)
            time = pl.col("transact_time").cast(pl.Int64) * 1000
            hour = trades[symbol].filter(time.is_between(hour_us, hour_us + HOUR_US, closed="left"))
            engine.add_flow(symbol, aggregate_rows(hour, series).frame)
        engine.close(engine.symbols, hour_us)
        published.append(engine.publish(hour_us).frame)
    wanted = table.filter(pl.col("datetime").dt.date() == LAST).sort(
        "datetime", maintain_order=True
    )
    assert_frame_equal(pl.concat(published), wanted.select(LIVE_COLUMNS), check_exact=True)
    assert wanted["returns_168h"].is_not_null().all()


def test_a_root_without_a_table_is_nothing_to_go_on_from(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="alphaqcm run"):
        warm_engine(Layout(tmp_path), ())
