"""Speed of factors at a close: the wide table's columns as a stream, BmacKit on files.

usage: bench_live_factors.py [stream|files|btc …]      (all without a word)

`stream` closes an hour of 700 symbols through the client's bus, their last candles in bursts, and
holds the work against computing each symbol's row as an update of the table does. `files` computes
two factors of 700 files of 1,500 candles, against reading each by pandas. `btc` is the time from a
ready file to its factors. What else the machine does shows in the numbers: the ratios hold.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl

from alphaqcm.data_collection.exchange.clock import ExchangeClock
from alphaqcm.data_collection.live.bmac_kit import (
    BmacAllMarketCalculator,
    BmacSingleSymbolCalculator,
    CandleFileReader,
)
from alphaqcm.data_collection.live.config import SaveType
from alphaqcm.data_collection.live.events import (
    BarSource,
    ClosedBar,
    Event,
    FactorHour,
    LiveTrade,
    LocalBus,
)
from alphaqcm.data_collection.live.factor_engine import FactorEngine
from alphaqcm.data_collection.live.files.ready_files import ReadyFiles
from alphaqcm.data_collection.live.files.tables import CandleRows
from alphaqcm.pipeline.domain.registry import Market
from alphaqcm.pipeline.domain.symbol import Symbol
from alphaqcm.pipeline.domain.time import HOUR_US, MINUTE_US, epoch_us
from alphaqcm.pipeline.features.factors.assemble import NEEDED, Days, Inputs, own_columns
from alphaqcm.pipeline.features.factors.rolling import LOOKBACK_COLUMNS, Lookback
from alphaqcm.pipeline.features.stream.hour_engine import HourEngine
from alphaqcm.pipeline.features.stream.symbol_state import STATE_COLUMNS, SymbolState

SYMBOLS, ROWS, HOURS = 700, 10_000, 4
BURST = 50  # closes in a turn of the event loop
DAY = date(2026, 3, 10)
START_US = epoch_us(DAY)
NAMES = [f"S{n}USDT" for n in range(SYMBOLS)]
FACTORS = [("PctChg", 100), ("TrdNumMeanV1", 80)]
PACKAGE = "scripts.examples.factor"


def told(name: str, seconds: list[float]) -> None:
    ms = np.array(seconds) * 1000
    print(f"  {name}: p50 {np.percentile(ms, 50):.1f} ms, p99 {np.percentile(ms, 99):.1f}, "
          f"max {ms.max():.1f}")  # fmt: skip


def history() -> pl.DataFrame:
    """A symbol's rows before, as the table has them."""
    noise = np.random.default_rng(1)
    close = 100 * np.exp(np.cumsum(noise.standard_normal(ROWS) * 1e-3))
    columns = dict.fromkeys(LOOKBACK_COLUMNS[1:], close)
    columns |= {"volume": noise.gamma(1.0, 100.0, ROWS), "rv_std_sqrt60": noise.random(ROWS)}
    times = pl.Series(np.arange(-ROWS, 0) * HOUR_US + START_US).cast(pl.Datetime("us", "UTC"))
    return pl.DataFrame({"datetime": times, **columns})


def minutes(hour_us: int, symbol: str, seed: int) -> list[Event]:
    """An hour's candles, and a trade in each of its minutes."""
    noise = np.random.default_rng(seed)
    close = np.round(100 * np.exp(np.cumsum(noise.standard_normal(60) * 1e-3)), 2).tolist()
    events: list[Event] = []
    for n, price in enumerate(close):
        at = hour_us + n * MINUTE_US
        number = at // MINUTE_US
        events.append(
            LiveTrade(Market.UM, symbol, number, number, number, at + 5, price, 2.5, n % 2 == 0)
        )
        events.append(
            ClosedBar(Market.UM, symbol, "1m", at, price, price + 0.1, price - 0.1, price, 2.5,
                      price * 2.5, 1, 1.0, price, BarSource.SOCKET)
        )  # fmt: skip
    return events


async def closes(bus: LocalBus, last: list[Event], ends: list[float]) -> tuple[float, float]:
    """Tell the last candles in bursts: seconds of work, and from the last one to the hour."""
    began = time.process_time()
    for at in range(0, len(last), BURST):
        for event in last[at : at + BURST]:
            bus.publish(event)
        heard = time.perf_counter()
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    return time.process_time() - began, ends[-1] - heard


