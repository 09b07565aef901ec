"""Hold hours at every offset against those of the Quantclass data API, column by column.

    python scripts/examples/compare_with_quantclass.py [FOLDER]

FOLDER is what `fetch_and_resample.py` filled. `QUANTCLASS_API_KEY` and `QUANTCLASS_UUID` hold the
credentials, `QUANTCLASS_BASE` names another server of the API.
The command `alphaqcm candles compare --reference quantclass` also tells what is missing on a side.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pandas as pd

from alphaqcm.data_collection.exchange.fetcher import QuantclassDataApi, create_aiohttp_session

COLUMNS = [
    "open",
    "close",
    "high",
    "low",
    "volume",
    "quote_volume",
    "trade_num",
    "taker_buy_base_asset_volume",
    "taker_buy_quote_asset_volume",
]


async def compare(trade_type: str, folder: Path) -> pd.Series:
    """The largest relative difference of each column over all symbols and offsets."""
    kind = "spot" if trade_type == "spot" else "swap"
    found = []
    async with create_aiohttp_session(timeout_sec=10) as session:
        api = QuantclassDataApi(session)
        for offset in sorted(
            path.name for path in (folder / f"{trade_type}_1h_resample").iterdir()
        ):
            urls = await api.aioreq_data_api(offset)
            theirs = await api.aioreq_candle_df(urls[kind])
            for path in sorted((folder / f"{trade_type}_1h_resample" / offset).glob("*.parquet")):
                ours = pd.read_parquet(path)
                both = pd.merge(
                    theirs[theirs["symbol"] == path.stem],
                    ours,
                    how="left",
                    on="candle_begin_time",
                    suffixes=("_theirs", "_ours"),
                )
                found.append(
                    {
                        one: (both[f"{one}_ours"] / both[f"{one}_theirs"] - 1).abs().max()
                        for one in COLUMNS
                    }
                )
    return pd.DataFrame(found)[COLUMNS].max()


async def main(folder: Path) -> None:
    """Both markets, one after the other."""
    for trade_type in ("spot", "usdt_futures"):
        print(f"{trade_type}: largest relative differences")
        print(await compare(trade_type, folder))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1] if len(sys.argv) > 1 else "data")))
