"""`alphaqcm check` and `alphaqcm info` over a data root: files, exit codes, what they print."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import orjson
import polars as pl
import pytest

from alphaqcm.data_collection.build.last_run import save_settings
from alphaqcm.data_collection.build.manifest import (
    Verdict,
    add_verdict,
    manifest_path,
    read_manifest,
)
from alphaqcm.data_collection.build.settings import RunSettings
from alphaqcm.data_collection.commands.main import main
from alphaqcm.data_collection.reporting.quality.inspect_symbol import narrowed
from alphaqcm.data_collection.reporting.quality.month_files import SeriesLook, month_files
from alphaqcm.data_collection.simulation.sample import SampleSpec, write_sample
from alphaqcm.data_collection.simulation.sample import defects as traps
from alphaqcm.data_collection.simulation.sample.defects import Where
from alphaqcm.pipeline.checks.finding import Finding, Severity, TimeRange
from alphaqcm.pipeline.domain.registry import DataType, Partition
from alphaqcm.pipeline.domain.time import DAY_US, epoch_us
from alphaqcm.pipeline.storage.artifact import Artifact, read_fingerprint
from alphaqcm.pipeline.storage.checksum import sha256_of
from tests.helpers.built_root import checked, settings_of, walk

pytestmark = pytest.mark.slow

DAY = date(2024, 2, 28)


@pytest.fixture
def made(tmp_path: Path) -> RunSettings:
    """Four days over two symbols; one day of SOLUSDT's monthly klines tells other volumes."""
    lie = Where("SOLUSDT", DataType.KLINES, DAY, "1h", Partition.MONTHLY)
    begin, end = (datetime(2024, 2, 28, hour, tzinfo=UTC) for hour in (4, 6))
    spec = SampleSpec(
        symbols=("BTCUSDT", "SOLUSDT"),
        days=4,
        trades_per_day=2_000,
        compression=1,
        traps=(traps.Altered(lie, ("volume",), begin, end, 3.0),),
    )
    write_sample(tmp_path / "source", spec)
    settings = settings_of(spec, tmp_path / "source", tmp_path / "root")
    walk(settings)
    return settings


def test_the_command_writes_both_reports_and_the_verdict(
    made: RunSettings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = ["--json", str(tmp_path / "r.json"), "--html", str(tmp_path / "r.html")]
    root = ["--data-root", str(made.root)]
    assert main(["check", *files, *root]) == 0
    told = orjson.loads((tmp_path / "r.json").read_bytes())
    assert [one["check"] for one in told["findings"]] == ["hours-differ-from-minutes"]
    assert "hours-differ-from-minutes" in (tmp_path / "r.html").read_text()
    assert "0 error, 1 warning, 0 info" in capsys.readouterr().out

    verdict = read_manifest(made.layout.final_table()).checks
    assert verdict is not None
    assert (verdict.worst, verdict.counts["warning"]) == ("warning", 1)
    assert main(["info", *root]) == 0
    said = capsys.readouterr().out
    assert "warning (0 error, 1 warning, 0 info)" in said
    assert "verified" in said


@pytest.mark.parametrize(
    ("start", "days", "stamps"),
    [
        ("2024-02-04", 1, ["2024-02-04"]),
        ("2024-02-02", 1, ["2024-02-01", "2024-02-04"]),
        ("2024-03-07", 9, ["2024-03-06"]),
        ("2024-03-02", 1, ["2024-02-04", "2024-03-05"]),
    ],
)
def test_the_evidence_is_of_the_findings_time_or_else_around_it(
    start: str, days: int, stamps: list[str]
) -> None:
    folder = "data/futures/um/daily/metrics/XUSDT/XUSDT-metrics-"
    there = ("2024-01-31", "2024-02-01", "2024-02-04", "2024-03-05", "2024-03-06")
    begin = epoch_us(date.fromisoformat(start))
    finding = Finding(
        Severity.ERROR,
        "metrics-days-absent",
        "metrics",
        "XUSDT",
        TimeRange(begin, begin + days * DAY_US),
        "rows",
        "none",
        tuple(f"{folder}{stamp}.zip" for stamp in there),
    )
    assert narrowed(finding).evidence == tuple(f"{folder}{stamp}.zip" for stamp in stamps)


@pytest.mark.parametrize(
    ("words", "code"),
    [([], 0), (["--strict"], 0), (["--strict", "error,warning"], 1), (["--strict", "awful"], 2)],
)
def test_strict_turns_chosen_severities_into_an_exit_code(
    made: RunSettings, words: list[str], code: int
) -> None:
    assert main(["check", *words, "--data-root", str(made.root)]) == code


def test_chosen_symbols_only_are_checked_and_leave_the_verdict_alone(made: RunSettings) -> None:
    root = ["--data-root", str(made.root)]
    assert main(["check", "--symbols", "BTC/USDT:USDT", "--strict", "warning", *root]) == 0
    assert read_manifest(made.layout.final_table()).checks is None
    assert main(["check", "--symbols", "DOGEUSDT", *root]) == 2


def test_deep_compares_monthly_with_daily_files(made: RunSettings) -> None:
    shallow = {finding.check for finding in checked(made).findings}
    assert shallow == {"hours-differ-from-minutes"}
    [finding] = [
        one for one in checked(made, deep=True).findings if one.check == "monthly-daily-differ"
    ]
    assert (finding.symbol, finding.series) == ("SOLUSDT", "klines:1h")
    assert str(finding.period) == "2024-02-28"
    assert finding.found == "2 rows with other values, the first at 04:00"
    # the daily files are in the cache now: the next check compares them unasked
    assert finding in checked(made).findings


def test_a_file_damaged_in_the_cache_is_a_finding(made: RunSettings) -> None:
    checked(made, deep=True)  # brings the daily files, with which a month is then compared
    [cached] = (
        path for path in made.layout.cache.rglob("BTCUSDT-1h-2024-02.zip") if "mark" in str(path)
    )
    torn = bytearray(cached.read_bytes())
    torn[80:90] = bytes(10)
    cached.write_bytes(torn)
    found = [one for one in checked(made).findings if one.check == "file-unusable"]
    assert [one.series for one in found] == ["markPriceKlines:1h"]


def test_a_check_before_any_run_says_what_to_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "--data-root", str(tmp_path)]) == 2
    assert "alphaqcm run" in capsys.readouterr().err


