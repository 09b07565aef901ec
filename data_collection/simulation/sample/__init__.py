"""A simulated archive: trades with realistic bursts, and every archive type derived from them.

    from alphaqcm.data_collection.simulation.sample import Delisted, SampleSpec, Where
    from alphaqcm.data_collection.simulation.sample import universe, write_sample

    spec = SampleSpec(symbols=universe(3), days=3, seed=7)  # the days end on 2024-02-29
    written = write_sample(Path("archive"), spec)           # .files, .bytes, .rows

The same spec gives the same bytes (with the same numpy, polars and zlib). A longer sample, one with
more symbols or one seen on a later day has the files of the shorter one unchanged, so an archive
that grows day by day is one start and one seed seen on several days:

    spec = SampleSpec(start=date(2024, 2, 25), days=10)     # to 2024-03-05
    for day in days_between(date(2024, 2, 28), date(2024, 3, 6)):
        write_sample(root, replace(spec, published=day))    # what the source has on that day

A month has its monthly file once it is over on the `published` day (by default the day after the
last); before that there are daily files only, and no fundingRate unless `running_month_funding`.

What goes wrong is planted with `traps`, times in UTC:

    Outage(start, end)                            no bars or trades of any symbol
    Listed("SOLUSDT", at), Delisted("SOLUSDT", at), Relisted("SOLUSDT", at)
    Frozen(...), Jump(...), FundingChange(...), ZeroQuantity(...), IdGap(...), RepeatedIds(...)
    MissingDay(Where("ETHUSDT", DataType.METRICS, day))               no file of that day
    MissingDay(Where("ETHUSDT", DataType.KLINES, day, "1m", Partition.MONTHLY))
                                                  the month lacks a day that its daily file has
    MissingRows(Where("ETHUSDT", DataType.FUNDING), start, end)       a missing settlement
    DuplicateRows(Where(...)), UnsortedRows(Where(...)), InterleavedIds(Where(...))
    Altered(Where("ETHUSDT", DataType.KLINES), ("volume",), start, end, 1.1)
                                                  klines that disagree with aggTrades
    Altered(Where("ETHUSDT", DataType.KLINES, partition=Partition.MONTHLY), PRICES, start, end, 1.1)
                                                  the month disagrees with its days
    Altered(Where("ETHUSDT", DataType.METRICS), OPEN_INTEREST, start, end, 0.0)
    Altered(Where("ETHUSDT", DataType.MARK), PRICES, start, end, 1.05)   mark leaves index and last
    SwappedColumns(Where("ETHUSDT", DataType.KLINES), start, end)     high below low
    ShiftedTimes(Where("ETHUSDT", DataType.KLINES), at, 1)            off the grid
    FileTrap(Where(...), Flaw.CUT_ZIP)            and the other flaws of a whole file

`Where` picks files by symbol, type, day, interval and partition; what is not given picks all.
A trap that touches nothing is a `UsageError`.
"""

from alphaqcm.data_collection.simulation.sample.defects import (
    OPEN_INTEREST,
    PRICES,
    Altered,
    Delisted,
    DuplicateRows,
    FileTrap,
    Flaw,
    Frozen,
    FundingChange,
    IdGap,
    InterleavedIds,
    Jump,
    Listed,
    MissingDay,
    MissingRows,
    Outage,
    Relisted,
    RepeatedIds,
    ShiftedTimes,
    SwappedColumns,
    Trap,
    UnsortedRows,
    Where,
    ZeroQuantity,
)
from alphaqcm.data_collection.simulation.sample.instruments import Instrument, instrument, universe
from alphaqcm.data_collection.simulation.sample.spec import SIMULATED, SampleSpec
from alphaqcm.data_collection.simulation.sample.write import Written, write_sample

__all__ = [
    "OPEN_INTEREST",
    "PRICES",
    "SIMULATED",
    "Altered",
    "Delisted",
    "DuplicateRows",
    "FileTrap",
    "Flaw",
    "Frozen",
    "FundingChange",
    "IdGap",
    "Instrument",
    "InterleavedIds",
    "Jump",
    "Listed",
    "MissingDay",
    "MissingRows",
    "Outage",
    "Relisted",
    "RepeatedIds",
    "SampleSpec",
    "ShiftedTimes",
    "SwappedColumns",
    "Trap",
    "UnsortedRows",
    "Where",
    "Written",
    "ZeroQuantity",
    "instrument",
    "universe",
    "write_sample",
]
