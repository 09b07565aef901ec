"""Whole numbers as the decimal text of the exchange, rows and trades as its JSON bytes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from alphaqcm.data_collection.simulation.exchange.tape.listing import Listing, Market
from alphaqcm.data_collection.simulation.exchange.tape.trades import Bars, Trades


def writer(decimals: int, places: int | None = None) -> Callable[[int], str]:
    """Writes units of `10**-decimals` with `places` decimals (at least `decimals`)."""
    zeros = "0" * ((places or decimals) - decimals)
    if decimals == 0:
        tail = "." + zeros if zeros else ""
        return lambda value: f"{value}{tail}"
    width = decimals + 1

    def write(value: int) -> str:
        if value < 0:
            return "-" + write(-value)
        digits = str(value)
        if len(digits) < width:
            digits = digits.zfill(width)
        return f"{digits[:-decimals]}.{digits[-decimals:]}{zeros}"

    return write


class Scales:
    """How one listing's prices, quantities and amounts are written: spot has 8 decimals always."""

    def __init__(self, listing: Listing) -> None:
        places = 8 if listing.market is Market.SPOT else None
        self.price = writer(listing.price_decimals, places)
        self.quantity = writer(listing.quantity_decimals, places)
        self.amount = writer(listing.quote_decimals, places)


_SCALES: dict[tuple[int, int, int, bool], Scales] = {}


def scales_of(listing: Listing) -> Scales:
    """The writers of a listing."""
    key = (
        listing.price_decimals,
        listing.quantity_decimals,
        listing.contract_size,
        listing.market is Market.SPOT,
    )
    found = _SCALES.get(key)
    if found is None:
        found = _SCALES[key] = Scales(listing)
    return found


def kline_rows(bars: Bars, listing: Listing, unit: int = 1) -> list[str]:
    """Candles as the rows of `klines`; `unit` 1000 gives microseconds."""
    scales = scales_of(listing)
    price, quantity, amount = scales.price, scales.quantity, scales.amount
    starts, ends = (bars.start * unit).tolist(), (bars.end * unit - 1).tolist()
    columns = zip(
        starts,
        map(price, bars.open.tolist()),
        map(price, bars.high.tolist()),
        map(price, bars.low.tolist()),
        map(price, bars.close.tolist()),
        map(quantity, bars.volume.tolist()),
        ends,
        map(amount, bars.amount.tolist()),
        bars.count.tolist(),
        map(quantity, bars.buy_volume.tolist()),
        map(amount, bars.buy_amount.tolist()),
        strict=True,
    )
    return [
        f'[{t},"{o}","{h}","{l}","{c}","{v}",{T},"{q}",{n},"{V}","{Q}","0"]'
        for t, o, h, l, c, v, T, q, n, V, Q in columns  # noqa: E741
    ]


def array(rows: list[str]) -> bytes:
    """Rows as one JSON array."""
    return ("[" + ",".join(rows) + "]").encode()


def trade_rows(trades: Trades, listing: Listing, unit: int = 1) -> list[str]:
    """Trades as the rows of `aggTrades`."""
    scales = scales_of(listing)
    best = ',"M":true' if listing.market is Market.SPOT else ""
    more = zip(
        trades.id.tolist(),
        map(scales.price, trades.price.tolist()),
        map(scales.quantity, trades.quantity.tolist()),
        trades.first_id.tolist(),
        trades.last_id.tolist(),
        (trades.time * unit).tolist(),
        np.where(trades.maker == 1, "true", "false").tolist(),
        strict=True,
    )
    return [
        f'{{"a":{a},"p":"{p}","q":"{q}","f":{f},"l":{l},"T":{T},"m":{m}{best}}}'
        for a, p, q, f, l, T, m in more  # noqa: E741
    ]
