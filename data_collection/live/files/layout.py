"""Where the files of a live directory lie, and what they are called.

    {base}/{trade_type}_{interval}/SYM.pqt, SYM_{run time}.ready
    {base}/exginfo_{interval}/exginfo.pqt, funding.pqt, each with its ready file
    {base}/_live/       working files: lock, status, revisions, gaps

What ready files are called is told by `ready_names`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from alphaqcm.data_collection.live.config import SaveType

EXGINFO, FUNDING = "exginfo", "funding"
SUFFIXES = {SaveType.PARQUET: "pqt", SaveType.FEATHER: "fea"}


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
