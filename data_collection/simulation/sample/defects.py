"""Everything that can be wrong with an archive, each as a value that is planted in a sample.

Three kinds: what *happens* on the market (every type then agrees about it), what is wrong with the
*rows* of some files, and what is wrong with a *file* as a whole. `Where` picks the files.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from alphaqcm.pipeline.domain.archive_file import ArchiveFile
from alphaqcm.pipeline.domain.registry import DataType, Partition
from alphaqcm.pipeline.domain.symbol import Symbol

PRICES = ("open", "high", "low", "close")
OPEN_INTEREST = ("sum_open_interest", "sum_open_interest_value")


@dataclass(frozen=True, slots=True)
class Where:
    """Picks archive files; what is not given picks all. `day` also picks the rows of that day."""

    symbol: str = ""
    type: DataType | None = None
    day: date | None = None
    interval: str = ""
    partition: Partition | None = None

    def picks(self, file: ArchiveFile) -> bool:
        """Whether `file` is one of them; a monthly file is when it holds `day`."""
        series, period = file.series, file.period
        own = (series.symbol, Symbol(series.market, self.symbol).pair)
        return (
            self.symbol in ("", own[0]) or (series.type is DataType.INDEX and own[0] == own[1])
        ) and (
            self.type in (None, series.type)
            and self.interval in ("", series.interval)
            and self.partition in (None, period.partition)
            and (self.day is None or period.start <= self.day < period.end)
        )


# What happens on the market. Times are UTC and whole minutes.


@dataclass(frozen=True, slots=True)
class Outage:
    """The exchange stands still: no rows of any kind in [start, end), for one symbol or all."""

    start: datetime
    end: datetime
    symbol: str = ""


@dataclass(frozen=True, slots=True)
class Listed:
    """The symbol does not exist before `at`."""

    symbol: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Delisted:
    """Trading ends at `at`; bars without volume and funding rows go on, or not."""

    symbol: str
    at: datetime
    bars_go_on: bool = True
    funding_goes_on: bool = True


@dataclass(frozen=True, slots=True)
class Relisted:
    """After a `Delisted`, the name is used again from `at`, at `factor` times the price."""

    symbol: str
    at: datetime
    factor: float = 0.1


@dataclass(frozen=True, slots=True)
class Frozen:
    """Trades go on in [start, end), all at one price."""

    symbol: str
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Jump:
    """The price is multiplied by `factor` within the minute that starts at `at`."""

    symbol: str
    at: datetime
    factor: float = 2.0


@dataclass(frozen=True, slots=True)
class FundingChange:
    """From `at` on, funding settles every `hours` hours."""

    symbol: str
    at: datetime
    hours: int


@dataclass(frozen=True, slots=True)
class ZeroQuantity:
    """`count` trades of the day have the quantity 0."""

    symbol: str
    day: date
    count: int = 5


@dataclass(frozen=True, slots=True)
class IdGap:
    """The ids of aggTrades skip `ids` numbers at the first trade from `at` on; no trade is lost."""

    symbol: str
    at: datetime
    ids: int = 100_000


@dataclass(frozen=True, slots=True)
class RepeatedIds:
    """The day's aggTrades carry the ids of the day before again, for other trades."""

    symbol: str
    day: date


Event = (
    Outage
    | Listed
    | Delisted
    | Relisted
    | Frozen
    | Jump
    | FundingChange
    | ZeroQuantity
    | IdGap
    | RepeatedIds
)


# What is wrong with the rows of some files.


@dataclass(frozen=True, slots=True)
class MissingDay:
    """No row of the day; a daily file is then absent, a monthly one just lacks the rows."""

    where: Where


@dataclass(frozen=True, slots=True)
class MissingRows:
    """No row in [start, end)."""

    where: Where
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class DuplicateRows:
    """`count` rows of each day stand there twice, word for word, one after the other."""

    where: Where
    count: int = 3


@dataclass(frozen=True, slots=True)
class UnsortedRows:
    """The rows of each day in a random order."""

    where: Where


@dataclass(frozen=True, slots=True)
class InterleavedIds:
    """aggTrades of two id streams in turn, the second one `offset` higher."""

    where: Where
    offset: int = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Altered:
    """Numbers of [start, end) multiplied by `factor` and rounded: a file that tells otherwise."""

    where: Where
    columns: tuple[str, ...]
    start: datetime
    end: datetime
    factor: float


@dataclass(frozen=True, slots=True)
class SwappedColumns:
    """Two columns' numbers exchanged in [start, end): a high below its low."""

    where: Where
    start: datetime
    end: datetime
    columns: tuple[str, str] = ("high", "low")


@dataclass(frozen=True, slots=True)
class ShiftedTimes:
    """The time column of `count` rows from `at` on moved: off the grid, or out of the period."""

    where: Where
    at: datetime
    milliseconds: int
    count: int = 1


RowTrap = (
    MissingDay
    | MissingRows
    | DuplicateRows
    | UnsortedRows
    | InterleavedIds
    | Altered
    | SwappedColumns
    | ShiftedTimes
)


# What is wrong with a file as a whole.


class Flaw(StrEnum):
    """A file's flaw."""

    ABSENT = "absent"  # neither the file nor its checksum is there
    NO_HEADER = "no-header"
    MICROSECONDS = "microseconds"
    HEADER_MISMATCH = "header-mismatch"  # one column has another name
    PERMUTED_COLUMNS = "permuted-columns"  # header and fields in another order
    EXTRA_COLUMN = "extra-column"
    CRLF = "crlf"
    NO_LAST_NEWLINE = "no-last-newline"
    SECOND_CSV = "second-csv"
    MACOSX_MEMBER = "macosx-member"
    CUT_ZIP = "cut-zip"  # half of the bytes; the checksum fits them
    WRONG_CHECKSUM = "wrong-checksum"
    MISSING_CHECKSUM = "missing-checksum"


@dataclass(frozen=True, slots=True)
class FileTrap:
    """Every file that `where` picks has `flaw`."""

    where: Where
    flaw: Flaw


Trap = Event | RowTrap | FileTrap
