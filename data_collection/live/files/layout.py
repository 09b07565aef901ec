"""Where the files of a live directory lie, and what they are called.

    {base}/{trade_type}_{interval}/SYM.pqt, SYM_{run time}.ready
    {base}/exginfo_{interval}/exginfo.pqt, funding.pqt, each with its ready file
    {base}/_live/       working files: lock, status, revisions, gaps

The run time in a ready file's name is Hong Kong time, as strategies expect it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from alphaqcm.data_collection.live.config import SaveType

READY_ZONE = ZoneInfo("Asia/Hong_Kong")
EXGINFO, FUNDING = "exginfo", "funding"
_STAMP = "%Y%m%d_%H%M%S"
_READY = re.compile(r"(?P<name>.+)_(?P<stamp>\d{8}_\d{6})\.ready", re.DOTALL)
SUFFIXES = {SaveType.PARQUET: "pqt", SaveType.FEATHER: "fea"}


def ready_name(name: str, run_time_us: int) -> str:
    """The name of the ready file of a symbol at a run time (µs since the epoch)."""
    moment = datetime.fromtimestamp(run_time_us // 1_000_000, UTC).astimezone(READY_ZONE)
    return f"{name}_{moment.strftime(_STAMP)}.ready"


def parse_ready_name(file_name: str) -> tuple[str, int] | None:
    """(symbol, run time in µs) of a ready file's name, None for other names."""
    match = _READY.fullmatch(file_name)
    if match is None:
        return None
    try:
        moment = datetime.strptime(match["stamp"], _STAMP).replace(tzinfo=READY_ZONE)
    except ValueError:
        return None
    return match["name"], int(moment.timestamp()) * 1_000_000


@dataclass(frozen=True, slots=True)
class LiveLayout:
    """The folders of one live directory."""

    base: Path
    trade_type: str
    interval: str

    @property
    def candles(self) -> Path:
        """Candle files and their ready files."""
        return self.base / f"{self.trade_type}_{self.interval}"

    @property
    def exginfo(self) -> Path:
        """Trading rules and funding rates."""
        return self.base / f"{EXGINFO}_{self.interval}"

    @property
    def delisted(self) -> Path:
        """Where the files of symbols go that are traded no more."""
        return self.base / "delisted" / self.candles.name

    @property
    def work(self) -> Path:
        """The client's own files."""
        return self.base / "_live"
