"""A daily update gives what a full rebuild gives, byte for byte, and disturbs no reader."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import orjson
import polars as pl
import pytest

from alphaqcm.data_collection.build.manifest import disagreements, manifest_path, read_manifest
from alphaqcm.data_collection.build.run.task_graph import month_tasks
from alphaqcm.data_collection.build.settings import RunSettings
from alphaqcm.data_collection.build.update.symbol_jobs import SymbolJob, perform
from alphaqcm.data_collection.build.update.update import Updated, update
from alphaqcm.data_collection.commands.main import main
from alphaqcm.data_collection.errors import ProcessLost, UsageError
from alphaqcm.data_collection.process.process_pool import process_pool
from alphaqcm.data_collection.process.root_lock import hold_root
from alphaqcm.data_collection.simulation.mirror import Fault, FaultKind, FaultPlan, Mirror
from alphaqcm.data_collection.simulation.sample import SampleSpec, universe, write_sample
from alphaqcm.pipeline.domain.archive_file import ArchiveFile
from alphaqcm.pipeline.domain.date_range import DateRange
from alphaqcm.pipeline.domain.registry import DataType, Partition
from alphaqcm.pipeline.domain.series_type import SeriesType
from alphaqcm.pipeline.domain.symbol import Symbol
from alphaqcm.pipeline.storage.checksum import sha256_of
from tests.helpers.built_root import settings_of, walk

pytestmark = pytest.mark.process

FIRST = date(2024, 1, 24)
LATE = timedelta(days=3)
"""Monthly files come this long after their month's end."""


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> tuple[SampleSpec, Path]:
    """Sixteen days over a month's end, two symbols, everything published."""
    spec = SampleSpec(
        symbols=("BTCUSDT", "SOLUSDT"),
        start=FIRST,
        days=16,
        trades_per_day=800,
        compression=1,
    )
    folder = tmp_path_factory.mktemp("everything")
    write_sample(folder, spec)
    return spec, folder


def publish_until(source: Path, everything: Path, today: date) -> None:
    """Show in `source` what the archive has in the morning of `today`."""
    for path in everything.rglob("*.zip*"):
        key = path.relative_to(everything).as_posix()
        period = ArchiveFile.parse(key).period
        late = LATE if period.partition is Partition.MONTHLY else timedelta()
        if period.end + late <= today and not (source / key).exists():
            (source / key).parent.mkdir(parents=True, exist_ok=True)
            os.link(path, source / key)


def updated(settings: RunSettings) -> Updated:
    with hold_root(settings.layout.temp, exclusive=True) as lock:
        return update(settings, 1, lock)


def through(settings: RunSettings, end: date) -> RunSettings:
    return replace(settings, span=DateRange(settings.span.start, end))


def test_ten_daily_updates_equal_ten_rebuilds(
    everything: tuple[SampleSpec, Path], tmp_path: Path
) -> None:
    spec, archive = everything
    source = tmp_path / "source"
    day = FIRST + timedelta(days=4)
    publish_until(source, archive, day + timedelta(days=1))
    settings = settings_of(spec, source, tmp_path / "root", day)
    walk(settings)
    for _ in range(10):
        day += timedelta(days=1)
        publish_until(source, archive, day + timedelta(days=1))
        done = updated(through(settings, day))
        assert done.table is not None
        rebuilt = replace(through(settings, day), root=tmp_path / f"rebuilt-{day}")
        walk(rebuilt)
        grown, anew = (one.layout.final_table() for one in (settings, rebuilt))
        assert grown.read_bytes() == anew.read_bytes(), day
        assert timeless(grown) == timeless(anew), day
        assert month_files(settings.root) == month_files(rebuilt.root), day
    late = date(2024, 2, 1) + LATE
    assert FIRST + timedelta(days=5) < late <= day  # the late monthly file was among them


def timeless(table: Path) -> dict[str, object]:
    """The table's catalogue without its time."""
    told: dict[str, object] = orjson.loads(manifest_path(table).read_bytes())
    del told["created_at"], told["digest"]  # the digest is of the time too
    return told


def month_files(root: Path) -> dict[str, str]:
    """Every month file with the SHA-256 of its bytes: rows, fingerprint and report."""
    return {
        path.relative_to(root).as_posix(): sha256_of(path) for path in root.rglob("????-??.parquet")
    }


