"""Streams: routes, commands, and candles that end as the truth has them."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from alphaqcm.data_collection.simulation.exchange import Market, UniverseSize
from tests.data_collection.simulation.exchange.conftest import START_MS, Client, Start
from tests.data_collection.simulation.exchange.frames import (
    Socket,
    conversation,
    drain,
    listen,
    settled,
)

MINUTE = 60_000


def frames_of(client: Client, path: str, advance: float = 90, steps: int = 1) -> list[Any]:
    return asyncio.run(listen(client, path, advance, steps))


def of(frames: list[Any], kind: str) -> list[dict[str, Any]]:
    events = [frame.get("data", frame) for frame in frames]
    return [event for event in events if isinstance(event, dict) and event.get("e") == kind]


def row(candle: dict[str, Any]) -> list[object]:
    """A closing frame's candle as REST writes it."""
    return [candle[name] for name in "tohlcvTqnVQB"]


@pytest.mark.parametrize(
    ("market", "path", "symbol"),
    [
        ("spot", "/spot-ws/ws/btcusdt@kline_1m", "BTCUSDT"),
        ("um", "/um-ws/market/ws/btcusdt@kline_1m", "BTCUSDT"),
        ("cm", "/cm-ws/ws/btcusd_perp@kline_1m", "BTCUSD_PERP"),
        ("um", "/um-ws/market/stream?streams=币安人生usdt@kline_1m", "币安人生USDT"),
    ],
)
def test_closing_frames_are_the_truth(client: Client, market: str, path: str, symbol: str) -> None:
    closes = [e["k"] for e in of(frames_of(client, path, 200, 7), "kline") if e["k"]["x"]]
    assert [candle["t"] for candle in closes] == [START_MS - 30_000 + k * MINUTE for k in range(3)]
    truth = client.json(
        "/__truth__/klines",
        market=market, symbol=symbol, interval="1m",
        startTime=closes[0]["t"], endTime=closes[-1]["t"],
    )  # fmt: skip
    assert [row(candle) for candle in closes] == truth


@pytest.mark.parametrize("interval", ["1m", "5m", "1h", "4h", "1d"])
def test_a_candle_joined_in_the_middle_ends_whole(client: Client, interval: str) -> None:
    path = f"/um-ws/market/ws/ethusdt@kline_{interval}"
    width = {"1m": 60, "5m": 300, "1h": 3600, "4h": 14_400, "1d": 43_200}[interval]
    closes = [e["k"] for e in of(frames_of(client, path, width), "kline") if e["k"]["x"]]
    (truth,) = client.json(
        "/__truth__/klines",
        market="um", symbol="ETHUSDT", interval=interval,
        startTime=closes[0]["t"], endTime=closes[0]["t"],
    )  # fmt: skip
    assert row(closes[0]) == truth


def test_spot_has_candles_of_a_second(client: Client) -> None:
    frames = frames_of(client, "/spot-ws/ws/btcusdt@kline_1s", 30)
    closes = [e["k"] for e in of(frames, "kline") if e["k"]["x"]]
    truth = client.json(
        "/__truth__/klines",
        market="spot", symbol="BTCUSDT", interval="1s",
        startTime=closes[0]["t"], endTime=closes[-1]["t"],
    )  # fmt: skip
    assert [row(candle) for candle in closes] == truth
    assert len(closes) == 30


def test_trades_come_once_each_in_the_order_of_ids(client: Client) -> None:
    frames = frames_of(client, "/um-ws/market/ws/btcusdt@aggTrade", 600, 5)
    events = of(frames, "aggTrade")
    truth = client.json(
        "/__truth__/aggTrades", market="um", symbol="BTCUSDT", startTime=START_MS + 1
    )
    assert [event["a"] for event in events][-len(truth) :] == [trade["a"] for trade in truth]
    assert [(e["p"], e["q"], e["f"], e["l"], e["T"], e["m"]) for e in events][-1] == tuple(
        truth[-1][name] for name in "pqflTm"
    )


@pytest.mark.parametrize(
    ("path", "delivers"),
    [
        ("/um-ws/market/ws/btcusdt@kline_1m", True),
        ("/um-ws/public/ws/btcusdt@kline_1m", False),
        ("/um-ws/private/ws/btcusdt@kline_1m", False),
        ("/um-ws/ws/btcusdt@kline_1m", False),
        ("/um-ws/stream?streams=btcusdt@kline_1m", False),
        ("/um-ws/public/ws/btcusdt@bookTicker", True),
        ("/um-ws/market/ws/btcusdt@bookTicker", False),
        ("/um-ws/public/ws/btcusdt@depth@100ms", True),
        ("/um-ws/market/ws/btcusdt@depth@100ms", False),
        ("/cm-ws/ws/btcusd_perp@kline_1m", True),
        ("/cm-ws/market/ws/btcusd_perp@kline_1m", False),
        ("/um-ws/market/ws/BTCUSDT@kline_1m", False),
        ("/um-ws/market/ws/nopeusdt@kline_1m", False),
    ],
)
def test_frames_come_on_the_right_route_only(client: Client, path: str, delivers: bool) -> None:
    assert bool(frames_of(client, path)) is delivers


def test_the_wrong_route_acknowledges_and_stays_silent(client: Client) -> None:
    async def talk(socket: Socket) -> list[Any]:
        names = ["btcusdt@kline_1m", "btcusdt@aggTrade", "btcusdt@markPrice@1s"]
        await socket.send_json({"method": "SUBSCRIBE", "params": names, "id": 7})
        first = await drain(socket)
        client.advance(120)
        await settled(client)
        return [*first, *await drain(socket)]

    assert asyncio.run(conversation(client, "/um-ws/ws", talk)) == [{"result": None, "id": 7}]


