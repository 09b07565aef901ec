"""Trades as rows to minutes: the very bits of the archive's ZIP, however the rows come."""

from __future__ import annotations

import random
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from alphaqcm.pipeline.domain.archive_file import ArchiveFile, Series
from alphaqcm.pipeline.domain.registry import Market
from alphaqcm.pipeline.errors import BadRow
from alphaqcm.pipeline.reading.aggtrades import AggMinutes, Thresholds, aggregate_file
from alphaqcm.pipeline.reading.aggtrades.minutes import MOST_ROWS, Workspace
from alphaqcm.pipeline.reading.aggtrades.trade_rows import (
    TRADE_SCHEMA,
    MinuteBuilder,
    MinuteRange,
    aggregate_rows,
)
from tests.helpers.aggtrades_oracle import as_text, make_lines, trades_file
from tests.helpers.zips import write_zip

MINUTE = 60_000_000
REAL_DAY = "futures/cm/daily/aggTrades/BTCUSD_PERP/BTCUSD_PERP-aggTrades-2026-05-08.zip"


@dataclass(frozen=True)
class Live:
    """A trade as a stream tells it."""

    agg_id: int
    first_id: int
    last_id: int
    time_us: int
    price: float
    quantity: float
    buyer_is_maker: bool


def texts(path: Path) -> list[list[str]]:
    """A ZIP's rows, field by field, read with the standard library alone."""
    with zipfile.ZipFile(path) as archive:
        lines = archive.read(archive.namelist()[0]).decode().splitlines()
    return [line.split(",")[:7] for line in lines if line[0].isdigit()]


def answers(rows: Iterable[list[str]]) -> pl.DataFrame:
    """The rows as REST answers have them: amounts as texts, the rest as JSON numbers."""
    kinds = {**TRADE_SCHEMA, "price": pl.String(), "quantity": pl.String()}
    values = [
        (int(a), p, q, int(f), int(last), int(t), maker.lower() == "true")
        for a, p, q, f, last, t, maker in rows
    ]
    return pl.DataFrame(values, kinds, orient="row")


def stream(rows: Iterable[list[str]]) -> Iterator[Live]:
    """The rows as a stream tells them."""
    for a, p, q, f, last, t, maker in rows:
        time = int(t) if len(t) > 14 else int(t) * 1000
        yield Live(int(a), int(f), int(last), time, float(p), float(q), maker.lower() == "true")


def same(one: AggMinutes, other: AggMinutes) -> None:
    """Equal to the bit, and in all that was counted."""
    assert_frame_equal(one.frame, other.frame, check_exact=True)
    assert one.counters == other.counters
    assert one.ids.tolist() == other.ids.tolist()


def as_streamed(series: Series, rows: list[list[str]], seed: int) -> pl.DataFrame:
    """Minutes as a recorder makes them, trades of a piece in any order and some of them twice."""
    noise = random.Random(seed)
    builder = MinuteBuilder(series, space=Workspace())
    frames, held = [], list(stream(rows))
    for at in range(0, len(held), 700):
        piece = held[at : at + 700]
        for trade in noise.sample(piece, len(piece)) + noise.choices(piece, k=20):
            builder.push(trade)
        after = held[at + 700 : at + 701] or [
            replace(piece[-1], time_us=piece[-1].time_us + MINUTE)
        ]
        frames.append(builder.close(after[0].time_us).frame)
    assert builder.refused == 0
    return pl.concat(frames)


@pytest.fixture(scope="module", params=list(Market))
def day(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, ArchiveFile]:
    """A day's file of each market, some 12,000 rows."""
    file = trades_file(request.param)
    step_us = 20_000_000
    lines = make_lines(file, 12_000, step_us=step_us)
    return write_zip(tmp_path_factory.mktemp("day"), file, as_text(lines)), file


def test_rows_give_the_minutes_of_the_zip(day: tuple[Path, ArchiveFile]) -> None:
    path, file = day
    whole, rows = aggregate_file(path, file), texts(path)
    assert whole.frame.height > 500
    same(aggregate_rows(answers(rows), file.series), whole)
    same(aggregate_rows(answers(rows), file.series, within=file.period), whole)


def test_rows_in_any_order_and_twice_give_the_minutes_of_such_a_zip(
    tmp_path: Path, day: tuple[Path, ArchiveFile]
) -> None:
    path, file = day
    noise = random.Random(9)
    with zipfile.ZipFile(path) as archive:
        lines = archive.read(archive.namelist()[0]).decode().splitlines()
    mixed = noise.sample(lines, len(lines)) + noise.choices(lines, k=300)
    other = write_zip(tmp_path, file, as_text(mixed))
    result = aggregate_rows(answers(texts(other)), file.series)
    same(result, aggregate_file(other, file))
    assert result.counters.duplicates > 200
    assert_frame_equal(result.frame, aggregate_file(path, file).frame, check_exact=True)


