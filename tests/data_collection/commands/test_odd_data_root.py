"""A data root whose path holds what globs, SQL and shells read as their own."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from alphaqcm.data_collection.commands.main import main
from alphaqcm.data_collection.simulation.sample import SampleSpec, write_sample
from tests.helpers.built_root import settings_of, walk

pytestmark = pytest.mark.process

SPEC = SampleSpec(
    symbols=("BTCUSDT",), start=date(2024, 1, 1), days=4, trades_per_day=400, compression=1
)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    write_sample(folder, SPEC)
    return folder


def make(root: Path, source: Path) -> int:
    words = ["run", "--symbols", "BTCUSDT", "--start", "2024-01-01", "--end", "2024-01-03"]
    return main([*words, "--source", str(source), "--data-root", str(root), "--workers", "1"])


@pytest.fixture(scope="module")
def root(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of three of the four days; copied to an odd place for the commands."""
    place = tmp_path_factory.mktemp("plain") / "root"
    walk(settings_of(SPEC, source, place, date(2024, 1, 3)))
    return place


@pytest.fixture(params=["a[bc]*?b", 'it\'s {x,y} "q" %s'])
def odd(request: pytest.FixtureRequest, tmp_path: Path, root: Path) -> Path:
    """The made root under an odd name, beside what its name as a glob would match."""
    for decoy in ("ab", "abc", "a"):
        (tmp_path / decoy).mkdir()
    shutil.copytree(root, tmp_path / request.param)
    return tmp_path / str(request.param)


def final(root: Path) -> pl.DataFrame:
    return pl.read_parquet(root / "final_dataset_all.parquet", glob=False)


def test_run_makes_the_same_table_in_a_root_that_reads_as_a_glob(
    source: Path, root: Path, tmp_path: Path
) -> None:
    assert make(tmp_path / "a[b]*?", source) == 0
    assert final(tmp_path / "a[b]*?").equals(final(root))


def test_update_adds_a_day_in_a_root_that_reads_as_a_glob(odd: Path) -> None:
    assert main(["update", "--data-root", str(odd), "--through", "2024-01-04"]) == 0
    assert final(odd).height == 4 * 24


def test_build_check_info_and_docs_work_in_a_root_that_reads_as_a_glob(odd: Path) -> None:
    (odd / "_tmp" / "symbol_tables" / "BTCUSDT.parquet").unlink()
    assert main(["build", "--data-root", str(odd)]) == 0
    assert main(["info", "--data-root", str(odd)]) == 0
    assert main(["check", "--data-root", str(odd)]) == 0


def test_sql_reads_every_layer_of_a_root_that_reads_as_a_glob(
    odd: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["klines_1m", "aggtrades_1h", "metrics_1h", "crypto_hourly_full", "final"]
    counts = ", ".join(f"(SELECT count(*) FROM {name}) AS {name}" for name in names)
    arguments = ["sql", f"SELECT {counts}", "--format", "csv", "--data-root", str(odd)]
    assert main(arguments) == 0
    rows = capsys.readouterr().out.splitlines()[1].split(",")
    assert [rows[0], rows[-1]] == [str(3 * 1440), "72"]
    assert "0" not in rows


def test_every_export_and_training_set_works_in_a_root_that_reads_as_a_glob(odd: Path) -> None:
    shutil.rmtree(odd / "final_dataset", ignore_errors=True)
    for what in ("crypto_1min", "stages", "final"):
        assert main(["export", what, "--data-root", str(odd)]) == 0
    assert next((odd / "final_dataset").glob("*_final.csv")).is_file()
    assert main(["training-set", "--data-root", str(odd)]) == 0
