"""aggTrades to minutes: every order of the rows, and rows that come twice."""

from __future__ import annotations

import random
import resource
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from polars.testing import assert_frame_equal

from alphaqcm.pipeline.errors import LayerError
from alphaqcm.pipeline.reading.aggtrades import (
    Amounts,
    aggregate_file,
)
from alphaqcm.pipeline.reading.aggtrades.reader import read_rows
from alphaqcm.pipeline.reading.aggtrades.sorted_path import RowSink, sum_sorted
from alphaqcm.pipeline.reading.zip_member import open_member
from tests.helpers.aggtrades_oracle import (
    as_text,
    check,
    expect,
    make_lines,
    trades_file,
)
from tests.helpers.zips import write_zip

ORDERS = {
    "reversed": lambda lines: lines[::-1],
    "shuffled": lambda lines: random.Random(5).sample(lines, len(lines)),
    "two halves changed": lambda lines: lines[len(lines) // 2 :] + lines[: len(lines) // 2],
    "neighbours swapped": lambda lines: [
        line for pair in zip(lines[1::2], lines[::2], strict=True) for line in pair
    ],
}


@pytest.mark.parametrize("order", ORDERS)
def test_order_of_the_rows_changes_nothing(tmp_path: Path, order: str) -> None:
    file = trades_file()
    lines = make_lines(file, 2_000)
    straight = check(tmp_path, file, as_text(lines))
    assert straight.counters.sorted_files == 0

    result = check(tmp_path, file, as_text(ORDERS[order](lines)))

    assert_frame_equal(result.frame, straight.frame, check_exact=True)
    assert replace(result.counters, out_of_order=0, sorted_files=0) == straight.counters


@pytest.mark.parametrize("distance", [0, 1, 700])
def test_doubled_rows_count_once(tmp_path: Path, distance: int) -> None:
    file = trades_file()
    lines = make_lines(file, 2_000)
    straight = check(tmp_path, file, as_text(lines))
    doubled = list(lines)
    for at in (1_500, 900, 1):
        doubled.insert(at + 1 + distance if at + 1 + distance < len(lines) else at, lines[at])

    result = check(tmp_path, file, as_text(doubled))

    assert result.counters.duplicates == 3
    assert_frame_equal(result.frame, straight.frame, check_exact=True)


def test_doubled_row_in_another_spelling_counts_once(tmp_path: Path) -> None:
    file = trades_file()
    start = file.period.start_us // 1000
    lines = [
        f"1,100.5,0.25,7,7,{start},true",
        f"1,1.005e2,25E-2,7,7,{start},True",
        f"0001,{'0' * 20}100.50,0.250000000000000000000,7,7,{start * 1000},TRUE",
    ]
    result = check(tmp_path, file, as_text(lines))
    assert result.counters.duplicates == 2
    assert result.frame["trade_count"].sum() == 1


def test_rows_that_share_only_the_id_all_count(tmp_path: Path) -> None:
    file = trades_file()
    start = file.period.start_us // 1000
    lines = [f"7,100.0,{n}.0,{n},{n},{start + n},true" for n in (1, 2, 3)]
    result = check(tmp_path, file, as_text(lines))
    assert result.frame["trade_count"].sum() == 3
    assert result.counters.shared_ids == 2


def test_interleaved_id_streams_are_ordered_by_time(tmp_path: Path) -> None:
    file = trades_file()
    lines = make_lines(file, 1_000)
    for at in range(1, 1_000, 2):
        number, rest = lines[at].split(",", 1)
        lines[at] = f"{int(number) + 5_000_000},{rest}"
    result = check(tmp_path, file, as_text(lines))
    assert result.counters.largest_gap > 4_000_000


def test_first_and_last_of_a_minute_go_by_id_within_a_millisecond(tmp_path: Path) -> None:
    file = trades_file()
    start = file.period.start_us // 1000
    lines = [f"{n},{n}.5,1.0,{n},{n},{start},false" for n in (3, 1, 4, 2)]
    frame = check(tmp_path, file, as_text(lines)).frame
    assert (frame["price_first"][0], frame["price_last"][0]) == (1.5, 4.5)


@pytest.mark.parametrize("run_rows", [1, 3_000])
def test_rows_that_do_not_fit_into_memory_go_over_disk(tmp_path: Path, run_rows: int) -> None:
    file = trades_file()
    lines = make_lines(file, 5_000)
    text = as_text(random.Random(3).sample(lines + lines[:50], 5_050))
    expected = expect(text, file)
    path = write_zip(tmp_path, file, text)
    with closing(RowSink(file.period, tmp_path, run_rows)) as sink:
        read_rows(open_member(path), file, sink)
        sums, _, duplicates = sum_sorted(sink, file.period, Amounts(), stretch_rows=400)
    assert duplicates == 50
    assert sums.frame["trade_count"].sum() == 5_000
    straight = aggregate_file(write_zip(tmp_path, file, as_text(lines)), file)
    assert_frame_equal(sums.frame, straight.frame, check_exact=True)
    assert sink.out_of_order == expected.counters["out_of_order"]
    assert [path.name for path in tmp_path.iterdir()] == ["data"]  # nothing is left on disk


def test_full_disk_under_the_sorted_rows_is_a_typed_error(tmp_path: Path) -> None:
    file = trades_file()
    path = write_zip(tmp_path, file, as_text(make_lines(file, 5_000)))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with closing(RowSink(file.period, tmp_path, run_rows=1_000)) as sink:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
        try:
            with pytest.raises(LayerError, match=str(tmp_path)):
                read_rows(open_member(path), file, sink)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