def first_run(everything: tuple[SampleSpec, Path], tmp_path: Path, days: int) -> RunSettings:
    spec, archive = everything
    source = tmp_path / "source"
    end = FIRST + timedelta(days=days - 1)
    publish_until(source, archive, end + timedelta(days=1))
    settings = settings_of(spec, source, tmp_path / "root", end)
    walk(settings)
    return settings


def next_day(settings: RunSettings, archive: Path) -> RunSettings:
    day = settings.span.end + timedelta(days=1)
    publish_until(Path(settings.source), archive, day + timedelta(days=1))
    return through(settings, day)


def built(done: Updated) -> set[str]:
    return {task.id for task, outcome in done.progress.outcomes.items() if outcome.built}


def test_a_second_update_looks_at_nothing(
    everything: tuple[SampleSpec, Path], tmp_path: Path
) -> None:
    settings = next_day(first_run(everything, tmp_path, 3), everything[1])
    assert updated(settings).table is not None
    again = updated(settings)
    assert (again.looked_at, again.table, built(again)) == (0, None, set())


def test_a_file_published_anew_rebuilds_its_month_and_its_symbol_only(
    everything: tuple[SampleSpec, Path], tmp_path: Path
) -> None:
    spec, archive = everything
    settings = next_day(first_run(everything, tmp_path, 3), archive)
    updated(settings)
    day = date(2024, 1, 25)
    other = replace(spec, seed=spec.seed + 1, days=4)
    write_sample(tmp_path / "other", other)
    key = f"data/futures/um/daily/klines/SOLUSDT/1m/SOLUSDT-1m-{day}.zip"
    for name in (key, f"{key}.CHECKSUM"):
        target = Path(settings.source) / name
        target.unlink()
        target.write_bytes((tmp_path / "other" / name).read_bytes())

    done = updated(settings)

    assert built(done) == {"month/klines:1m/SOLUSDT/2024-01"}
    rebuilt = replace(settings, root=tmp_path / "rebuilt")
    walk(rebuilt)
    assert settings.layout.final_table().read_bytes() == rebuilt.layout.final_table().read_bytes()


def test_who_reads_the_old_table_keeps_it(
    everything: tuple[SampleSpec, Path], tmp_path: Path
) -> None:
    settings = first_run(everything, tmp_path, 3)
    table = settings.layout.final_table()
    whole = table.read_bytes()
    with table.open("rb") as reader:
        beginning = reader.read(1000)
        updated(next_day(settings, everything[1]))
        assert beginning + reader.read() == whole
    assert pl.read_parquet(table).height == 2 * 4 * 24


def test_an_update_that_died_after_its_month_files_is_completed(
    everything: tuple[SampleSpec, Path], tmp_path: Path
) -> None:
    """What changed in them is not known any more then: their whole months are computed again."""
    settings = next_day(first_run(everything, tmp_path, 3), everything[1])
    walk(settings, months_only=True)
    assert updated(settings).table is not None
    rebuilt = replace(settings, root=tmp_path / "rebuilt")
    walk(rebuilt)
    assert settings.layout.final_table().read_bytes() == rebuilt.layout.final_table().read_bytes()


def test_a_build_after_an_update_keeps_its_table_and_writes_the_rest(
    everything: tuple[SampleSpec, Path], tmp_path: Path
) -> None:
    settings = next_day(first_run(everything, tmp_path, 3), everything[1])
    updated(settings)
    table = settings.layout.final_table()
    before = table.read_bytes(), table.stat().st_mtime_ns
    walk(settings)
    assert (table.read_bytes(), table.stat().st_mtime_ns) == before
    stage = settings.layout.stage_file("crypto_hourly_full", Symbol(settings.market, "BTCUSDT"))
    assert len(stage.read_text().splitlines()) == 1 + 4 * 24


def test_a_failed_update_leaves_table_and_catalogue_as_they_are(
    everything: tuple[SampleSpec, Path], tmp_path: Path
) -> None:
    settings = first_run(everything, tmp_path, 3)
    table = settings.layout.final_table()
    before = table.read_bytes(), manifest_path(table).read_bytes()
    settings = next_day(settings, everything[1])
    month = settings.layout.months(DataType.KLINES, "1m") / "BTCUSDT" / "2024-01.parquet"
    month.unlink()
    (month / "in the way").mkdir(parents=True)

    done = updated(settings)

    assert [task.id for task in done.progress.failures] == ["month/klines:1m/BTCUSDT/2024-01"]
    assert (table.read_bytes(), manifest_path(table).read_bytes()) == before
    shutil.rmtree(month)
    assert updated(settings).table is not None
    assert disagreements(table, read_manifest(table)) == []


