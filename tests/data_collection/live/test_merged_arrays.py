"""Streams that carry rows of both futures markets: each client takes its own, in whatever form."""

from __future__ import annotations

from pathlib import Path

import pytest

from alphaqcm.data_collection.live.record.day_parts import DayParts, Kind, read_rows
from alphaqcm.data_collection.simulation.exchange import Exchange, KlinePush
from alphaqcm.data_collection.simulation.exchange import Market as Venue
from alphaqcm.data_collection.simulation.exchange.text import scales_of
from alphaqcm.pipeline.domain.registry import Market
from tests.helpers.live_directory import LiveDirectory
from tests.helpers.simulated_exchange import START_MS, exchange, plant, stats

pytestmark = [pytest.mark.process, pytest.mark.slow]

MINUTE = 60_000
Row = tuple[int, str, str, float, float]
"""Time, symbol, side, price, quantity."""


class Listener:
    """A client that records forced orders."""

    def __init__(self, server: Exchange, folder: Path, market: Market, trade_type: str) -> None:
        self.server, self.market = server, market
        self.followed = [
            one.symbol
            for one in server.state.venue.listings(Venue(market))
            if one.contract_type == "PERPETUAL" and one.symbol.endswith(("USDT", "_PERP"))
        ]
        self.parts = DayParts(folder / f"{market}_root", market)
        self.live = LiveDirectory(
            server, folder / market, "--record", str(self.parts.root),
            trade_type=trade_type, num_candles=5, num_socket_listeners=1, streams=["forceOrder"],
            keep_symbols=self.followed,
        )  # fmt: skip

    def rows(self) -> list[Row]:
        return [
            (int(row[0]), symbol, row[1], float(row[2]), float(row[4]))
            for symbol, _, path in self.parts.days(Kind.FORCE_ORDER)
            for row in read_rows(path)
        ]

    def newest(self) -> int:
        return max((row[0] for row in self.rows()), default=0)

    def breaks(self) -> int:
        """Connections that broke: what they did not bring nobody has."""
        return sum(n for kind, n in self.live.status["alerts"].items() if "socket" in kind)

    def assert_rows(self, begin_ms: int, end_ms: int) -> int:
        """Every forced order of the own market in (begin, end], and no other; how many."""
        own = self.server.state.venue.listings(Venue(self.market))
        followed = set(self.live.symbols())
        assert followed <= set(self.followed)
        expected = []
        for row in self.server.state.venue.tape.liquidations(own, begin_ms, end_ms + 1):
            scales, symbol = scales_of(row.listing), row.listing.symbol
            if symbol in followed and begin_ms < row.time_ms <= end_ms:
                side = "SELL" if row.sells else "BUY"
                price, quantity = scales.price(row.price), scales.quantity(row.quantity)
                expected.append((row.time_ms, symbol, side, float(price), float(quantity)))
        found = [row for row in self.rows() if begin_ms < row[0] <= end_ms]
        assert sorted(found) == sorted(expected), self.market
        return len(found)


def test_forced_orders_of_both_markets_in_one_array_are_told_apart(tmp_path: Path) -> None:
    """Contracts of COIN-M by the names of USDⓈ-M's: nothing but `st` tells their rows apart."""
    with exchange(um=200, cm=30, speed=20, kline_push=KlinePush.CLOSES) as server:
        um = Listener(server, tmp_path, Market.UM, "usdt_perp")
        cm = Listener(server, tmp_path, Market.CM, "coin_perp")
        both = (um, cm)
        with um.live, cm.live:
            for one in both:
                one.live.wait_warm()
            names = [one.symbol for one in server.state.venue.listings(Venue.UM)]
            for name in names[:150]:
                plant(server, "new-listing", market="cm", symbol=name)
            plant(server, "merged-arrays")
            for _ in range(5):  # a busy machine may break a connection
                before = [one.breaks() for one in both]
                begin = server.state.clock.now_ms()
                um.live.wait("the first", lambda _, since=begin: um.newest() > since)
                begin = server.state.clock.now_ms()
                um.live.pass_until(begin + MINUTE)
                for one in both:
                    one.live.wait(
                        "later ones",
                        lambda _, who=one, since=begin: who.newest() > since + MINUTE,
                    )
                if before == [one.breaks() for one in both]:
                    break
            assert um.assert_rows(begin, begin + MINUTE) > 0
            cm.assert_rows(begin, begin + MINUTE)
            for one in both:
                assert one.live.status["restarts"] == {}


def test_a_contract_of_the_other_market_is_no_news(tmp_path: Path) -> None:
    """Candles of an hour: what is seen before the close was told by the stream.

    No running candle comes meanwhile, although much is traded, and no connection is suspected.
    """
    words = {"start_ms": START_MS - 3 * MINUTE, "trades_per_minute": 120}
    with (
        exchange(um=3, cm=3, kline_push=KlinePush.CLOSES, **words) as server,
        LiveDirectory(
            server, tmp_path / "um", interval="1h", num_candles=5, num_socket_listeners=1
        ) as live,
    ):
        live.wait_warm()
        plant(server, "merged-arrays", seconds_after=5)
        live.pass_until(server.state.clock.now() + MINUTE)  # all contracts are known to it
        asked = looks(server)
        plant(server, "delist", market="cm", symbol="ETHUSD_PERP")
        plant(server, "new-listing", market="cm", symbol="FRESHUSDT")
        live.pass_until(server.state.clock.now() + MINUTE)
        assert looks(server) == asked
        # rows of both markets in one array
        plant(server, "delist", market="cm", symbol="BNBUSD_PERP")
        plant(server, "new-listing", market="um", symbol="FRESHUSDT")
        live.wait("the new symbol", lambda s: "FRESHUSDT" in live.log and s["symbols"])
        assert server.state.clock.now() < START_MS + 56 * MINUTE
        assert looks(server) > asked
        found = live.status
        assert found["restarts"] == {}
        assert "frames come, and no candles" not in found["ends"]


def looks(server: Exchange) -> int:
    """How often the list of symbols was asked for."""
    return int(stats(server)["paths"]["/fapi/v1/exchangeInfo"])