def test_a_torn_month_file_is_a_finding(made: RunSettings) -> None:
    torn = made.layout.months(DataType.MARK, "1h") / "BTCUSDT" / "2024-02.parquet"
    torn.write_bytes(torn.read_bytes()[:-20])
    found = {finding.check: finding for finding in checked(made).findings}
    assert found["layer-unreadable"].evidence == (str(torn),)


def test_a_month_file_with_damaged_pages_is_a_finding_too(made: RunSettings) -> None:
    torn = made.layout.months(DataType.MARK, "1h") / "BTCUSDT" / "2024-02.parquet"
    data = torn.read_bytes()
    torn.write_bytes(data[:4] + bytes(600) + data[604:])  # its footer still reads well
    found = {finding.check: finding for finding in checked(made).findings}
    assert found["layer-unreadable"].evidence == (str(torn),)


def test_a_month_file_that_is_replaced_meanwhile_is_read_as_it_is_now(made: RunSettings) -> None:
    gathered = SeriesLook("markPriceKlines:1h", "BTCUSDT")
    [file] = month_files(made, gathered)
    newer = pl.read_parquet(file.path).sample(fraction=1.0, shuffle=True, seed=1)
    fingerprint = read_fingerprint(file.path)
    assert fingerprint is not None
    Artifact(file.path, fingerprint).write(newer.with_columns(pl.col("close") * 1.0000001), {})
    assert file.read_all(["close"])["close"].to_list() == (newer["close"] * 1.0000001).to_list()


def test_a_verdict_is_not_kept_for_another_table(made: RunSettings) -> None:
    table = made.layout.final_table()
    verdict = Verdict("info", {}, "2024-03-01T00:00:00+00:00")
    assert not add_verdict(table, "0" * 64, verdict)
    assert read_manifest(table).checks is None
    assert add_verdict(table, sha256_of(table), verdict)
    assert read_manifest(table).checks == verdict


def test_info_notices_a_changed_table(
    made: RunSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    table = made.layout.final_table()
    data = bytearray(table.read_bytes())
    data[len(data) // 2] ^= 1
    table.write_bytes(data)
    assert main(["info", "--data-root", str(made.root)]) == 1
    assert "NOT the table of its manifest: expected SHA-256" in capsys.readouterr().out
    told = ["info", str(table), "--json"]
    assert main(told) == 1
    assert orjson.loads(capsys.readouterr().out)["verified"] is False


def test_info_without_a_catalogue_says_so(
    made: RunSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest_path(made.layout.final_table()).unlink()
    assert main(["info", "--data-root", str(made.root)]) == 2
    assert "manifest.json" in capsys.readouterr().err


def test_a_symbol_without_any_file_is_told(made: RunSettings) -> None:
    more = replace(made, symbols=(*made.symbols, "NOSUCHUSDT"))
    save_settings(more)
    absent = [one for one in checked(more).findings if one.symbol == "NOSUCHUSDT"]
    assert {(one.check, one.series) for one in absent} == {("series-absent", "klines:1m")}
