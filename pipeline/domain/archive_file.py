"""Names of the archive: symbols, periods, series, files, and their keys, paths and URLs.

A *series* is what one folder of the archive holds (market, type, symbol, interval); a *file* is one
month or day of it. `ArchiveFile.key` is the archive's own key, and also the file's path below a
mirror or a cache; `quote_key` makes the URL's path of it.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from urllib.parse import quote

from alphaqcm.pipeline.domain.period import Period
from alphaqcm.pipeline.domain.registry import (
    INTERVALS,
    DataType,
    Market,
    Partition,
    parse_type,
    spec_of,
)
from alphaqcm.pipeline.errors import BadName

_period = functools.lru_cache(maxsize=20_000)(Period.parse)  # the same stamps for every symbol


@dataclass(frozen=True, slots=True, order=True)
class Series:
    """What one folder of the archive holds; `interval` is empty where the type has none."""

    market: Market
    type: DataType
    symbol: str  # the exchange's name; the pair for coin-margined index klines
    interval: str = ""

    def __post_init__(self) -> None:
        spec = spec_of(self.type)
        if self.market not in spec.markets:
            raise BadName(
                f"{self.type} of {self.market}",
                expected="a market that has it: " + ", ".join(spec.markets),
            )
        if bool(self.interval) != spec.has_interval or (
            self.interval and self.interval not in INTERVALS
        ):
            raise BadName(
                f"{self.type} with interval {self.interval!r}",
                expected="one of " + ", ".join(INTERVALS) if spec.has_interval else "no interval",
            )

    def prefix(self, partition: Partition) -> str:
        """The folder's key, with its last `/`."""
        folder = f"data/{self.market.archive_path}/{partition}/{self.type}/{self.symbol}/"
        return folder + (f"{self.interval}/" if self.interval else "")

    def file(self, period: Period) -> ArchiveFile:
        """The series' file of `period`."""
        return ArchiveFile(self, period)

    def parse_key(self, key: str) -> ArchiveFile:
        """`ArchiveFile.parse` of a key that is probably the series' own; raises `BadName`."""
        middle = self.interval or self.type
        for partition in spec_of(self.type).partitions:
            head = f"{self.prefix(partition)}{self.symbol}-{middle}-"
            if key.startswith(head) and key.endswith(".zip"):
                period = _period(key[len(head) : -len(".zip")])
                if period.partition is partition:
                    return ArchiveFile(self, period)
        return ArchiveFile.parse(key)

    def __str__(self) -> str:
        return "/".join(
            part for part in (self.market, self.type, self.symbol, self.interval) if part
        )


@dataclass(frozen=True, slots=True, order=True)
class ArchiveFile:
    """One ZIP of the archive."""

    series: Series
    period: Period

    @property
    def name(self) -> str:
        """The ZIP's own name."""
        middle = self.series.interval or self.series.type
        return f"{self.series.symbol}-{middle}-{self.period.stamp}.zip"

    @property
    def key(self) -> str:
        """The archive's key, also the path below a mirror's or cache's root."""
        return self.series.prefix(self.period.partition) + self.name

    @property
    def checksum_key(self) -> str:
        """Key of the published SHA-256."""
        return f"{self.key}.CHECKSUM"

    @classmethod
    def parse(cls, key: str) -> ArchiveFile:
        """Read an archive key (not quoted); raises `BadName`."""
        parts = key.removeprefix("/").removesuffix(".CHECKSUM").split("/")
        try:
            if parts[0] != "data":
                raise ValueError
            market = Market.SPOT if parts[1] == "spot" else Market(parts[2])
            rest = parts[2:] if market is Market.SPOT else parts[3:]
            if market is not Market.SPOT and parts[1] != "futures":
                raise ValueError
            partition, data_type, symbol = Partition(rest[0]), DataType(rest[1]), rest[2]
            interval = rest[3] if spec_of(data_type).has_interval else ""
            head = f"{symbol}-{interval or data_type}-"
            if len(rest) != (5 if interval else 4) or not rest[-1].startswith(head):
                raise ValueError
            period = Period.parse(rest[-1].removeprefix(head).removesuffix(".zip"))
            file = cls(Series(market, data_type, symbol, interval), period)
        except (ValueError, IndexError, BadName):
            file = None
            partition = None
        if file is None or file.period.partition is not partition or file.name != parts[-1]:
            raise BadName(
                f"archive key {key!r}",
                expected="data/{market}/{partition}/{type}/{symbol}/[{interval}/]{name}.zip",
            )
        return file

    @classmethod
    def from_name(cls, name: str, market: Market, data_type: DataType | None = None) -> ArchiveFile:
        """Read a bare file name such as `BTCUSDT-aggTrades-2024-02.zip`; raises `BadName`.

        Kline-like names do not tell their type: `data_type` does, klines when not given.
        """
        match = re.fullmatch(
            r"(?P<symbol>[^-]+)-(?P<middle>\w+)-(?P<stamp>\d{4}-\d{2}(-\d{2})?)\.zip", name
        )
        if match is None:
            raise BadName(
                f"file name {name!r}", expected="{symbol}-{interval or type}-{YYYY-MM[-DD]}.zip"
            )
        middle = match["middle"]
        if middle in INTERVALS:
            series = Series(market, data_type or DataType.KLINES, match["symbol"], middle)
        else:
            series = Series(market, parse_type(middle), match["symbol"])
        return cls(series, Period.parse(match["stamp"]))

    def __str__(self) -> str:
        return self.key


def quote_key(key: str) -> str:
    """`key` as the path of a URL: every byte outside RFC 3986's unreserved set but `/` quoted."""
    return quote(key, safe="/")