def stream() -> None:
    rows = history()
    states = {
        Symbol(Market.UM, name): SymbolState.warm(rows.select(STATE_COLUMNS)) for name in NAMES
    }
    bus, ends = LocalBus(lambda _, error: sys.exit(repr(error))), []
    engine = FactorEngine(
        HourEngine(states), Market.UM, bus, ExchangeClock(), lambda: NAMES, lambda *_: None
    )
    bus.subscribe(engine.on_event)
    bus.subscribe(lambda e: ends.append(time.perf_counter()) if isinstance(e, FactorHour) else None)
    work, after, first = [], [], []
    for hour in range(HOURS + 1):
        last = []
        for number, name in enumerate(NAMES):
            *most, final = minutes(START_US + hour * HOUR_US, name, number)
            for event in most:
                bus.publish(event)
            last.append(final)
        spent, waited = asyncio.run(closes(bus, last, ends))
        if hour:  # the first loads compiled code
            work.append(spent)
            after.append(waited)
        first = minutes(START_US, NAMES[0], 0)
    print(f"stream: an hour of {SYMBOLS} symbols, closes in bursts of {BURST}")
    told("from the last candle to the hour's last row", after)
    peer = batch(rows, first)
    ours = float(np.median(work)) / SYMBOLS
    print(f"  work a symbol: {ours * 1e6:.0f} us; an update of the table: {peer * 1e6:.0f} us: "
          f"{ours / peer:.3f} of it")  # fmt: skip


def batch(rows: pl.DataFrame, events: list[Event]) -> float:
    """Seconds of one symbol's row as `update` computes it."""
    bars = [e for e in events if isinstance(e, ClosedBar)]
    columns = [[getattr(e, n) for e in bars] for n in ("open", "high", "low", "close", "volume")]
    times = pl.Series([e.open_time_us for e in bars]).cast(pl.Datetime("us", "UTC"))
    empty = {field: pl.DataFrame(schema=kinds) for field, kinds in NEEDED.items()}
    names = [n for n in NEEDED["klines"] if n != "minute"]
    empty["klines"] = pl.DataFrame({"minute": times, **dict(zip(names, columns, strict=True))})
    before, seconds = Lookback.of(rows), []
    for _ in range(12):
        began = time.process_time()
        own_columns("S0_USDT:USDT", Inputs(**empty), Days(DAY, DAY, DAY), before)
        seconds.append(time.process_time() - began)
    return float(np.median(seconds))


def directory(folder: Path, count: int, run_time: datetime) -> ReadyFiles:
    """Files of 1,500 candles that end at the run time, and the exchange info."""
    files = ReadyFiles(folder / "usdt_perp_5m", SaveType.PARQUET, False)
    files.recover()
    for name in NAMES[:count]:
        files.write(name, candle_rows(run_time), 300_000)
    info = ReadyFiles(folder / "exginfo_5m", SaveType.PARQUET, False)
    info.recover()
    frame = pd.DataFrame({"symbol": NAMES[:count], "status": "TRADING"})
    info.publish("exginfo", int(run_time.timestamp()) * 1_000_000, frame.to_parquet)
    return files


def candle_rows(run_time: datetime) -> CandleRows:
    end_ms = int(run_time.timestamp()) * 1000
    values = np.random.default_rng(2).random((1500, 9))
    return CandleRows(end_ms - np.arange(1500, 0, -1) * 300_000, values, end_ms * 1000)


def files() -> None:
    run_time = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        directory(folder, SYMBOLS, run_time)
        reader = CandleFileReader(folder / "usdt_perp_5m", "parquet")
        exginfo = CandleFileReader(folder / "exginfo_5m", "parquet")
        calc = BmacAllMarketCalculator(exginfo, reader, FACTORS, PACKAGE, 86_400)

        def ours() -> None:
            assert len(asyncio.run(calc.calc_all_factors(run_time))) == SYMBOLS

        def pandas() -> None:
            found = []
            for symbol in NAMES:
                df = pd.read_parquet(reader.format_data_file_path(symbol))
                df = df[df.index <= run_time].copy()
                df["PctChg_100"] = df["close"].pct_change(100)
                df["TrdNumMeanV1_80"] = df["trade_num"].rolling(80).mean()
                df["symbol"] = symbol
                found.append(df.iloc[-1:])
            assert len(pd.concat(found)) == SYMBOLS

        mine, peer = best(ours), best(pandas)
        print(f"files: two factors of {SYMBOLS} files: {mine:.2f} s of processor time; pandas file "
              f"by file: {peer:.2f} s: {mine / peer:.2f} of it")  # fmt: skip


def best(work: Callable[[], object]) -> float:
    seconds = []
    for _ in range(3):
        began = time.process_time()
        work()
        seconds.append(time.process_time() - began)
    return min(seconds)


def btc() -> None:
    run_time = datetime.now(UTC).replace(second=0, microsecond=0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        written = directory(folder, 1, run_time - timedelta(days=1))
        reader = CandleFileReader(folder / "usdt_perp_5m", "parquet")
        calc = BmacSingleSymbolCalculator(NAMES[0], reader, FACTORS, PACKAGE, 864_000)
        waited = []

        async def rounds() -> None:
            for number in range(60):
                moment = run_time + timedelta(minutes=5 * number)
                coming = asyncio.ensure_future(calc.calc_factors(moment))
                await asyncio.sleep(0.03)
                written.write(NAMES[0], candle_rows(moment), 300_000)
                began = time.perf_counter()
                await coming
                waited.append(time.perf_counter() - began)

        asyncio.run(rounds())
        print("btc: one symbol")
        told("from its ready file to its factors", waited)


PARTS = {"stream": stream, "files": files, "btc": btc}


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    for part in sys.argv[1:] or PARTS:
        PARTS[part]()
