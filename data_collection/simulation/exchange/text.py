"""Whole numbers as the decimal text of the exchange, rows and trades as its JSON bytes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from alphaqcm.data_collection.simulation.exchange.tape.listing import Listing, Market
from alphaqcm.data_collection.simulation.exchange.tape.trades import Bars, Ints, Trades


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


def decimal_column(values: Ints, decimals: int, places: int) -> pa.Array:
    """Whole numbers from 0 on as text with `places` decimals, all at once."""
    padding = "0" * (places - decimals)
    if decimals == 0:
        whole = pc.cast(pa.array(values), pa.string())
        return pc.binary_join_element_wise(whole, padding, ".") if padding else whole
    scale = 10**decimals
    # one in front keeps the leading zeros of the fraction; it is cut off again
    fraction = pc.cast(pa.array(values % scale + scale), pa.string())
    fraction = pc.utf8_slice_codeunits(fraction, 1)
    text = pc.binary_join_element_wise(
        pc.cast(pa.array(values // scale), pa.string()), fraction, "."
    )
    return pc.binary_join_element_wise(text, padding, "") if padding else text


def kline_rows(bars: Bars, listing: Listing, unit: int = 1) -> list[str]:
    """Candles as the rows of `klines`; `unit` 1000 gives microseconds."""
    if not len(bars):
        return []
    spot = listing.market is Market.SPOT

    def column(values: Ints, decimals: int) -> pa.Array:
        return decimal_column(values, decimals, 8 if spot else decimals)

    def whole(values: Ints) -> pa.Array:
        return pc.cast(pa.array(values), pa.string())

    price, quantity = listing.price_decimals, listing.quantity_decimals
    amount = listing.quote_decimals
    cells = pc.binary_join_element_wise(
        column(bars.open, price),
        column(bars.high, price),
        column(bars.low, price),
        column(bars.close, price),
        column(bars.volume, quantity),
        '","',
    )
    takers = pc.binary_join_element_wise(
        column(bars.buy_volume, quantity), column(bars.buy_amount, amount), '","'
    )
    rows = pc.binary_join_element_wise(
        "[", whole(bars.start * unit), ',"', cells, '",', whole(bars.end * unit - 1), ',"',
        column(bars.amount, amount), '",', whole(bars.count), ',"', takers, '","0"]', "",
    )  # fmt: skip
    texts: list[str] = rows.to_pylist()
    return texts


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
