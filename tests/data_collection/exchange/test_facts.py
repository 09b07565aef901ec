"""The exchange's facts as data: weights, routes, pages, trade types, signals, clock."""

from __future__ import annotations

import asyncio

import pytest

from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.exchange.clock import ExchangeClock
from alphaqcm.data_collection.exchange.endpoints import (
    ROUTES,
    Bases,
    Endpoint,
    Pool,
    parse_trade_type,
)
from alphaqcm.data_collection.exchange.fetcher import final_end
from alphaqcm.data_collection.exchange.pages import plan_pages, shortest_seconds, weight_of
from alphaqcm.data_collection.exchange.signals import Signal, judge
from alphaqcm.pipeline.domain.registry import Market

MINUTES = 300_000  # ms of a 5m candle


@pytest.mark.parametrize(
    ("limit", "weight"), [(1, 1), (99, 1), (100, 2), (499, 2), (500, 5), (1000, 5), (1500, 10)]
)
def test_futures_klines_cost_by_their_limit(limit: int, weight: int) -> None:
    assert ROUTES[Market.UM, Endpoint.KLINES].weight.of({"limit": limit}) == weight


def test_um_and_cm_share_a_pool_and_funding_has_its_own() -> None:
    assert ROUTES[Market.UM, Endpoint.KLINES].pool is ROUTES[Market.CM, Endpoint.KLINES].pool
    assert ROUTES[Market.UM, Endpoint.FUNDING_RATE].pool is Pool.FUNDING
    assert ROUTES[Market.CM, Endpoint.FUNDING_RATE].pool is Pool.FUTURES


def test_an_endpoint_for_all_symbols_costs_more() -> None:
    weight = ROUTES[Market.UM, Endpoint.PREMIUM_INDEX].weight
    assert (weight.of({"symbol": "BTCUSDT"}), weight.of({})) == (1, 10)


def test_fifteen_days_of_a_perpetual_are_nine_pages_of_weight_18() -> None:
    pages = plan_pages(Market.UM, MINUTES, 0, 4340 * MINUTES)
    assert len(pages) == 9
    assert sum(weight_of(Market.UM, page) for page in pages) == 18
    assert [page.begin_ms for page in pages[1:]] == [page.end_ms for page in pages[:-1]]
    assert sum(page.candles for page in pages) == 4340


def test_pages_of_coin_margined_days_span_at_most_200_days() -> None:
    day = 86_400_000
    pages = plan_pages(Market.CM, day, 0, 500 * day)
    assert max(page.end_ms - page.begin_ms for page in pages) == 200 * day


def test_the_shortest_time_is_that_of_the_documents_run() -> None:
    # W = 297 * 18, 647 used, at second 39.5 of the minute: three windows
    assert shortest_seconds(5346, 647, 2280, 39.5) == pytest.approx(80.5)
    assert shortest_seconds(1000, 0, 2280, 39.5) == 0.0


@pytest.mark.parametrize(
    ("name", "market", "quote"),
    [
        ("spot", Market.SPOT, None),
        ("usdt_futures", Market.UM, None),
        ("usdt_swap", Market.UM, "USDT"),
        ("usdc_spot", Market.SPOT, "USDC"),
        ("coin_swap", Market.CM, None),
    ],
)
def test_trade_types_go_by_their_names_and_aliases(
    name: str, market: Market, quote: str | None
) -> None:
    found = parse_trade_type(name)
    assert (found.market, found.quote) == (market, quote)


def test_an_unknown_trade_type_is_refused_with_all_that_there_are() -> None:
    with pytest.raises(UsageError, match="usdt_perp"):
        parse_trade_type("swap")


def test_one_url_stands_for_every_market() -> None:
    assert set(map(Bases.at("http://127.0.0.1:9/").of, Market)) == {"http://127.0.0.1:9"}


@pytest.mark.parametrize(
    ("status", "body", "signal"),
    [
        (200, b"[]", Signal.FINE),
        (429, b"", Signal.THROTTLED),
        (400, b'{"code":-1003,"msg":"x"}', Signal.THROTTLED),
        (418, b"", Signal.BANNED),
        (403, b"<html>", Signal.FIREWALL),
        (451, b"", Signal.REGION),
        (400, b'{"code":-1121,"msg":"Invalid symbol."}', Signal.BAD_SYMBOL),
        (400, b'{"code":-1122,"msg":"x"}', Signal.BAD_SYMBOL),
        (400, b'{"code":-1100,"msg":"x"}', Signal.OUR_FAULT),
        (400, b'{"code":-1120,"msg":"x"}', Signal.OUR_FAULT),
        (400, b'{"code":-1001,"msg":"x"}', Signal.TRANSIENT),
        (503, b'{"code":-1008,"msg":"x"}', Signal.TRANSIENT),
        (502, b"<html>", Signal.TRANSIENT),
    ],
)
def test_every_signal_has_its_action(status: int, body: bytes, signal: Signal) -> None:
    assert judge(status, {}, body).signal is signal


def test_a_ban_tells_its_end_in_the_header_or_in_its_text() -> None:
    assert judge(418, {"Retry-After": "120"}, b"").wait == 120
    text = (
        b'{"code":-1003,"msg":"Way too much request weight used; IP banned until 1772020800000."}'
    )
    assert judge(418, {}, text).until_ms == 1_772_020_800_000


def test_the_clock_follows_what_the_exchange_tells() -> None:
    clock = ExchangeClock(now=1000.0)
    clock.told(5_000_000, sent=clock._anchor, received=clock._anchor + 0.02)
    assert clock.now() == pytest.approx(5000.0, abs=0.5)


def test_a_less_exact_reading_does_not_move_the_clock() -> None:
    clock = ExchangeClock(now=1000.0)
    clock.told(5_000_000, sent=clock._anchor, received=clock._anchor + 0.02)
    before = clock._base
    clock.told(5_000_400, sent=clock._anchor, received=clock._anchor + 0.9)
    assert clock._base == before


def test_a_clock_that_was_set_is_followed_however_exact_the_reading() -> None:
    clock = ExchangeClock(now=1000.0)
    clock.told(5_000_000, sent=clock._anchor, received=clock._anchor + 0.02)
    clock.told(9_000_000, sent=clock._anchor, received=clock._anchor + 0.9)
    assert clock.now() == pytest.approx(9000.0, abs=0.5)


def test_a_fast_clock_sleeps_less() -> None:
    clock = ExchangeClock(now=1000.0, speed=600.0)
    asyncio.run(asyncio.wait_for(clock.sleep_until(1000.0 + 600), 20))
    assert clock.now() >= 1600


@pytest.mark.parametrize("url", ["http://10.0.0.1:80", "https://127.0.0.1:1", "http://example.com"])
def test_a_test_clock_elsewhere_than_on_loopback_is_refused(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALPHAQCM_TEST_CLOCK", url)
    with pytest.raises(UsageError, match="of this machine"):
        ExchangeClock.from_environment()


@pytest.mark.parametrize(("past_ms", "final"), [(0, 0), (1_999, 0), (2_000, 1), (299_999, 1)])
def test_a_candle_is_final_two_seconds_after_its_close(past_ms: int, final: int) -> None:
    assert final_end(300_000 + past_ms, 300_000) == final * 300_000
