"""The slow series: funding settlements, and open interest with the long/short ratios."""

from __future__ import annotations

from datetime import date

import numpy as np

from alphaqcm.data_collection.simulation.sample.bars import REFERENCE_DECIMALS, Bars
from alphaqcm.data_collection.simulation.sample.instruments import Instrument
from alphaqcm.data_collection.simulation.sample.market_events import MarketEvents, inside
from alphaqcm.data_collection.simulation.sample.price_process import Grid, rng
from alphaqcm.data_collection.simulation.sample.table import NULL, Cells, Floats, Ints, Style, Table
from alphaqcm.pipeline.domain.registry import METRICS_START_LABELS_FROM, Market
from alphaqcm.pipeline.domain.time import HOUR_US, MINUTE_US

FIVE_MINUTES = 5

_RATIOS = {
    "count_toptrader_long_short_ratio": 1.6,
    "sum_toptrader_long_short_ratio": 1.2,
    "count_long_short_ratio": 1.5,
}
"""Long/short ratios and the level about which each moves."""


class Funding:
    """Settlements of one symbol: the mean premium since the last one, with a jittered time."""

    def __init__(self, seed: int, contract: Instrument, fate: MarketEvents) -> None:
        self._seed, self._contract, self._fate = seed, contract, fate
        self._hours_before = np.full(24, 1.0e-4)

    def rows(self, grid: Grid) -> Table:
        """The settlements of a block of days."""
        means = grid.premium[:-1].reshape(-1, 60).mean(axis=1)
        means = np.concatenate([self._hours_before, means])
        self._hours_before = means[-24:]
        jitter = np.concatenate([self._jitter(day) for day in grid.days])
        hour = grid.starts[::60]
        every = self._fate.funding_hours(hour)
        there = (hour // HOUR_US % every == 0) & (hour >= self._fate.listed)
        if not self._fate.funding_goes_on:
            there &= ~inside(hour, self._fate.dead)
        at, every, jitter = hour[there], every[there], jitter[there]
        known = np.concatenate([[0.0], np.cumsum(means)])
        end = np.flatnonzero(there) + 24
        rate = (known[end] - known[end - every]) / every * (every / 8)
        return Table(
            at,
            {
                "calc_time": Cells(at + jitter * 1000, Style.EPOCH),
                "funding_interval_hours": Cells(every),
                "last_funding_rate": Cells(
                    np.rint(np.clip(rate, -0.02, 0.02) * 1e8).astype(np.int64), Style.DECIMAL, 8, 8
                ),
            },
        )

    def _jitter(self, day: date) -> Ints:
        """Milliseconds after the hour, 0 to 17, for each hour of the day."""
        random = rng(self._seed, f"{self._contract.symbol} funding", day)
        late = np.minimum(17, random.exponential(5.0, 24).astype(np.int64))
        return np.where(random.random(24) < 0.4, 0, late)


def metrics(
    grid: Grid, bars: Bars, marks: Ints, contract: Instrument, fate: MarketEvents, market: Market
) -> Table:
    """Five-minute rows of a block of days; `marks` is the mark price at each minute's end, 1e-8."""
    start = grid.starts[::FIVE_MINUTES]
    last = slice(FIVE_MINUTES - 1, None, FIVE_MINUTES)
    label = start.copy()
    by_end = np.array(
        [market is not Market.UM or day < METRICS_START_LABELS_FROM for day in grid.days]
    ).repeat(len(start) // len(grid.days))
    label[by_end] += FIVE_MINUTES * MINUTE_US
    price = marks[last] / 10.0**REFERENCE_DECIMALS
    level = 4e8 * contract.activity / contract.price
    interest, value, value_scale = _open_interest(level * grid.interest[last], price, contract)
    cells = {
        "create_time": Cells(label, Style.CLOCK),
        "symbol": Cells(np.zeros(len(start), dtype=np.int64), Style.TEXT, text=contract.symbol),
        "sum_open_interest": Cells(interest, Style.DECIMAL, contract.quantity_decimals, 16),
        "sum_open_interest_value": Cells(value, Style.DECIMAL, value_scale, 16),
    }
    for (name, center), path in zip(_RATIOS.items(), grid.ratios, strict=True):
        ratio = center * np.exp(0.2 * path[last])
        cells[name] = Cells(np.rint(ratio * 1e8).astype(np.int64), Style.DECIMAL, 8, 8)
    cells["sum_taker_long_short_vol_ratio"] = Cells(_taker_ratio(bars), Style.DECIMAL, 8, 8)
    rows = Table(start, cells)
    there = (start >= fate.listed) & ~inside(start, fate.dead)
    return rows if there.all() else rows.take(there)


def _open_interest(base: Floats, price: Floats, contract: Instrument) -> tuple[Ints, Ints, int]:
    """Open interest (contracts or base), its value (base or quote), and the value's scale."""
    if contract.contract_size:
        contracts = np.rint(base * contract.price / contract.contract_size).astype(np.int64)
        value = np.rint(contracts * contract.contract_size / price * 1e8).astype(np.int64)
        return contracts, value, 8
    interest = np.rint(base * 10.0**contract.quantity_decimals).astype(np.int64)
    price_units = np.rint(price * 10.0**contract.price_decimals).astype(np.int64)
    scale = contract.quantity_decimals + contract.price_decimals
    return interest, interest * price_units, scale


def _taker_ratio(bars: Bars) -> Ints:
    """Taker buys over taker sells of each five minutes, 1e-8; empty where nothing was sold."""
    bought = bars.buy_volume.reshape(-1, FIVE_MINUTES).sum(axis=1)
    sold = bars.volume.reshape(-1, FIVE_MINUTES).sum(axis=1) - bought
    ratio = np.full(len(sold), NULL, dtype=np.int64)
    some = sold > 0
    ratio[some] = np.rint(bought[some] / sold[some] * 1e8).astype(np.int64)
    return ratio
