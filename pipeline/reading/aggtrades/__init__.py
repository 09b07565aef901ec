"""aggTrades files condensed to minutes: a ZIP in, the 1-minute frame and the file's counters out.

    ZIP -> inflated in pieces by a thread of its own -> one compiled pass over the bytes -> minutes

The pass adds rows as it parses them, which is right while ids rise and times do not fall: no row
can then be doubled or misplaced. The first row that breaks this sends the file to the exact path,
which sorts all rows first. Both give the same numbers for the same rows.

numba is imported, and its compiled code loaded, with the first file and not with this package.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from alphaqcm.pipeline.domain.archive_file import ArchiveFile
from alphaqcm.pipeline.errors import RawError
from alphaqcm.pipeline.reading.aggtrades.model import (
    SCHEMA,
    AggMinutes,
    Amounts,
    Counters,
    Thresholds,
    count_ids,
    empty_minutes,
    join_ranges,
    merge,
)
from alphaqcm.pipeline.reading.csv_reader import LONGEST_HEADER, only_header
from alphaqcm.pipeline.reading.zip_member import Member, open_member, read_member

__all__ = [
    "DEFAULT_THRESHOLDS",
    "SCHEMA",
    "AggMinutes",
    "Counters",
    "Thresholds",
    "aggregate_file",
    "empty_minutes",
    "has_no_rows",
    "load_kernels",
    "merge",
]


DEFAULT_THRESHOLDS = Thresholds()


def aggregate_file(
    path: Path,
    file: ArchiveFile,
    thresholds: Thresholds = DEFAULT_THRESHOLDS,
    *,
    spill: Path | None = None,
    ahead: bool = True,
) -> AggMinutes:
    """Condense the aggTrades ZIP at `path`, the archive's `file`, to minutes.

    Quantities of coin-margined files are contracts: base is contracts * size / price, quote is
    contracts * size (`contract_usd`). Rows outside the file's period are left out and counted.
    `spill` is the folder for the rows of a large file that is not in order (None: the system's temp
    folder). `ahead` inflates in a second thread: less waiting, but more work in all where the other
    cores are busy too. Raises
    `RawError`: `BadZip`, `BadHeader`, `BadRow` with byte and line, `OutsidePeriod`; `LayerError`
    where `path` cannot be read. Memory stays below 300 MB for a file in order and 1 GB for any
    other.
    """
    member = open_member(path)
    if has_no_rows(member, file):
        return empty_minutes()

    from alphaqcm.pipeline.reading.aggtrades.minutes import MinuteSink
    from alphaqcm.pipeline.reading.aggtrades.reader import Disorder, check_period, read_rows

    amounts = Amounts.of(file.series, thresholds)
    sink = MinuteSink(file.period, amounts)
    try:
        read_rows(member, file, sink, ahead=ahead)
    except Disorder:
        return _aggregate_sorted(path, file, amounts, spill, ahead=ahead)
    sums = sink.table.sums()
    check_period(path, file.period, sink.rows, sums.outside)
    ids = join_ranges(sink.table.id_ranges())
    counters = Counters(
        rows=sink.rows, outside_period=sums.outside, zero_quantities=sums.zero_quantities
    )
    return AggMinutes(
        sums.frame, dataclasses.replace(counters, **count_ids(ids, counters.kept)), ids
    )


def has_no_rows(member: Member, file: ArchiveFile) -> bool:
    """Whether the file is empty or only a header: that is told without any compiled code.

    What is wrong with a file is left to `aggregate_file` to tell.
    """
    try:
        return member.size <= LONGEST_HEADER and only_header(read_member(member), file)
    except RawError:
        return False


def _aggregate_sorted(
    path: Path, file: ArchiveFile, amounts: Amounts, spill: Path | None, *, ahead: bool
) -> AggMinutes:
    from alphaqcm.pipeline.reading.aggtrades.reader import SHORTEST_LINE, check_period, read_rows
    from alphaqcm.pipeline.reading.aggtrades.sorted_path import RUN_ROWS, RowSink, sum_sorted

    member = open_member(path)
    run_rows = min(RUN_ROWS, member.size // SHORTEST_LINE + 1)
    with closing(RowSink(file.period, spill, run_rows)) as sink:
        read_rows(member, file, sink, ahead=ahead)
        sums, ids, duplicates = sum_sorted(sink, file.period, amounts)
    check_period(path, file.period, sink.rows, sink.outside)
    counters = Counters(
        rows=sink.rows,
        outside_period=sink.outside,
        duplicates=duplicates,
        out_of_order=sink.out_of_order,
        zero_quantities=sums.zero_quantities,
        sorted_files=1,
    )
    return AggMinutes(
        sums.frame, dataclasses.replace(counters, **count_ids(ids, counters.kept)), ids
    )


def load_kernels(on_compile: Callable[[], None] = lambda: None) -> None:
    """Load the compiled code; `on_compile` is called first where it must be compiled (seconds)."""
    from alphaqcm.pipeline.reading.aggtrades.warm_up import load

    load(on_compile)
