"""Names of the archive: symbols, periods, series, files, and their keys, paths and URLs.

A *series* is what one folder of the archive holds (market, type, symbol, interval); a *file* is one
month or day of it. `ArchiveFile.key` is the archive's own key, and also the file's path below a
mirror or a cache; `quote_key` makes the URL's path of it.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from urllib.parse import quote

from alphaqcm.pipeline.domain.registry import (
    INTERVALS,
    DataType,
    Market,
    Partition,
    parse_type,
    spec_of,
)
from alphaqcm.pipeline.errors import BadName

QUOTES = ("USDT", "USDC", "FDUSD", "BUSD", "TUSD", "USD", "BTC", "ETH", "BNB", "EUR", "TRY")
_EXPIRY = re.compile(r"^(?P<pair>.+)_(?P<expiry>\d{6}|PERP)$")
_NOTATION = re.compile(
    r"^(?P<base>[^/_:\s]+)[/_](?P<quote>[^/_:\s]+?)(:(?P<settle>[^/_:\s-]+)(-(?P<expiry>\d{6}))?)?$"
)


@dataclass(frozen=True, slots=True, order=True)
class Symbol:
    """One contract or pair of a market, under the exchange's name."""

    market: Market
    exchange: str

    @classmethod
    def parse(cls, text: str, market: Market) -> Symbol:
        """Read any notation: `BTCUSDT`, `BTC/USDT:USDT`, `BTC_USDT:USDT`; raises `BadName`."""
        name = text.strip().upper()
        if market is Market.CM and re.fullmatch(r"[^/:\s]+_(PERP|\d{6})", name):
            return cls(market, name)
        notation = _NOTATION.match(name)
        if notation and (":" in name or "/" in name or notation["quote"] in QUOTES):
            return cls(market, _exchange_name(text, market, notation))
        if not name or not re.fullmatch(r"\w+", name):
            raise _bad_symbol(text, market)
        if market is Market.CM and name.endswith("USD"):
            return cls(market, f"{name}_PERP")
        return cls(market, name)

    @property
    def parts(self) -> tuple[str, str, str] | None:
        """(base, quote, expiry or empty), or None where the name does not tell."""
        pair, expiry = self.exchange, ""
        dated = _EXPIRY.match(self.exchange) if self.market is not Market.SPOT else None
        if dated:
            pair, expiry = dated["pair"], dated["expiry"]
        for currency in ("USD",) if self.market is Market.CM else QUOTES:
            if pair.endswith(currency) and len(pair) > len(currency):
                return pair.removesuffix(currency), currency, "" if expiry == "PERP" else expiry
        return None

    @property
    def ccxt(self) -> str:
        """CCXT's notation (`BTC/USDT:USDT`); the exchange's name where it has none."""
        if self.parts is None:
            return self.exchange
        base, currency, expiry = self.parts
        if self.market is Market.SPOT:
            return f"{base}/{currency}"
        settle = base if self.market is Market.CM else currency
        return f"{base}/{currency}:{settle}" + (f"-{expiry}" if expiry else "")

    @property
    def table(self) -> str:
        """The final table's notation (`BTC_USDT:USDT`), also used in file names."""
        return self.ccxt.replace("/", "_")

    @property
    def pair(self) -> str:
        """The pair under which coin-margined index files are kept (`BTCUSD`)."""
        dated = _EXPIRY.match(self.exchange)
        return dated["pair"] if dated else self.exchange


def _exchange_name(text: str, market: Market, notation: re.Match[str]) -> str:
    base, currency = notation["base"], notation["quote"]
    settle, expiry = notation["settle"], notation["expiry"]
    settles_in = {Market.SPOT: None, Market.UM: currency, Market.CM: base}[market]
    if settle is not None and settle != settles_in:
        raise _bad_symbol(text, market)
    if market is Market.CM:
        return f"{base}{currency}_{expiry or 'PERP'}"
    return f"{base}{currency}" + (f"_{expiry}" if expiry else "")


def _bad_symbol(text: str, market: Market) -> BadName:
    example = {
        Market.SPOT: "BTCUSDT or BTC/USDT",
        Market.UM: "BTCUSDT, BTC/USDT:USDT or BTC_USDT:USDT",
        Market.CM: "BTCUSD_PERP or BTC/USD:BTC",
    }[market]
    return BadName(
        f"symbol {text!r}",
        expected=f"a {market} symbol such as {example}",
        next_step="correct the name, or pass the --market it belongs to",
    )


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """A UTC month or day: what one archive file covers."""

    start: date
    partition: Partition

    @classmethod
    def month(cls, day: date) -> Period:
        """The month that holds `day`."""
        return cls(day.replace(day=1), Partition.MONTHLY)

    @classmethod
    def day(cls, day: date) -> Period:
        """The single day `day`."""
        return cls(day, Partition.DAILY)

    @classmethod
    def parse(cls, stamp: str) -> Period:
        """Read `YYYY-MM` or `YYYY-MM-DD`; raises `BadName`."""
        try:
            if re.fullmatch(r"\d{4}-\d{2}", stamp):
                return cls(date.fromisoformat(f"{stamp}-01"), Partition.MONTHLY)
            if re.fullmatch(r"\d{4}-\d{2}-\d{2}", stamp):
                return cls(date.fromisoformat(stamp), Partition.DAILY)
        except ValueError:
            pass
        raise BadName(f"period {stamp!r}", expected="YYYY-MM or YYYY-MM-DD")

    @property
    def stamp(self) -> str:
        """`YYYY-MM` or `YYYY-MM-DD`, as in the file's name."""
        day = self.start.isoformat()
        return day[:7] if self.partition is Partition.MONTHLY else day

    @property
    def end(self) -> date:
        """The first day after the period."""
        if self.partition is Partition.DAILY:
            return self.start + timedelta(days=1)
        return self.start + timedelta(
            days=calendar.monthrange(self.start.year, self.start.month)[1]
        )

    @property
    def start_us(self) -> int:
        """The period's first microsecond since the epoch."""
        return epoch_us(self.start)

    @property
    def end_us(self) -> int:
        """The first microsecond after the period."""
        return epoch_us(self.end)

    def days(self) -> Iterator[date]:
        """Every day of the period, in order."""
        yield from days_between(self.start, self.end - timedelta(days=1))


def epoch_us(day: date) -> int:
    """Microseconds from the epoch to midnight UTC of `day`."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return int(midnight.timestamp()) * 1_000_000


def days_between(start: date, end: date) -> Iterator[date]:
    """Every day from `start` to `end`, both included."""
    for step in range((end - start).days + 1):
        yield start + timedelta(days=step)


def months_between(start: date, end: date) -> Iterator[Period]:
    """Every month that `start`..`end` (both included) touches."""
    month = Period.month(start)
    while month.start <= end:
        yield month
        month = Period.month(month.end)


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
