"""Flaws of rows and files can be planted in a sample, and are where they were planted."""

from __future__ import annotations

import hashlib
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest

from alphaqcm.data_collection.simulation.sample import (
    OPEN_INTEREST,
    PRICES,
    Altered,
    DuplicateRows,
    FileTrap,
    Flaw,
    InterleavedIds,
    MissingDay,
    MissingRows,
    ShiftedTimes,
    SwappedColumns,
    Trap,
    UnsortedRows,
    Where,
    write_sample,
)
from alphaqcm.pipeline.domain.archive_file import Series
from alphaqcm.pipeline.domain.registry import DataType, Partition
from tests.helpers.planted_samples import (
    BASE,
    DAY,
    ETH,
    FEBRUARY,
    FUNDING,
    HOURS,
    METRICS,
    MINUTES,
    TRADES,
    at,
    changed,
    ms,
)
from tests.helpers.sample_files import day, month, rows_of, series, text_of, times, tree


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same sample without traps."""
    root = tmp_path_factory.mktemp("clean")
    write_sample(root, BASE)
    return root


@pytest.fixture
def plant(tmp_path: Path) -> Callable[..., Path]:
    def planted(*traps: Trap) -> Path:
        write_sample(tmp_path, replace(BASE, traps=traps))
        return tmp_path

    return planted


Plant = Callable[..., Path]


# ---- what is wrong with rows


def test_a_month_can_lack_a_day_that_its_daily_file_has(clean: Path, plant: Plant) -> None:
    root = plant(MissingDay(Where(ETH, DataType.KLINES, DAY, "1m", Partition.MONTHLY)))
    assert len(rows_of(root, month(MINUTES, FEBRUARY))) == 1440
    assert len(rows_of(root, day(MINUTES, "2024-02-29"))) == 1440
    assert changed(clean, root) == {f"{ETH}-1m-{FEBRUARY}.zip"}


def test_a_missing_metrics_day_is_an_absent_file(clean: Path, plant: Plant) -> None:
    root = plant(MissingDay(Where(ETH, DataType.METRICS, DAY)))
    assert tree(clean).keys() - tree(root).keys() == {
        day(METRICS, "2024-02-29").key,
        day(METRICS, "2024-02-29").checksum_key,
    }


@pytest.mark.parametrize(
    ("where", "start", "end", "lost"),
    [
        (Where(ETH, DataType.METRICS), at(10), at(11), 12),
        (Where(ETH, DataType.FUNDING), at(8), at(9), 1),
        (Where(ETH, DataType.KLINES, interval="1m"), at(1), at(1, 7), 7),
    ],
)
def test_missing_rows_are_missing_in_the_month_and_the_day(
    clean: Path, plant: Plant, where: Where, start: datetime, end: datetime, lost: int
) -> None:
    root = plant(MissingRows(where, start, end))
    assert where.type is not None
    of = series(where.type, ETH, where.interval)
    files = [day(of, "2024-02-29"), month(of, FEBRUARY)]
    files = [file for file in files if (clean / file.key).exists()]
    assert files
    for file in files:
        before, after = rows_of(clean, file), rows_of(root, file)
        assert len(before) - len(after) == lost
        assert [row for row in before if row in after] == after


@pytest.mark.parametrize("of", [TRADES, MINUTES, METRICS, FUNDING], ids=str)
def test_duplicated_rows_stand_there_word_for_word(clean: Path, plant: Plant, of: Series) -> None:
    root = plant(DuplicateRows(Where(ETH, of.type, DAY, of.interval), 2))
    file = month(of, FEBRUARY) if of is FUNDING else day(of, "2024-02-29")
    before, after = text_of(clean, file).splitlines(), text_of(root, file).splitlines()
    extra = Counter(after) - Counter(before)
    assert sum(extra.values()) == 2
    assert set(after) == set(before)


@pytest.mark.parametrize("of", [TRADES, MINUTES, METRICS], ids=str)
def test_unsorted_rows_are_the_same_rows(clean: Path, plant: Plant, of: Series) -> None:
    root = plant(UnsortedRows(Where(ETH, of.type, DAY)))
    file = day(of, "2024-02-29")
    before, after = text_of(clean, file).splitlines(), text_of(root, file).splitlines()
    assert before != after
    assert before[0] == after[0]  # the header
    assert sorted(before) == sorted(after)


def test_interleaved_ids_are_two_streams_that_grow_in_turn(clean: Path, plant: Plant) -> None:
    root = plant(InterleavedIds(Where(ETH, DataType.AGGTRADES, DAY)))
    rows = rows_of(root, day(TRADES, "2024-02-29"))
    ids = times(rows, "agg_trade_id")
    middle = ids[0] + 500_000_000
    for stream in ([i for i in ids if i < middle], [i for i in ids if i > middle]):
        assert len(stream) > 100
        assert stream == list(range(stream[0], stream[0] + len(stream)))
    assert sum(b < a for a, b in pairwise(ids)) > 50
    before = rows_of(clean, day(TRADES, "2024-02-29"))
    assert times(rows, "transact_time") == times(before, "transact_time")


def test_klines_can_disagree_with_the_trades_in_one_hour(clean: Path, plant: Plant) -> None:
    where = Where(ETH, DataType.KLINES, interval="1m")
    root = plant(Altered(where, ("volume",), at(7), at(8), 2.0))
    for file in (day(MINUTES, "2024-02-29"), month(MINUTES, FEBRUARY)):
        for before, after in zip(rows_of(clean, file), rows_of(root, file), strict=True):
            hit = ms(at(7)) <= int(before["open_time"]) < ms(at(8))
            assert Decimal(after["volume"]) == Decimal(before["volume"]) * (2 if hit else 1)
            assert {**after, "volume": ""} == {**before, "volume": ""}


def test_a_month_can_disagree_with_its_days(clean: Path, plant: Plant) -> None:
    where = Where(ETH, DataType.KLINES, interval="1h", partition=Partition.MONTHLY)
    root = plant(Altered(where, PRICES, at(7), at(8), 1.1))
    assert changed(clean, root) == {f"{ETH}-1h-{FEBRUARY}.zip"}


def test_open_interest_can_be_zero(plant: Plant) -> None:
    root = plant(Altered(Where(ETH, DataType.METRICS), OPEN_INTEREST, at(7), at(8), 0.0))
    rows = rows_of(root, day(METRICS, "2024-02-29"))
    zero = [row["create_time"][11:] for row in rows if Decimal(row["sum_open_interest"]) == 0]
    assert (len(zero), zero[0], zero[-1]) == (12, "07:05:00", "08:00:00")


def test_mark_can_leave_the_index(clean: Path, plant: Plant) -> None:
    root = plant(Altered(Where(ETH, DataType.MARK), PRICES, at(7), at(8), 1.05))
    file = day(series(DataType.MARK, ETH, "1h"), "2024-02-29")
    ratio = [
        round(float(a["close"]) / float(b["close"]), 6)
        for a, b in zip(rows_of(root, file), rows_of(clean, file), strict=True)
    ]
    assert ratio == [1.0] * 7 + [1.05] + [1.0] * 16


def test_a_high_can_lie_below_its_low(plant: Plant) -> None:
    root = plant(SwappedColumns(Where(ETH, DataType.KLINES, interval="1h"), at(7), at(8)))
    rows = rows_of(root, day(HOURS, "2024-02-29"))
    wrong = [row for row in rows if Decimal(row["high"]) < Decimal(row["low"])]
    assert times(wrong, "open_time") == [ms(at(7))]


def test_a_time_can_be_off_the_grid(plant: Plant) -> None:
    root = plant(ShiftedTimes(Where(ETH, DataType.KLINES, interval="1m"), at(7), 1))
    rows = rows_of(root, day(MINUTES, "2024-02-29"))
    assert [t for t in times(rows, "open_time") if t % 60_000] == [ms(at(7)) + 1]


def test_rows_can_lie_outside_their_period(plant: Plant) -> None:
    day_ms = 86_400_000
    where = Where(ETH, DataType.AGGTRADES, DAY, partition=Partition.DAILY)
    rows = rows_of(plant(ShiftedTimes(where, at(0), day_ms, 5)), day(TRADES, "2024-02-29"))
    assert sum(moment >= ms(at(0)) + day_ms for moment in times(rows, "transact_time")) == 5


# ---- what is wrong with a file


def _flawed(root: Path, flaw: Flaw, data_type: DataType = DataType.KLINES) -> Path:
    of = series(data_type, ETH, "1h" if data_type is DataType.KLINES else "")
    trap = FileTrap(Where(ETH, data_type, DAY, of.interval, Partition.DAILY), flaw)
    types = (DataType.KLINES, DataType.METRICS, DataType.AGGTRADES)
    write_sample(root, replace(BASE, symbols=(ETH,), types=types, traps=(trap,)))
    return root / day(of, "2024-02-29").key


def test_a_flaw_concerns_the_one_file_only(clean: Path, plant: Plant) -> None:
    where = Where(ETH, DataType.KLINES, DAY, "1h", Partition.DAILY)
    root = plant(FileTrap(where, Flaw.NO_HEADER))
    assert changed(clean, root) == {f"{ETH}-1h-2024-02-29.zip"}
    assert text_of(root, day(HOURS, "2024-02-29")).startswith("1709164800000,")


def test_microseconds_where_milliseconds_belong(clean: Path, tmp_path: Path) -> None:
    _flawed(tmp_path, Flaw.MICROSECONDS)
    after = rows_of(tmp_path, day(HOURS, "2024-02-29"))
    before = rows_of(clean, day(HOURS, "2024-02-29"))
    assert times(after, "open_time") == [1000 * t for t in times(before, "open_time")]


def test_a_header_with_another_name(tmp_path: Path) -> None:
    _flawed(tmp_path, Flaw.HEADER_MISMATCH)
    assert text_of(tmp_path, day(HOURS, "2024-02-29")).startswith("open_time,open_renamed,high")


def test_columns_in_another_order_with_their_header(clean: Path, tmp_path: Path) -> None:
    _flawed(tmp_path, Flaw.PERMUTED_COLUMNS, DataType.METRICS)
    after = [line.split(",") for line in text_of(tmp_path, day(METRICS, "2024-02-29")).split()]
    before = [line.split(",") for line in text_of(clean, day(METRICS, "2024-02-29")).split()]
    assert after[0] == before[0][::-1]
    assert len(after) == len(before)


def test_a_field_too_many(tmp_path: Path) -> None:
    _flawed(tmp_path, Flaw.EXTRA_COLUMN)
    lines = text_of(tmp_path, day(HOURS, "2024-02-29")).splitlines()
    assert {line.count(",") for line in lines} == {12}


def test_carriage_returns(clean: Path, tmp_path: Path) -> None:
    _flawed(tmp_path, Flaw.CRLF)
    file = day(HOURS, "2024-02-29")
    assert text_of(tmp_path, file) == text_of(clean, file).replace("\n", "\r\n")


def test_no_newline_at_the_end(clean: Path, tmp_path: Path) -> None:
    _flawed(tmp_path, Flaw.NO_LAST_NEWLINE)
    file = day(HOURS, "2024-02-29")
    assert text_of(tmp_path, file) + "\n" == text_of(clean, file)


@pytest.mark.parametrize(
    ("flaw", "member"),
    [
        (Flaw.SECOND_CSV, f"nested/{ETH}-1h-2024-02-29.csv"),
        (Flaw.MACOSX_MEMBER, f"__MACOSX/._{ETH}-1h-2024-02-29.csv"),
    ],
)
def test_a_second_member(tmp_path: Path, flaw: Flaw, member: str) -> None:
    with zipfile.ZipFile(_flawed(tmp_path, flaw)) as archive:
        assert archive.namelist() == [f"{ETH}-1h-2024-02-29.csv", member]


def test_a_cut_zip_has_a_checksum_that_fits(tmp_path: Path) -> None:
    path = _flawed(tmp_path, Flaw.CUT_ZIP)
    with pytest.raises(zipfile.BadZipFile):
        zipfile.ZipFile(path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert path.with_name(path.name + ".CHECKSUM").read_text().startswith(digest)


def test_a_wrong_checksum(clean: Path, tmp_path: Path) -> None:
    path = _flawed(tmp_path, Flaw.WRONG_CHECKSUM)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    line = path.with_name(path.name + ".CHECKSUM").read_text()
    assert digest not in line
    assert line.endswith(f"  {path.name}\n")
    assert path.read_bytes() == (clean / path.relative_to(tmp_path)).read_bytes()


def test_a_missing_checksum(tmp_path: Path) -> None:
    path = _flawed(tmp_path, Flaw.MISSING_CHECKSUM)
    assert path.exists()
    assert not path.with_name(path.name + ".CHECKSUM").exists()


def test_an_absent_file(tmp_path: Path) -> None:
    path = _flawed(tmp_path, Flaw.ABSENT)
    assert not path.exists()
    assert not path.with_name(path.name + ".CHECKSUM").exists()
    assert (tmp_path / day(HOURS, "2024-02-28").key).exists()