def test_the_command_goes_on_from_the_last_run(
    everything: tuple[SampleSpec, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = first_run(everything, tmp_path, 3)
    next_day(settings, everything[1])
    words = ["update", "--through", "2024-01-27", "--data-root", str(settings.root)]
    assert main(words) == 0
    assert "192 rows, 2 symbols" in capsys.readouterr().out
    assert main(words) == 0
    assert "0 months looked at" in capsys.readouterr().out


def test_an_update_without_an_earlier_table_says_what_to_run(tmp_path: Path) -> None:
    spec = SampleSpec(symbols=("BTCUSDT",), days=1)
    with pytest.raises(UsageError, match="alphaqcm run"):
        updated(settings_of(spec, tmp_path, tmp_path / "root"))


def test_a_day_without_any_file_gives_what_a_rebuild_gives(
    everything: tuple[SampleSpec, Path], tmp_path: Path
) -> None:
    """The last metrics row of a day is known at the next midnight: it comes with the next day."""
    spec, archive = everything
    day = FIRST + timedelta(days=4)
    publish_until(tmp_path / "source", archive, day + timedelta(days=1))
    settings = settings_of(spec, tmp_path / "source", tmp_path / "root", day)
    walk(settings)
    later = through(settings, day + timedelta(days=1))
    updated(later)
    anew = replace(later, root=tmp_path / "anew")
    walk(anew)
    assert later.layout.final_table().read_bytes() == anew.layout.final_table().read_bytes()
    assert month_files(later.root) == month_files(anew.root)


@pytest.mark.parametrize("symbols", [2, 6])
def test_a_table_that_begins_elsewhere_is_computed_anew(symbols: int, tmp_path: Path) -> None:
    """A few symbols at once, many by the whole road: memory holds no more than a few."""
    spec = SampleSpec(
        symbols=universe(symbols), start=FIRST, days=6, trades_per_day=300, compression=1
    )
    write_sample(tmp_path / "source", spec)
    settings = settings_of(spec, tmp_path / "source", tmp_path / "root")
    walk(through(settings, FIRST + timedelta(days=3)))
    later = replace(settings, span=DateRange(FIRST + timedelta(days=2), FIRST + timedelta(days=5)))
    assert updated(later).table is not None
    anew = replace(later, root=tmp_path / "anew")
    walk(anew)
    # the month files behind them differ: those at hand hold earlier days too
    tables = [pl.read_parquet(one.layout.final_table()) for one in (later, anew)]
    assert tables[0].equals(tables[1])


def test_a_source_that_is_gone_fails_the_tasks_and_not_the_others(
    everything: tuple[SampleSpec, Path], tmp_path: Path
) -> None:
    spec, _ = everything
    settings = replace(
        settings_of(spec, tmp_path, tmp_path / "root"),
        source="http://127.0.0.1:9",  # nobody listens there
        fetch={"retries": 0, "backoff": 0.01},
    )
    tasks = tuple(
        task
        for name in settings.types
        for task in month_tasks(SeriesType.parse(name), "BTCUSDT", settings.span)
    )
    share = perform(settings, [SymbolJob("BTCUSDT", tasks, None, {})])
    assert share.done[0].failures.keys() == set(tasks)


def test_what_went_wrong_on_the_line_and_was_mended_is_counted(
    everything: tuple[SampleSpec, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = first_run(everything, tmp_path, 3)
    next_day(settings, everything[1])
    once = FaultPlan((Fault(FaultKind.RESET, "*/metrics/*.zip", after=100, times=1),))
    with Mirror(Path(settings.source), faults=once) as mirror:
        words = ["--through", "2024-01-27", "--source", mirror.url]
        assert main(["update", *words, "--data-root", str(settings.root)]) == 0
    assert "made again: connection lost 2" in capsys.readouterr().out  # one of each symbol


def test_a_process_that_is_killed_is_told_and_not_a_traceback() -> None:
    with pytest.raises(ProcessLost, match="out of memory"), process_pool(1) as pool:
        pool.submit(os._exit, 9).result()
