"""Files of a live directory as strategies read them, written by pandas alone."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

HONG_KONG = ZoneInfo("Asia/Hong_Kong")


def candles(run_time: datetime, rows: int, minutes: int = 5, seed: int = 0) -> pd.DataFrame:
    """Candles whose last one ends at `run_time`, indexed by their end."""
    noise = np.random.default_rng(seed)
    last = pd.Timestamp(run_time).tz_convert("UTC")
    ends = pd.date_range(end=last, periods=rows, freq=f"{minutes}min", unit="us")
    close = np.round(100 * np.exp(np.cumsum(noise.standard_normal(rows) * 1e-3)), 2)
    volume = noise.random(rows)
    columns = {
        "candle_begin_time": ends - timedelta(minutes=minutes),
        "open": close,
        "high": close + 1,
        "low": close - 1,
        "close": close,
        "volume": volume,
        "quote_volume": volume * close,
        "trade_num": noise.integers(0, 50, rows),
        "taker_buy_base_asset_volume": volume / 2,
        "taker_buy_quote_asset_volume": volume / 3,
    }
    return pd.DataFrame(columns, index=pd.DatetimeIndex(ends, name="candle_end_time"))


def write_data(folder: Path, name: str, frame: pd.DataFrame, save_type: str = "parquet") -> None:
    """The data file; feather drops the index."""
    folder.mkdir(parents=True, exist_ok=True)
    temp = folder / f".{name}.1.tmp"
    if save_type == "parquet":
        frame.to_parquet(temp)
        temp.rename(folder / f"{name}.pqt")
    else:
        frame.reset_index(drop=True).to_feather(temp)
        temp.rename(folder / f"{name}.fea")


def ready_file(folder: Path, name: str, run_time: datetime) -> Path:
    """Where the ready file of a run time lies."""
    return folder / f"{name}_{run_time.astimezone(HONG_KONG):%Y%m%d_%H%M%S}.ready"


def publish(
    folder: Path, name: str, frame: pd.DataFrame, run_time: datetime, save_type: str = "parquet"
) -> None:
    """The data file, then the new ready file in the place of those before."""
    write_data(folder, name, frame, save_type)
    before = [path for path in folder.glob("*.ready") if path.name[:-22] == name]
    ready_file(folder, name, run_time).touch()
    for path in before:
        if path != ready_file(folder, name, run_time):
            path.unlink()


def publish_exginfo(folder: Path, run_time: datetime, **status: str) -> None:
    """The exchange info: the status of each symbol."""
    frame = pd.DataFrame({"symbol": list(status), "status": list(status.values())})
    publish(folder, "exginfo", frame, run_time)