def test_cm_can_be_set_to_need_its_route(start: Start) -> None:
    client = start(cm_routed=True)
    assert not frames_of(client, "/cm-ws/ws/btcusd_perp@kline_1m")
    assert frames_of(client, "/cm-ws/market/ws/btcusd_perp@kline_1m")


def test_subscriptions_are_added_listed_and_taken_back(client: Client) -> None:
    async def talk(socket: Socket) -> list[Any]:
        told = []
        for number, (method, params) in enumerate(
            [
                ("SUBSCRIBE", ["btcusdt@aggTrade", "ethusdt@aggTrade"]),
                ("UNSUBSCRIBE", ["btcusdt@aggTrade"]),
                ("LIST_SUBSCRIPTIONS", []),
            ]
        ):
            await socket.send_json({"method": method, "params": params, "id": number})
            told.append(await socket.receive_json(timeout=20))
        client.advance(120)
        await settled(client)
        return [told, {frame["s"] for frame in await drain(socket)}]

    told, symbols = asyncio.run(conversation(client, "/um-ws/market/ws", talk))
    assert told == [
        {"result": None, "id": 0},
        {"result": None, "id": 1},
        {"result": ["ethusdt@aggTrade"], "id": 2},
    ]
    assert symbols == {"ETHUSDT"}


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"method":"NOPE","id":1}', '{"method":"SUBSCRIBE","params":[1],"id":1}']
)
def test_a_bad_command_is_told_and_ends_nothing(client: Client, text: str) -> None:
    async def talk(socket: Socket) -> list[Any]:
        await socket.send_str(text)
        return [await socket.receive_json(timeout=20), await drain(socket)]

    told, rest = asyncio.run(conversation(client, "/um-ws/market/ws", talk))
    assert told["error"]["code"] in (2, 3)
    assert rest == []


def test_one_open_and_one_closing_frame_a_candle_where_closes_are_asked(start: Start) -> None:
    client = start(kline_push="closes")
    frames = frames_of(client, "/um-ws/market/ws/btcusdt@kline_1m", 180, 40)
    assert [event["k"]["x"] for event in of(frames, "kline")] == [False, *[True, False] * 3]


@pytest.mark.slow
def test_candles_are_pushed_four_times_a_second_on_futures(client: Client) -> None:
    frames = frames_of(client, "/um-ws/market/ws/btcusdt@kline_1m", 20, 200)
    assert 70 <= len(frames) <= 90


def test_mark_prices_of_all_come_with_stocks_apart(client: Client) -> None:
    frames = frames_of(client, "/um-ws/market/ws/!markPrice@arr@1s", 2, 2)
    groups = [{event["s"] for event in frame} for frame in frames]
    assert {"TSLAUSDT", "XAUUSDT"} in groups
    assert any("BTCUSDT" in group and "TSLAUSDT" not in group for group in groups)


def test_merged_arrays_carry_both_futures_markets_told_apart_by_st(client: Client) -> None:
    frames = frames_of(client, "/um-ws/market/ws/!forceOrder@arr", 7200, 2)
    markets = {frame["st"]: frame["o"]["s"] for frame in frames}
    assert set(markets) == {1, 2}
    assert "USD_" in markets[2]
    tickers = frames_of(client, "/um-ws/public/ws/!bookTicker", 60)
    assert {frame["st"] for frame in tickers} == {1, 2}


@pytest.mark.slow
def test_forced_orders_come_however_small_the_steps_are(start: Start) -> None:
    client = start(size=UniverseSize(spot=1, um=400, cm=1))
    path = "/um-ws/market/ws/!forceOrder@arr"
    told = [frame["o"] for frame in frames_of(client, path, 30, 100) if frame["st"] == 1]
    venue = client.exchange.state.venue
    rows = venue.tape.liquidations(venue.listings(Market.UM), START_MS + 1000, START_MS + 30_000)
    expected = {(row.listing.symbol, row.time_ms) for row in rows}
    assert len(expected) > 3
    assert expected <= {(order["s"], order["T"]) for order in told}


def test_a_new_contract_is_told_to_all(client: Client) -> None:
    async def talk(socket: Socket) -> list[Any]:
        client.advance(2)
        await settled(client)
        client.fault(kind="new-listing", market="um", symbol="FRESHUSDT", start="+10")
        client.advance(5)
        await settled(client)
        client.advance(10)
        await settled(client)
        return await drain(socket)

    events = asyncio.run(conversation(client, "/um-ws/market/ws/!contractInfo", talk))
    assert [(e["s"], e["cs"], e["st"]) for e in events] == [
        ("FRESHUSDT", "PENDING_TRADING", 1),
        ("FRESHUSDT", "TRADING", 1),
    ]


def test_spot_streams_have_microseconds_on_request(client: Client) -> None:
    path = "/spot-ws/stream?streams=btcusdt@aggTrade/btcusdt@kline_1m&timeUnit=MICROSECOND"
    frames = frames_of(client, path)
    assert {len(str(event["E"])) for event in of(frames, "aggTrade") + of(frames, "kline")} == {16}


def test_book_updates_join_without_a_gap(client: Client) -> None:
    events = frames_of(client, "/um-ws/public/ws/btcusdt@depth@100ms", 2, 20)
    assert len(events) > 5
    for before, after in zip(events, events[1:], strict=False):  # noqa: RUF007
        assert (after["pu"], after["U"]) == (before["u"], before["u"] + 1)


def test_a_path_that_is_no_stream_is_not_found(client: Client) -> None:
    async def talk(_: Socket) -> None:
        return None

    with pytest.raises(aiohttp.WSServerHandshakeError) as error:
        asyncio.run(conversation(client, "/um-ws/market/nope", talk))
    assert error.value.status == 404
