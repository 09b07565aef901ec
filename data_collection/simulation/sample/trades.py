"""Simulated trades of a day: bursts of market orders that sweep the book.

Orders come in clusters (a parent and the orders it sets off, with heavy-tailed short waits, as in
a Hawkes process), more of them in busy minutes. An order has a lognormal size with a Pareto tail,
takes one or more price levels in the same moment, and each level is one aggTrades row that stands
for one or more fills.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np

from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.simulation.sample.instruments import Instrument
from alphaqcm.data_collection.simulation.sample.market_events import MarketEvents, inside
from alphaqcm.data_collection.simulation.sample.price_process import DAY_US, MINUTES, Grid, rng
from alphaqcm.data_collection.simulation.sample.table import Floats, Ints, Mask
from alphaqcm.pipeline.domain.time import MINUTE_US, epoch_us

CLUSTER = 0.35  # chance that a cluster ends with this order: 2.9 orders on average
ROWS_PER_ORDER = 1.5  # about; turns wanted rows into clusters


@dataclass(frozen=True, slots=True)
class Trades:
    """aggTrades rows of a day in order of time and id; whole numbers as in `Instrument`."""

    time: Ints  # us
    price: Ints
    quantity: Ints
    fills: Ints
    sell: Mask  # the taker sold, so the buyer was the maker
    agg_id: Ints
    first_id: Ints

    def __len__(self) -> int:
        return len(self.time)

    @property
    def last_id(self) -> Ints:
        """Id of the row's last fill."""
        return self.first_id + self.fills - 1

    def quote(self, contract: Instrument) -> Ints:
        """Each row's amount: quote units, or 1e-8 of the base for coin-margined contracts."""
        if contract.contract_size:
            coins = self.quantity * (contract.contract_size * 10 ** (8 + contract.price_decimals))
            return np.asarray((coins + self.price // 2) // self.price, dtype=np.int64)
        return self.price * self.quantity


class Tape:
    """Draws the trades of one symbol day by day and counts their ids."""

    def __init__(self, seed: int, contract: Instrument, fate: MarketEvents, per_day: int) -> None:
        self._seed, self._contract, self._fate = seed, contract, fate
        self._parents = per_day * contract.activity * CLUSTER / ROWS_PER_ORDER / MINUTES
        self._agg_id = 1_000_000_000
        self._fill_id = 3_000_000_000
        self._day_ids = (self._agg_id, self._fill_id)

    def day(self, grid: Grid, day: date) -> tuple[Trades, Ints, Floats]:
        """The day's trades, and the efficient price: its moments (us) and logarithms."""
        random = rng(self._seed, f"{self._contract.symbol} trades", day)
        row = grid.days.index(day) * MINUTES
        start = epoch_us(day)
        times, sells = self._orders(random, grid.activity[row : row + MINUTES])
        moments, logs = _bridge(
            random, times, sells, grid.log_price[row : row + MINUTES + 1], self._contract
        )
        at_order = logs[np.searchsorted(moments, times, side="left")]
        trades = self._sweep(random, times + start, sells, at_order)
        trades = self._befall(trades, day)
        return self._numbered(trades, day), moments + start, logs

    def _orders(self, random: np.random.Generator, activity: Floats) -> tuple[Ints, Mask]:
        """Times (us of the day, sorted) and sides of the market orders."""
        parents = random.poisson(self._parents * activity)
        minute = np.repeat(np.arange(MINUTES), parents)
        begin = (minute + random.random(len(minute))) * MINUTE_US
        sizes = random.geometric(CLUSTER, len(begin))
        first = np.cumsum(sizes) - sizes
        waits = np.exp(random.normal(np.log(40_000.0), 2.0, int(sizes.sum())))
        waits[first] = 0.0
        passed = np.cumsum(waits)
        times = np.repeat(begin - passed[first], sizes) + passed
        leader = random.random(len(begin)) < 0.5
        sells = np.repeat(leader, sizes) ^ (random.random(len(times)) < 0.15)
        inside_day = times < DAY_US
        order = np.argsort(times[inside_day], kind="stable")
        return times[inside_day][order].astype(np.int64), sells[inside_day][order]

    def _sweep(
        self, random: np.random.Generator, times: Ints, sells: Mask, at_order: Floats
    ) -> Trades:
        """Rows of the orders: each takes one or more levels."""
        contract, count = self._contract, len(times)
        notional = np.exp(random.normal(np.log(400.0), 1.7, count))
        whale = random.random(count) < 0.012
        notional[whale] = np.minimum(8_000.0 * (1 + random.pareto(1.15, int(whale.sum()))), 4e6)
        levels = 1 + random.poisson(0.8 * np.maximum(0.0, np.log(notional / 400.0)))
        owner = np.repeat(np.arange(count), levels)
        first = np.cumsum(levels) - levels
        depth = np.arange(len(owner)) - first[owner]
        weight = random.exponential(1.0, len(owner)) + 0.05
        share = weight / np.add.reduceat(weight, first)[owner] if count else weight
        price = np.exp(at_order)
        unit = 10.0**contract.price_decimals
        ticks = np.rint(price * unit / contract.tick).astype(np.int64)[owner]
        gap = np.maximum(1, np.rint(2e-5 * ticks)).astype(np.int64)
        side = np.where(sells[owner], -1, 1)
        ticks = np.maximum(1, ticks + side * (depth * gap) + (side > 0))
        fills = np.minimum(random.geometric(0.5, len(owner)), 40)
        amount = notional[owner] * share
        if contract.contract_size:
            steps = amount / contract.contract_size
        else:
            steps = amount / price[owner] * 10.0**contract.quantity_decimals
        return Trades(
            time=times[owner],
            price=ticks * contract.tick,
            quantity=np.maximum(fills, np.rint(steps).astype(np.int64)),
            fills=fills.astype(np.int64),
            sell=sells[owner],
            agg_id=np.zeros(len(owner), dtype=np.int64),
            first_id=np.zeros(len(owner), dtype=np.int64),
        )

    def _befall(self, trades: Trades, day: date) -> Trades:
        """What happens on the market that day."""
        keep = self._fate.trading(trades.time)
        price, quantity = trades.price, trades.quantity.copy()
        for span in self._fate.frozen:
            held = inside(trades.time, (span,)) & keep
            if held.any():
                price = np.where(held, price[held][0], price)
        for zero_day, count in self._fate.zero_days:
            if zero_day == day:
                # next to a trade of the same moment, at its price: the bars' prices stay
                beside = np.flatnonzero(keep[1:] & keep[:-1] & (np.diff(trades.time) == 0)) + 1
                if len(beside) < count:
                    raise UsageError(
                        f"sample: ZeroQuantity of {self._contract.symbol} on {day}",
                        expected=f"{count} trades that share a moment with the one before",
                        found=f"{len(beside)}",
                        next_step="more trades per day, or a smaller count",
                    )
                chosen = beside[np.linspace(0, len(beside) - 1, count).astype(np.int64)]
                quantity[chosen] = 0
                price = price.copy()
                price[chosen] = price[chosen - 1]
        return Trades(
            trades.time[keep],
            price[keep],
            quantity[keep],
            trades.fills[keep],
            trades.sell[keep],
            trades.agg_id[keep],
            trades.first_id[keep],
        )

    def _numbered(self, trades: Trades, day: date) -> Trades:
        """Ids on from the day before, with the planted gaps and repetitions."""
        before = self._day_ids
        if day in self._fate.repeated_days:
            self._agg_id = before[0]
        self._day_ids = (self._agg_id, self._fill_id)
        agg_id = self._agg_id + np.arange(len(trades), dtype=np.int64)
        for at, ids in self._fate.id_gaps:
            if epoch_us(day) <= at < epoch_us(day) + DAY_US:
                agg_id[trades.time >= at] += ids
        first_id = self._fill_id + np.cumsum(trades.fills) - trades.fills
        if len(trades):
            self._agg_id = int(agg_id[-1]) + 1
            self._fill_id = int(first_id[-1] + trades.fills[-1])
        return Trades(
            trades.time,
            trades.price,
            trades.quantity,
            trades.fills,
            trades.sell,
            agg_id,
            first_id,
        )


def _bridge(
    random: np.random.Generator, times: Ints, sells: Mask, edges: Floats, contract: Instrument
) -> tuple[Ints, Floats]:
    """Log price at every order and minute edge: the given edges, Brownian noise between them.

    Orders push the price a little in their own direction.
    """
    corners = np.arange(MINUTES + 1, dtype=np.int64) * MINUTE_US
    moments, place = np.unique(np.concatenate([times, corners]), return_inverse=True)
    lean = np.zeros(len(moments))
    lean[place[: len(times)]] = np.where(sells, -0.5, 0.5)
    spans = np.diff(moments, prepend=moments[0])
    shock = 0.85 * random.standard_normal(len(moments)) + lean
    noise = np.cumsum(contract.volatility * np.sqrt(spans / DAY_US) * shock)
    at_corner = noise[place[len(times) :]]
    drift = np.interp(moments, corners, edges - at_corner)
    return moments, drift + noise
