"""The payloads of frames as JSON bytes, shaped as the exchange's own."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from alphaqcm.data_collection.simulation.exchange.rest.trading import update_id
from alphaqcm.data_collection.simulation.exchange.sockets.streams import Stream
from alphaqcm.data_collection.simulation.exchange.tape.listing import Listing, Market
from alphaqcm.data_collection.simulation.exchange.tape.protocol import Liquidation
from alphaqcm.data_collection.simulation.exchange.text import scales_of, writer

_EIGHT = writer(8)
_EVENTS = {True: "true", False: "false"}
ST = {Market.UM: 1, Market.CM: 2}
"""What tells rows of the two futures markets apart in arrays of both."""


@dataclass(slots=True)
class Candle:
    """A running candle in smallest units; without trades it stands at the close before it."""

    start: int
    end: int
    open: int = 0
    high: int = 0
    low: int = 0
    close: int = 0
    volume: int = 0
    amount: int = 0
    count: int = 0
    buy_volume: int = 0
    buy_amount: int = 0
    first_id: int = -1
    last_id: int = -1
    known: bool = False  # a price is known
    flat_start: bool = False  # its first minute is over without a trade: it opened flat

    def add(
        self, price: int, quantity: int, amount: int, first_id: int, last_id: int, maker: int
    ) -> None:
        """Take in one trade."""
        if self.first_id < 0:
            self.first_id = first_id
            if not self.flat_start:
                self.open = self.high = self.low = price
            self.known = True
        self.high = max(self.high, price)
        self.low = min(self.low, price)
        self.close = price
        self.volume += quantity
        self.amount += amount
        self.count += last_id - first_id + 1
        self.last_id = last_id
        if not maker:
            self.buy_volume += quantity
            self.buy_amount += amount

    def after(self, start: int, end: int) -> Candle:
        """The empty candle of the next window."""
        at = self.close
        return Candle(start, end, at, at, at, at, known=self.known)


def kline(
    candle: Candle, stream: Stream, listing: Listing, event_ms: int, unit: int, *, closed: bool
) -> bytes:
    """A kline event, or a continuous_kline where the stream is one."""
    scales = scales_of(listing)
    price, quantity, amount = scales.price, scales.quantity, scales.amount
    if stream.pair:
        head = (
            f'{{"e":"continuous_kline","E":{event_ms},"ps":"{stream.pair}",'
            f'"ct":"{stream.contract_type}","k":{{'
        )
        named = ""
    else:
        head = f'{{"e":"kline","E":{event_ms * unit},"s":"{listing.symbol}","k":{{'
        named = f'"s":"{listing.symbol}",'
    return (
        f'{head}"t":{candle.start * unit},"T":{candle.end * unit - 1},{named}'
        f'"i":"{stream.interval}","f":{candle.first_id},"L":{candle.last_id},'
        f'"o":"{price(candle.open)}","c":"{price(candle.close)}",'
        f'"h":"{price(candle.high)}","l":"{price(candle.low)}",'
        f'"v":"{quantity(candle.volume)}","n":{candle.count},"x":{_EVENTS[closed]},'
        f'"q":"{amount(candle.amount)}","V":"{quantity(candle.buy_volume)}",'
        f'"Q":"{amount(candle.buy_amount)}","B":"0"}}}}'
    ).encode()


@dataclass(frozen=True, slots=True)
class TradeRow:
    """One aggregated trade."""

    time: int
    id: int
    price: int
    quantity: int
    amount: int
    first_id: int
    last_id: int
    maker: int


def agg_trade(row: TradeRow, listing: Listing, event_ms: int, unit: int) -> bytes:
    """An aggTrade event; um says beside the quantity how much of it was no retail fill."""
    scales = scales_of(listing)
    price, quantity = scales.price(row.price), scales.quantity(row.quantity)
    tail = (
        f'"f":{row.first_id},"l":{row.last_id},"T":{row.time * unit},"m":{_EVENTS[row.maker > 0]}'
    )
    if listing.market is Market.SPOT:
        return (
            f'{{"e":"aggTrade","E":{event_ms * unit},"s":"{listing.symbol}","a":{row.id},'
            f'"p":"{price}","q":"{quantity}",{tail},"M":true}}'
        ).encode()
    normal = ""
    if listing.market is Market.UM:
        rest = row.quantity // 2 if row.id % 7 == 0 else row.quantity
        normal = f'"nq":"{scales.quantity(rest)}",'
    return (
        f'{{"e":"aggTrade","E":{event_ms},"a":{row.id},"s":"{listing.symbol}",'
        f'"p":"{price}","q":"{quantity}",{normal}{tail}}}'
    ).encode()


def single_trades(row: TradeRow, listing: Listing, event_ms: int, unit: int) -> list[bytes]:
    """The trades behind an aggregated one, as spot's trade events."""
    scales = scales_of(listing)
    number = row.last_id - row.first_id + 1
    share = row.quantity // number
    rows = []
    for k in range(number):
        quantity = share if k < number - 1 else row.quantity - share * (number - 1)
        rows.append(
            (
                f'{{"e":"trade","E":{event_ms * unit},"s":"{listing.symbol}",'
                f'"t":{row.first_id + k},"p":"{scales.price(row.price)}",'
                f'"q":"{scales.quantity(quantity)}","T":{row.time * unit},'
                f'"m":{_EVENTS[row.maker > 0]},"M":true}}'
            ).encode()
        )
    return rows


