"""The simulated archive: the same bytes again, types that agree exactly, files as the real ones."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest

from alphaqcm.data_collection.commands.main import main
from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.simulation.sample import Jump, SampleSpec, universe, write_sample
from alphaqcm.pipeline.domain.archive_file import ArchiveFile
from alphaqcm.pipeline.domain.registry import DataType, Market
from alphaqcm.pipeline.reading.csv_reader import read_archive
from tests.helpers.sample_files import day, month, numbers, rows_of, series, text_of, tree

SMALL = SampleSpec(symbols=("BTCUSDT", "SOLUSDT"), days=2, seed=11, trades_per_day=3_000)
BARS = (DataType.KLINES, DataType.MARK, DataType.INDEX, DataType.PREMIUM)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two symbols, 2024-02-28 and 29."""
    root = tmp_path_factory.mktemp("small")
    write_sample(root, SMALL)
    return root


@pytest.fixture(scope="module")
def default(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `alphaqcm sample` writes without words."""
    root = tmp_path_factory.mktemp("default")
    write_sample(root, SampleSpec())
    return root


# ---- the same bytes


@pytest.mark.process
def test_the_same_spec_gives_the_same_bytes_in_another_process(small: Path, tmp_path: Path) -> None:
    words = ["--symbols=BTCUSDT,SOLUSDT", "--days=2", "--seed=11", "--trades-per-day=3000"]
    command = [
        sys.executable,
        "-m",
        "alphaqcm",
        "sample",
        str(tmp_path),
        *words,
    ]
    subprocess.run(command, check=True, capture_output=True)
    assert tree(tmp_path / "data") == tree(small / "data")


def test_another_seed_gives_other_trades(small: Path, tmp_path: Path) -> None:
    write_sample(tmp_path, replace(SMALL, seed=12))
    file = month(series(DataType.AGGTRADES), "2024-02")
    assert text_of(tmp_path, file) != text_of(small, file)


def test_another_symbol_leaves_the_files_of_the_first_ones(small: Path, tmp_path: Path) -> None:
    write_sample(tmp_path, replace(SMALL, symbols=("BTCUSDT",)))
    assert tree(tmp_path).items() <= tree(small).items()


@pytest.mark.parametrize("minutes_only", [False, True])
def test_an_archive_seen_later_keeps_the_days_it_had(tmp_path: Path, minutes_only: bool) -> None:
    spec = SampleSpec(
        symbols=("SOLUSDT",),
        start=date(2024, 2, 28),
        days=4,
        trades_per_day=1_000,
        minutes_only=minutes_only,
    )
    write_sample(tmp_path / "early", replace(spec, published=date(2024, 2, 29)))
    write_sample(tmp_path / "late", spec)
    early, late = tree(tmp_path / "early"), tree(tmp_path / "late")
    assert early.items() < late.items()
    assert not any("/monthly/" in name for name in early)
    assert any("/monthly/klines/" in name for name in late)


def test_a_longer_sample_begins_with_the_shorter_one(tmp_path: Path) -> None:
    spec = SampleSpec(symbols=("SOLUSDT",), start=date(2024, 3, 4), days=1, trades_per_day=1_000)
    write_sample(tmp_path / "short", spec)
    write_sample(tmp_path / "long", replace(spec, days=3))
    assert tree(tmp_path / "short").items() < tree(tmp_path / "long").items()


def test_writing_again_leaves_unchanged_files_alone(tmp_path: Path) -> None:
    spec = SampleSpec(symbols=("SOLUSDT",), days=1, trades_per_day=500)
    write_sample(tmp_path, spec)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.zip")}
    jump = Jump("SOLUSDT", at=datetime(2024, 2, 29, 12, tzinfo=UTC))
    write_sample(tmp_path, replace(spec, traps=(jump,)))
    changed = {path for path, at in before.items() if path.stat().st_mtime_ns != at}
    same = {
        ArchiveFile.parse(str(p.relative_to(tmp_path))).series.type for p in before.keys() - changed
    }
    assert same == {DataType.FUNDING, DataType.PREMIUM}  # what does not hang on the price


# ---- files as the real ones


@pytest.mark.slow
def test_every_file_is_read_with_all_rows_inside_its_period(default: Path) -> None:
    zips = sorted(default.rglob("*.zip"))
    assert len(zips) == 120
    for path in zips:
        reading = read_archive(path, ArchiveFile.parse(str(path.relative_to(default))))
        assert reading.outside == 0
        assert reading.rows == reading.frame.height > 0
        assert reading.has_header


@pytest.mark.parametrize("market", list(Market))
def test_checksums_hold_and_end_as_the_market_has_them(tmp_path: Path, market: Market) -> None:
    write_sample(tmp_path, SampleSpec(universe(1, market), 1, market=market, trades_per_day=500))
    zips = sorted(tmp_path.rglob("*.zip"))
    assert zips
    for path in zips:
        line = path.with_name(path.name + ".CHECKSUM").read_text()
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert line == f"{digest}  {path.name}" + ("" if market is Market.SPOT else "\n")


@pytest.mark.parametrize(
    ("market", "start", "header", "digits", "flag"),
    [
        (Market.UM, "2021-12-31", False, 13, "true"),
        (Market.UM, "2022-01-01", True, 13, "true"),
        (Market.CM, "2026-05-08", True, 13, "true"),
        (Market.SPOT, "2024-12-31", False, 13, "True"),
        (Market.SPOT, "2025-01-01", False, 16, "True"),
    ],
)
def test_headers_units_and_flags_of_the_time(
    tmp_path: Path, market: Market, start: str, header: bool, digits: int, flag: str
) -> None:
    spec = SampleSpec(universe(1, market), 1, market=market, trades_per_day=300)
    write_sample(tmp_path, replace(spec, start=date.fromisoformat(start)))
    of = series(DataType.AGGTRADES, spec.symbols[0], market=market)
    lines = text_of(tmp_path, day(of, start)).splitlines()
    assert lines[0].startswith("agg_trade_id,price") is header
    fields = lines[1].split(",")
    assert len(fields) == (8 if market is Market.SPOT else 7)
    assert len(fields[5]) == digits
    other = {"true": "false", "True": "False"}[flag]
    assert {line.split(",")[6] for line in lines[1:]} == {flag, other}


def test_decimals_are_those_of_the_real_files(small: Path, real: Path) -> None:
    file = day(series(DataType.KLINES, "BTCUSDT", "1m"), "2023-04-15")
    theirs = rows_of(real / "archive", file)[0]
    ours = rows_of(small, day(file.series, "2024-02-29"))[0]
    for name in ("open", "volume", "quote_volume", "taker_buy_volume", "taker_buy_quote_volume"):
        assert Decimal(ours[name]).as_tuple().exponent == Decimal(theirs[name]).as_tuple().exponent


def test_a_month_that_is_not_over_has_daily_files_only(tmp_path: Path) -> None:
    spec = SampleSpec(("SOLUSDT",), 2, start=date(2024, 2, 29), trades_per_day=300)
    write_sample(tmp_path, spec)
    names = {path.name for path in tmp_path.rglob("*.zip")}
    assert {"SOLUSDT-1m-2024-02.zip", "SOLUSDT-1m-2024-03-01.zip"} <= names
    assert "SOLUSDT-fundingRate-2024-02.zip" in names
    assert not any(name.endswith("2024-03.zip") for name in names)
    write_sample(tmp_path, replace(spec, running_month_funding=True))
    assert (tmp_path / month(series(DataType.FUNDING, "SOLUSDT"), "2024-03").key).exists()


def test_daily_since_leaves_out_days_that_a_month_holds(tmp_path: Path) -> None:
    spec = SampleSpec(("SOLUSDT",), 2, start=date(2024, 2, 29), trades_per_day=300)
    write_sample(tmp_path, replace(spec, daily_since=date(2030, 1, 1), types=(DataType.KLINES,)))
    names = {path.name for path in tmp_path.rglob("*1m*.zip")}
    assert names == {"SOLUSDT-1m-2024-02.zip", "SOLUSDT-1m-2024-03-01.zip"}


@pytest.mark.parametrize(
    ("start", "first", "last"),
    [
        ("2026-06-24", "2026-06-24 00:05:00", "2026-06-25 00:00:00"),
        ("2026-06-25", "2026-06-25 00:00:00", "2026-06-25 23:55:00"),
    ],
)
def test_metrics_labels_change_on_2026_06_25(
    tmp_path: Path, start: str, first: str, last: str
) -> None:
    spec = SampleSpec(("SOLUSDT",), 1, start=date.fromisoformat(start), types=(DataType.METRICS,))
    write_sample(tmp_path, replace(spec, trades_per_day=300))
    rows = rows_of(tmp_path, day(series(DataType.METRICS, "SOLUSDT"), start))
    assert (rows[0]["create_time"], rows[-1]["create_time"]) == (first, last)


@pytest.mark.slow
def test_minutes_only_has_bars_that_fit_and_no_trades(tmp_path: Path) -> None:
    spec = SampleSpec(("SOLUSDT",), 35, minutes_only=True, trades_per_day=3_000)
    write_sample(tmp_path, replace(spec, daily_since=date(2030, 1, 1)))
    assert not list(tmp_path.rglob("*aggTrades*"))
    bars = rows_of(tmp_path, month(series(DataType.KLINES, "SOLUSDT", "1m"), "2024-02"))
    assert len(bars) == 29 * 1440
    assert any(bar["count"] == "0" for bar in bars)
    for before, bar in pairwise(bars):
        low, high = Decimal(bar["low"]), Decimal(bar["high"])
        volume, quote = Decimal(bar["volume"]), Decimal(bar["quote_volume"])
        assert low <= Decimal(bar["open"]) <= high
        assert low <= Decimal(bar["close"]) <= high
        assert low * volume <= quote <= high * volume
        assert bar["open"] == before["close"]
    hours = rows_of(tmp_path, month(series(DataType.KLINES, "SOLUSDT", "1h"), "2024-02"))
    assert sum(numbers(hours, "volume")) == sum(numbers(bars, "volume"))


def test_a_non_ascii_symbol_is_written_under_its_own_name(tmp_path: Path) -> None:
    write_sample(tmp_path, SampleSpec(("币安人生USDT",), 1, trades_per_day=300))
    file = day(series(DataType.KLINES, "币安人生USDT", "1m"), "2024-02-29")
    assert len(rows_of(tmp_path, file)) == 1440


# ---- words that do not fit


@pytest.mark.parametrize(
    "make",
    [
        lambda: SampleSpec(days=0),
        lambda: SampleSpec(symbols=()),
        lambda: SampleSpec(symbols=("BTCUSDT", "BTCUSDT")),
        lambda: SampleSpec(trades_per_day=0),
        lambda: SampleSpec(seed=-1),
    ],
)
def test_a_spec_that_does_not_fit_is_refused(make: Callable[[], SampleSpec]) -> None:
    with pytest.raises(UsageError):
        make()


def test_the_command_says_what_it_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["sample", str(tmp_path), "--symbols", "1", "--days", "1", "--trades-per-day", "300"]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert f"{len(list(tmp_path.rglob('*.zip')))} files" in out
    assert "BTCUSDT; 2024-02-29 to 2024-02-29" in out


def test_no_symbol_at_all_is_a_usage_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sample", str(tmp_path / "new"), "--symbols", "0"]) == 2
    assert "--symbols" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
