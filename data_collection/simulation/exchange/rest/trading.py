"""`aggTrades` and `depth`: the trades of a symbol by time or id, and a book around its price."""

from __future__ import annotations

import orjson

from alphaqcm.data_collection.simulation.exchange.facts import AGG_TRADE_HOURS, ApiError
from alphaqcm.data_collection.simulation.exchange.rest.request import Ask
from alphaqcm.data_collection.simulation.exchange.tape.intervals import HOUR_MS
from alphaqcm.data_collection.simulation.exchange.tape.listing import Listing, Market
from alphaqcm.data_collection.simulation.exchange.tape.trades import Trades
from alphaqcm.data_collection.simulation.exchange.text import array, scales_of, trade_rows
from alphaqcm.data_collection.simulation.exchange.venue import Venue


def agg_trades(ask: Ask) -> bytes:
    """Aggregated trades: from an id on, of a time, or the newest."""
    listing = ask.listing()
    return array(trade_rows(_asked(ask, listing), listing, ask.unit))


def _asked(ask: Ask, listing: Listing) -> Trades:
    venue, limit = ask.venue, ask.limit()
    start, end, first_id = ask.moment("startTime"), ask.moment("endTime"), ask.number("fromId")
    hours = AGG_TRADE_HOURS[ask.market]
    oldest = None if hours is None else ask.now_ms - hours * HOUR_MS
    if first_id is not None:
        if start is not None or end is not None:
            raise ApiError(-1128, "Combination of optional parameters invalid.")
        found = venue.trades_from_id(listing, first_id, limit)
        if oldest is not None and len(found) and found.time[0] < oldest:
            raise _too_old(hours)
        return found
    if start is not None and end is not None:
        if start > end:
            raise ApiError(-1023, "Start time is greater than end time.")
        if hours is not None and end - start >= HOUR_MS:
            raise ApiError(-1127, "More than 1 hours between startTime and endTime.")
    if start is None:
        before = ask.now_ms if end is None else end + 1
        found = venue.last_trades(listing, before, limit)
        return found if oldest is None else found.take(found.time >= oldest)
    if oldest is not None:
        if start < oldest:
            raise _too_old(hours)
        end = min(start + HOUR_MS, ask.now_ms) if end is None else end
    return venue.first_trades(listing, start, ask.now_ms if end is None else end + 1, limit)


def _too_old(hours: int | None) -> ApiError:
    # the code that the futures documents give for a search window; its text here is an assumption
    return ApiError(-4166, f"Search window is restricted to recent {hours} hours only.")


def depth(ask: Ask) -> bytes:
    """Bids and asks around the last price."""
    listing, limit = ask.listing(), ask.limit()
    answer: dict[str, object] = {"lastUpdateId": update_id(ask.now_ms)}
    if ask.market is not Market.SPOT:
        answer |= {"E": ask.now_ms, "T": ask.now_ms - 5}
    if ask.market is Market.CM:
        answer |= {"symbol": listing.symbol, "pair": listing.pair}
    bids, asks = book(ask.venue, listing, ask.now_ms, min(limit, 1000))
    return orjson.dumps(answer | {"bids": bids, "asks": asks})


def update_id(now_ms: int) -> int:
    """A number of the book's state that grows with time."""
    return now_ms * 16


def book(
    venue: Venue, listing: Listing, now_ms: int, count: int
) -> tuple[list[list[str]], list[list[str]]]:
    """Levels of price and quantity, best first: bids below the last price, asks above it."""
    last = venue.last_trades(listing, now_ms, 1)
    if not len(last):
        return [], []
    return levels(listing, int(last.price[0]), now_ms, count)


def levels(
    listing: Listing, price: int, now_ms: int, count: int
) -> tuple[list[list[str]], list[list[str]]]:
    """`count` levels on either side of a price; the quantities change every 250 ms."""
    scales, salt = scales_of(listing), now_ms // 250

    def side(step: int) -> list[list[str]]:
        prices = (price + step * listing.tick * (level + 1) for level in range(count))
        return [
            [scales.price(value), scales.quantity(1 + (value * 2654435761 + salt * 40503) % 9973)]
            for value in prices
            if value > 0
        ]

    return side(-1), side(1)