def test_a_stream_gives_the_minutes_of_the_zip(day: tuple[Path, ArchiveFile]) -> None:
    path, file = day
    assert_frame_equal(
        as_streamed(file.series, texts(path), 3), aggregate_file(path, file).frame, check_exact=True
    )


def test_a_stream_as_arrays_gives_the_same_minutes(day: tuple[Path, ArchiveFile]) -> None:
    path, file = day
    whole = aggregate_file(path, file).frame
    builder, held = MinuteBuilder(file.series), list(stream(texts(path)))
    for trade in random.Random(1).sample(held, len(held)) + held[:50]:
        builder.push(trade)
    middle = whole["minute"].cast(pl.Int64)[300]
    parts = [builder.close_columns(middle), builder.close_columns(held[-1].time_us + MINUTE)]
    assert builder.close_columns(held[-1].time_us + MINUTE) == {}
    frames = [pl.DataFrame({name: part[name] for name in whole.columns}) for part in parts]
    times = [name for name, kind in whole.schema.items() if kind.is_temporal()]
    assert_frame_equal(
        pl.concat(frames), whole.with_columns(pl.col(times).cast(pl.Int64)), check_exact=True
    )


def test_more_rows_than_a_piece_holds_and_a_gap_at_each_of_them(tmp_path: Path) -> None:
    """Every id is followed by a jump: the most that is to be noted of a stretch."""
    file = trades_file()
    count = MOST_ROWS + 1000
    start = file.period.start_us // 1000
    lines = [f"{3 * n},10.5,0.001,{n},{n},{start + n},true" for n in range(count)]
    path = write_zip(tmp_path, file, as_text(lines))
    result = aggregate_rows(answers(line.split(",") for line in lines), file.series)
    same(result, aggregate_file(path, file))
    assert result.counters.id_gaps == count - 1


def test_thresholds_and_rows_outside_are_those_asked_for(day: tuple[Path, ArchiveFile]) -> None:
    path, file = day
    thresholds = Thresholds(whale=500.0, retail=10.0)
    hour = MinuteRange(file.period.start_us, file.period.start_us + 60 * MINUTE)
    rows = texts(path)
    result = aggregate_rows(answers(rows), file.series, thresholds, within=hour)
    whole = aggregate_file(path, file, thresholds).frame
    first = whole.filter(pl.col("minute").cast(pl.Int64) < hour.end_us)
    assert_frame_equal(result.frame, first, check_exact=True)
    assert result.counters.outside_period == len(rows) - int(first["trade_count"].sum())


def test_no_rows_are_no_minutes() -> None:
    assert aggregate_rows(answers([]), trades_file().series).frame.height == 0


GOOD = ["1", "10.5", "2.0", "7", "8", "1709078400000", "true"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (1, "-1"),
        (1, "nan"),
        (1, "1e39"),
        (2, "inf"),
        (2, "two"),
        (4, "6"),
        (4, "2000000007"),
        (5, "-5"),
    ],
)
def test_what_a_file_would_not_be_believed_is_refused(field: int, value: str) -> None:
    row = [*GOOD]
    row[field] = value
    assert aggregate_rows(answers([GOOD]), trades_file().series).frame.height == 1
    with pytest.raises(BadRow):
        aggregate_rows(answers([GOOD, row]), trades_file().series)


def test_rows_of_far_apart_times_are_refused() -> None:
    """Every minute between them would take memory."""
    with pytest.raises(BadRow, match="366 days"):
        aggregate_rows(answers([[*GOOD[:5], "5", "true"], GOOD]), trades_file().series)


def test_a_trade_of_a_closed_minute_is_counted_not_added() -> None:
    builder = MinuteBuilder(trades_file().series)
    (trade,) = stream([GOOD])
    builder.push(trade)
    assert builder.close(trade.time_us + MINUTE - 1).frame.height == 0
    assert builder.close(trade.time_us + MINUTE).frame["trade_count"].to_list() == [1]
    builder.push(trade)
    assert builder.refused == 1
    assert builder.close(trade.time_us + 2 * MINUTE).frame.height == 0


def test_rows_of_a_real_day_give_the_minutes_of_its_zip(real: Path) -> None:
    path = real / "archive" / "data" / REAL_DAY
    file = ArchiveFile.parse(f"data/{REAL_DAY}")
    whole, rows = aggregate_file(path, file), texts(path)
    same(aggregate_rows(answers(rows), file.series), whole)
    assert_frame_equal(as_streamed(file.series, rows, 5), whole.frame, check_exact=True)