@dataclass(frozen=True, slots=True)
class MarkRow:
    """A symbol's mark price now; prices in 1e-8."""

    listing: Listing
    mark: int
    index: int
    rate: str
    next_ms: int


def mark_price(row: MarkRow, event_ms: int) -> bytes:
    """A markPriceUpdate event."""
    return (
        f'{{"e":"markPriceUpdate","E":{event_ms},"s":"{row.listing.symbol}",'
        f'"p":"{_EIGHT(row.mark)}","P":"{_EIGHT(row.index)}","i":"{_EIGHT(row.index)}",'
        f'"r":"{row.rate}","T":{row.next_ms}}}'
    ).encode()


def force_order(row: Liquidation, event_ms: int, *, merged: bool) -> bytes:
    """A forceOrder event; in the stream of all symbols with the market's number."""
    scales = scales_of(row.listing)
    quantity, price = scales.quantity(row.quantity), scales.price(row.price)
    pair = f'"ps":"{row.listing.pair}",' if row.listing.market is Market.CM else ""
    st = f',"st":{ST[row.listing.market]}' if merged else ""
    return (
        f'{{"e":"forceOrder","E":{event_ms},"o":{{"s":"{row.listing.symbol}",{pair}'
        f'"S":"{"SELL" if row.sells else "BUY"}","o":"LIMIT","f":"IOC","q":"{quantity}",'
        f'"p":"{price}","ap":"{price}","X":"FILLED","l":"{quantity}","z":"{quantity}",'
        f'"T":{row.time_ms}}}{st}}}'
    ).encode()


def book_ticker(
    listing: Listing, best: tuple[list[str], list[str]], event_ms: int, *, merged: bool
) -> bytes:
    """A bookTicker event; spot's has no times."""
    (bid, bids), (ask, asks) = best
    number = update_id(event_ms)
    levels = f'"s":"{listing.symbol}","b":"{bid}","B":"{bids}","a":"{ask}","A":"{asks}"'
    if listing.market is Market.SPOT:
        return f'{{"u":{number},{levels}}}'.encode()
    pair = f'"ps":"{listing.pair}",' if listing.market is Market.CM else ""
    st = f',"st":{ST[listing.market]}' if merged else ""
    return (
        f'{{"e":"bookTicker","u":{number},{pair}{levels},"T":{event_ms - 5},"E":{event_ms}{st}}}'
    ).encode()


def depth_update(
    listing: Listing, sides: tuple[list[list[str]], list[list[str]]], before_ms: int, now_ms: int
) -> bytes:
    """A depthUpdate event of the time from one moment to another."""
    event: dict[str, object] = {"e": "depthUpdate", "E": now_ms}
    if listing.market is not Market.SPOT:
        event["T"] = now_ms - 5
    event |= {"s": listing.symbol}
    if listing.market is Market.CM:
        event["ps"] = listing.pair
    event |= {"U": update_id(before_ms) + 1, "u": update_id(now_ms)}
    if listing.market is not Market.SPOT:
        event["pu"] = update_id(before_ms)
    return orjson.dumps(event | {"b": sides[0], "a": sides[1]})


def spot_depth(sides: tuple[list[list[str]], list[list[str]]], now_ms: int) -> bytes:
    """Spot's partial book."""
    return orjson.dumps({"lastUpdateId": update_id(now_ms), "bids": sides[0], "asks": sides[1]})


def contract_info(listing: Listing, status: str, event_ms: int) -> bytes:
    """A contractInfo event: a contract was listed, halted or ended."""
    return orjson.dumps(
        {
            "e": "contractInfo",
            "E": event_ms,
            "s": listing.symbol,
            "ps": listing.pair,
            "ct": listing.contract_type,
            "dt": listing.delivery_ms,
            "ot": listing.onboard_ms,
            "cs": status,
            "bks": [],
            "st": ST[listing.market],
        }
    )


def server_shutdown(event_ms: int) -> bytes:
    """The exchange will end the connection soon."""
    return orjson.dumps({"e": "serverShutdown", "E": event_ms})
