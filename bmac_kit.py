"""BmacKit under the name that strategies import it by: `from bmac_kit import CandleFileReader`."""

from alphaqcm.data_collection.live.bmac_kit import (
    DEFAULT_TZ,
    BmacAllMarketCalculator,
    BmacSingleSymbolCalculator,
    CandleFileReader,
    convert_interval_to_timedelta,
    next_run_time,
    now_time,
    sleep_until_run_time,
)

__all__ = [
    "DEFAULT_TZ",
    "BmacAllMarketCalculator",
    "BmacSingleSymbolCalculator",
    "CandleFileReader",
    "convert_interval_to_timedelta",
    "next_run_time",
    "now_time",
    "sleep_until_run_time",
]
