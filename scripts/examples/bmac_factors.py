"""Factors of one symbol and of the whole market at each close, from the files of `alphaqcm bmac`.

    python scripts/examples/bmac_factors.py BASE_DIR

The factors are the modules of the package `factor` beside this program.
"""

import asyncio
import sys
from pathlib import Path

from bmac_kit import (
    BmacAllMarketCalculator,
    BmacSingleSymbolCalculator,
    CandleFileReader,
    convert_interval_to_timedelta,
    next_run_time,
    now_time,
    sleep_until_run_time,
)

TIME_INTERVAL = "5m"
BASE_DIR = Path(sys.argv[1] if len(sys.argv) > 1 else "usdt_perp_5m_all_v2")
CANDLE_DIR = BASE_DIR / "usdt_perp_5m"
EXGINFO_DIR = BASE_DIR / "exginfo_5m"
FACTOR_LIST = [("PctChg", 100), ("TrdNumMeanV1", 80)]


def show_df(df) -> None:
    """The last rows."""
    print(df.tail(3).to_string(), flush=True)


async def main() -> None:
    run_time = next_run_time(TIME_INTERVAL) - convert_interval_to_timedelta(TIME_INTERVAL)
    exginfo_reader = CandleFileReader(EXGINFO_DIR, "parquet")
    candle_reader = CandleFileReader(CANDLE_DIR, "parquet")
    calc = BmacSingleSymbolCalculator("BTCUSDT", candle_reader, FACTOR_LIST)
    all_calc = BmacAllMarketCalculator(exginfo_reader, candle_reader, FACTOR_LIST)
    show_df(await calc.calc_factors(run_time))
    show_df(await all_calc.calc_all_factors(run_time))
    while True:
        run_time = next_run_time(TIME_INTERVAL)
        print("Next run time:", run_time, flush=True)
        await sleep_until_run_time(run_time)
        show_df(await calc.calc_factors(run_time))
        print("BTC factors calculation finished", now_time())
        all_factors = await all_calc.calc_all_factors(run_time)
        print(
            "All market factors calculation finished",
            now_time(),
            "late:",
            all_factors.attrs["late"],
        )
        show_df(all_factors)


if __name__ == "__main__":
    asyncio.run(main())
