"""Funding, premium index, open interest and the five metrics of futures."""

from __future__ import annotations

import orjson

from alphaqcm.data_collection.simulation.exchange.facts import (
    FUNDING_ROWS_WITHOUT_RANGE,
    METRICS_DAYS,
    METRICS_PERIODS,
    ApiError,
    bad_symbol,
)
from alphaqcm.data_collection.simulation.exchange.rest.request import Ask
from alphaqcm.data_collection.simulation.exchange.tape.intervals import (
    DAY_MS,
    HOUR_MS,
    WIDTHS,
)
from alphaqcm.data_collection.simulation.exchange.tape.listing import Listing, Market
from alphaqcm.data_collection.simulation.exchange.tape.protocol import (
    Metrics,
    Settlement,
)
from alphaqcm.data_collection.simulation.exchange.text import scales_of, writer

_EIGHT = writer(8)


def _four(value: int) -> str:
    """A ratio: 1e-8 written with four decimals."""
    return writer(4)(value // 10_000)


def funding_rate(ask: Ask) -> bytes:
    """Settlements: of one symbol, or (um) the newest of all where none is named."""
    start, end, limit = ask.moment("startTime"), ask.moment("endTime"), ask.limit()
    named = ask.params.get("symbol")
    if named or ask.market is Market.CM:
        listings = [ask.listing()]
    else:
        listings = [one for one in ask.venue.listings(ask.market) if one.has_funding]
    if "limit" not in ask.params and start is None and end is None:
        limit = FUNDING_ROWS_WITHOUT_RANGE
    last = ask.now_ms if end is None else min(ask.now_ms, end)
    back = limit * 8 * HOUR_MS if named else 2 * DAY_MS
    begin = last - back if start is None else start
    rows = [
        (settled, one)
        for one in listings
        for settled in ask.venue.tape.settlements(one, begin, last + 1)
    ]
    rows.sort(key=lambda row: (row[0].time_ms, row[1].symbol))
    rows = rows[-limit:] if start is None else rows[:limit]
    return orjson.dumps([_settlement(settled, one) for settled, one in rows])


def _settlement(settled: Settlement, listing: Listing) -> dict[str, object]:
    row: dict[str, object] = {
        "symbol": listing.symbol,
        "fundingTime": settled.time_ms,
        "fundingRate": _EIGHT(settled.rate),
    }
    if listing.market is Market.UM:
        row |= {
            "markPrice": _EIGHT(settled.mark) if settled.mark >= 0 else "",
            "rateType": settled.kind,
        }
    return row


def funding_info(ask: Ask) -> bytes:
    """Symbols whose funding is not paid every eight hours."""
    return orjson.dumps(
        [
            {
                "symbol": one.symbol,
                "adjustedFundingRateCap": "0.02500000",
                "adjustedFundingRateFloor": "-0.02500000",
                "fundingIntervalHours": one.funding_hours,
                "disclaimer": False,
            }
            for one in ask.venue.listings(ask.market)
            if one.has_funding and one.funding_hours != 8
        ]
    )


def premium_index(ask: Ask) -> bytes:
    """Mark price, index price and the running funding rate."""
    if ask.market is Market.CM and "pair" in ask.params:
        rows = [o for o in ask.venue.listings(ask.market) if o.pair == ask.params["pair"]]
        if not rows:
            raise ApiError(-1121, "Invalid pair.")
        return orjson.dumps([premium_of(ask, one) for one in rows])
    if "symbol" in ask.params:
        row = premium_of(ask, ask.listing())
        return orjson.dumps([row] if ask.market is Market.CM else row)
    alive = [
        one for one in ask.venue.listings(ask.market) if one.onboard_ms <= ask.now_ms < one.end_ms
    ]
    return orjson.dumps([premium_of(ask, one) for one in alive])


def premium_of(ask: Ask, listing: Listing) -> dict[str, object]:
    """One row of `premiumIndex`."""
    tape = ask.venue.tape
    marks, indices = tape.marks([listing], ask.now_ms)
    mark, index = int(marks[0]), int(indices[0])
    row: dict[str, object] = {
        "symbol": listing.symbol,
        "markPrice": _EIGHT(mark),
        "indexPrice": _EIGHT(index),
        "estimatedSettlePrice": _EIGHT(index),
        "lastFundingRate": "",
        "interestRate": "",
        "nextFundingTime": 0,
        "time": ask.now_ms,
    }
    if ask.market is Market.CM:
        row["pair"] = listing.pair
    if listing.has_funding:
        step = listing.funding_hours * HOUR_MS
        settled = tape.settlements(listing, ask.now_ms - 2 * step, ask.now_ms + 1)
        row |= {
            "lastFundingRate": _EIGHT(settled[-1].rate) if settled else "0.00000000",
            "interestRate": "0.00010000",
            "nextFundingTime": (ask.now_ms // step + 1) * step,
        }
    return row


def open_interest(ask: Ask) -> bytes:
    """Open interest now."""
    listing = ask.listing()
    rows = ask.venue.tape.metrics(listing, 60_000, ask.now_ms - 600_000, ask.now_ms + 1)
    if not rows:
        raise bad_symbol()
    answer: dict[str, object] = {
        "symbol": listing.symbol,
        "openInterest": scales_of(listing).quantity(rows[-1].interest),
        "time": rows[-1].time_ms,
    }
    if ask.market is Market.CM:
        answer |= {"pair": listing.pair, "contractType": listing.contract_type}
    return orjson.dumps(answer)


def _metrics(ask: Ask) -> tuple[Listing, list[Metrics]]:
    """The rows that the five endpoints share: the newest, or of a time in the last 30 days."""
    cm = ask.market is Market.CM
    kind = ask.params.get("contractType", "")
    listing = ask.of_pair(ask.text("pair"), "" if kind == "ALL" else kind) if cm else ask.listing()
    period = ask.text("period")
    if period not in METRICS_PERIODS:
        raise ApiError(-1130, "Data sent for parameter 'period' is not valid.")
    width, limit = WIDTHS[period], ask.limit()
    start, end = ask.moment("startTime"), ask.moment("endTime")
    oldest = ask.now_ms - METRICS_DAYS * DAY_MS
    if start is not None and start < oldest:
        raise ApiError(-1130, "Data sent for parameter 'startTime' is not valid.")
    last = ask.now_ms if end is None else min(ask.now_ms, end)
    begin = max(oldest, last - limit * width + 1) if start is None else start
    rows = ask.venue.tape.metrics(listing, width, begin, last + 1)
    # with a start and an end the exchange counts back from the end
    return listing, rows[-limit:]


def open_interest_history(ask: Ask) -> bytes:
    """Open interest at the end of each period."""
    listing, rows = _metrics(ask)
    quantity = writer(listing.quantity_decimals, 8)
    named: dict[str, object] = (
        {"pair": listing.pair, "contractType": listing.contract_type}
        if ask.market is Market.CM
        else {"symbol": listing.symbol}
    )
    return orjson.dumps(
        [
            named
            | {
                "sumOpenInterest": quantity(row.interest),
                "sumOpenInterestValue": _EIGHT(row.interest_value),
                "timestamp": row.time_ms,
            }
            for row in rows
        ]
    )


def long_short_ratio(ask: Ask) -> bytes:
    """Long over short: of top traders' accounts or positions, or of all accounts."""
    listing, rows = _metrics(ask)
    named = {"pair": listing.pair} if ask.market is Market.CM else {"symbol": listing.symbol}
    name = ask.path.rsplit("/", 1)[-1]
    words = ("longPosition", "shortPosition") if ask.market is Market.CM and (
        name == "topLongShortPositionRatio"
    ) else ("longAccount", "shortAccount")  # fmt: skip
    result = []
    for row in rows:
        ratio = {
            "topLongShortAccountRatio": row.top_accounts,
            "topLongShortPositionRatio": row.top_positions,
        }.get(name, row.accounts)
        longs = ratio * 10**8 // (ratio + 10**8)
        result.append(
            named
            | {
                "longShortRatio": _four(ratio),
                words[0]: _four(longs),
                words[1]: _four(10**8 - longs),
                "timestamp": row.time_ms,
            }
        )
    return orjson.dumps(result)


def taker_ratio(ask: Ask) -> bytes:
    """Volume of takers who buy over that of those who sell (um; without a symbol in its rows)."""
    listing, rows = _metrics(ask)
    quantity = writer(listing.quantity_decimals, max(4, listing.quantity_decimals))
    return orjson.dumps(
        [
            {
                "buySellRatio": _four(row.taker_ratio),
                "buyVol": quantity(row.buy_volume),
                "sellVol": quantity(row.sell_volume),
                "timestamp": row.time_ms,
            }
            for row in rows
        ]
    )


def taker_volume(ask: Ask) -> bytes:
    """The same of coin-margined contracts, as volumes."""
    listing, rows = _metrics(ask)
    quantity = writer(listing.quantity_decimals, 8)
    return orjson.dumps(
        [
            {
                "pair": listing.pair,
                "contractType": listing.contract_type,
                "takerBuyVol": quantity(row.buy_volume),
                "takerSellVol": quantity(row.sell_volume),
                "takerBuyVolValue": quantity(row.buy_volume),
                "takerSellVolValue": quantity(row.sell_volume),
                "timestamp": row.time_ms,
            }
            for row in rows
        ]
    )
