"""The complete calendar of minutes: filled, marked, priced, cut into epochs."""

from __future__ import annotations

import polars as pl
import pytest

from alphaqcm.pipeline.candles.calendar import CALENDAR_SCHEMA, complete_minutes, split_epochs
from alphaqcm.pipeline.candles.schema import CANDLE_SCHEMA

MINUTE = 60_000_000
BEGIN = 1_772_000_100_000_000 // MINUTE * MINUTE
NO_FUNDING = pl.DataFrame(
    schema={"funding_time": pl.Datetime("us", "UTC"), "funding_rate": pl.Float64}
)


def minutes(places: list[int], close: float = 10.0) -> pl.DataFrame:
    begins = [BEGIN + place * MINUTE for place in places]
    return pl.DataFrame(
        {
            "candle_end_time": [begin + MINUTE for begin in begins],
            "candle_begin_time": begins,
            "open": close - 1,
            "high": close + 2,
            "low": close - 2,
            "close": close,
            "volume": 4.0,
            "quote_volume": 41.0,
            "trade_num": 3,
            "taker_buy_base_asset_volume": 1.0,
            "taker_buy_quote_asset_volume": 10.0,
        }
    ).select(pl.col(name).cast(kind) for name, kind in CANDLE_SCHEMA.items())


def settlements(*rows: tuple[int, float]) -> pl.DataFrame:
    return pl.DataFrame(
        {"funding_time": [BEGIN + us for us, _ in rows], "funding_rate": [r for _, r in rows]},
    ).cast({"funding_time": pl.Datetime("us", "UTC")})


def test_every_minute_between_the_first_and_the_last_candle_has_a_row() -> None:
    calendar = complete_minutes(minutes([0, 1, 5]), NO_FUNDING)
    assert calendar.schema == pl.Schema(CALENDAR_SCHEMA)
    assert calendar["candle_begin_time"].diff().drop_nulls().unique().to_list() == [
        calendar["candle_begin_time"][1] - calendar["candle_begin_time"][0]
    ]
    assert calendar["is_filled"].to_list() == [False, False, True, True, True, False]


def test_a_filled_minute_holds_the_last_close_and_has_no_volume() -> None:
    calendar = complete_minutes(minutes([0, 3]), NO_FUNDING)
    filled = calendar.filter("is_filled")
    assert set(filled.select("open", "high", "low", "close", "vwap_1m").row(0)) == {10.0}
    assert set(filled.select("volume", "quote_volume", "trade_num").row(1)) == {0}
    assert calendar["open"][3] == 9.0


def test_the_minutes_vwap_lies_within_its_prices() -> None:
    assert complete_minutes(minutes([0]), NO_FUNDING)["vwap_1m"][0] == 41.0 / 4.0
    far = minutes([0]).with_columns(quote_volume=pl.lit(1e9))
    assert complete_minutes(far, NO_FUNDING)["vwap_1m"][0] == 12.0


def test_the_vwap_of_coin_margined_contracts_knows_their_size() -> None:
    # 4 contracts of 100 USD for 39 coins
    contracts = minutes([0]).with_columns(quote_volume=pl.lit(39.0))
    assert complete_minutes(contracts, NO_FUNDING, 100.0)["vwap_1m"][0] == 400.0 / 39.0


def test_a_settlement_is_joined_to_its_minute_and_null_elsewhere() -> None:
    funding = settlements((MINUTE + 3_000, 0.0001), (7 * MINUTE, 0.5))
    calendar = complete_minutes(minutes([0, 1, 2]), funding)
    assert calendar["funding_rate"].to_list() == [None, 0.0001, None]
    assert calendar["funding_time"].to_physical()[1] == BEGIN + MINUTE + 3_000


@pytest.mark.parametrize(
    ("hole", "price", "epochs"),
    [(1440, 20.0, 1), (1441, 20.0, 2), (1441, 10.5, 1), (2880, 10.5, 1), (2881, 10.5, 2)],
)
def test_an_epoch_starts_after_a_long_hole_or_a_jump(hole: int, price: float, epochs: int) -> None:
    candles = pl.concat([minutes([0, 1]), minutes([2 + hole, 3 + hole], price)])
    parts = split_epochs(complete_minutes(candles, NO_FUNDING), "AUSDT")
    assert [name for name, _ in parts] == (["SP0_AUSDT", "AUSDT"] if epochs == 2 else ["AUSDT"])
    if epochs == 2:
        assert [frame.height for _, frame in parts] == [2, 2]
        assert not any(frame["is_filled"].any() for _, frame in parts)


def test_no_candles_make_an_empty_calendar() -> None:
    assert complete_minutes(minutes([]), NO_FUNDING).schema == pl.Schema(CALENDAR_SCHEMA)
