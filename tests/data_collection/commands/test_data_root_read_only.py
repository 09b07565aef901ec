"""Commands that read, on a data root that cannot be written."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from alphaqcm.data_collection.archive.file_record import FileRecord, FileState
from alphaqcm.data_collection.archive.ledger import FILE_NAME, Ledger
from alphaqcm.data_collection.build.settings import RunSettings
from alphaqcm.data_collection.simulation.sample import SampleSpec, write_sample
from alphaqcm.pipeline.storage.layout import Layout
from tests.helpers.built_root import settings_of, walk
from tests.helpers.read_only import alphaqcm_on_read_only

pytestmark = pytest.mark.process


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data root with nothing but two records."""
    with Ledger(Layout(tmp_path / "root").cache) as ledger:
        ledger.put(
            [FileRecord("data/a.zip", FileState.OK), FileRecord("data/b.zip", FileState.ABSENT)]
        )
    return tmp_path / "root"


@pytest.fixture
def left(tmp_path: Path, root: Path) -> Path:
    """The data root as a killed writer leaves it: its newest record is in the log only."""
    cache = Layout(root).cache
    with Ledger(cache) as ledger:
        ledger.put([FileRecord("data/c.zip", FileState.OK)])
        shutil.copytree(root, tmp_path / "left")
    return tmp_path / "left"


@pytest.fixture
def made(tmp_path: Path) -> RunSettings:
    """A day of one symbol, from archive to table."""
    spec = SampleSpec(symbols=("BTCUSDT",), days=1, trades_per_day=500)
    write_sample(tmp_path / "source", spec)
    settings = settings_of(spec, tmp_path / "source", tmp_path / "root")
    walk(settings)
    return settings


def test_the_ledger_is_read_where_it_cannot_be_written(root: Path) -> None:
    done = alphaqcm_on_read_only(root, "ledger", "--data-root", root)
    assert (done.returncode, done.stderr) == (0, "")
    assert "data/a.zip" in done.stdout
    assert "1 ok, 1 absent" in done.stdout


def test_records_of_a_killed_writer_are_read_where_they_cannot_be_written(left: Path) -> None:
    done = alphaqcm_on_read_only(left, "ledger", "--data-root", left)
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 ok, 1 absent" in done.stdout


def test_records_that_cannot_be_read_there_are_told_not_left_out(left: Path) -> None:
    (Layout(left).cache / f"{FILE_NAME}-shm").unlink()
    done = alphaqcm_on_read_only(left, "ledger", "--data-root", left)
    assert done.returncode == 1
    assert f"{FILE_NAME}-shm beside it" in done.stderr
    assert "copy the ledger.sqlite* files" in done.stderr


def test_who_needs_a_ledger_to_write_is_not_told_to_delete_it(root: Path) -> None:
    source = root.parent / "tree"
    (source / "data").mkdir(parents=True)
    done = alphaqcm_on_read_only(root, "symbols", "--source", source, "--data-root", root)
    assert done.returncode == 1
    assert "expected a ledger that can be written; found " in done.stderr
    assert "delete" not in done.stderr


def test_a_damaged_ledger_may_be_deleted(root: Path) -> None:
    (Layout(root).cache / FILE_NAME).write_bytes(b"no database at all" * 100)
    done = alphaqcm_on_read_only(root, "ledger", "--data-root", root)
    assert done.returncode == 1
    assert "found file is not a database; next: a damaged ledger can be deleted" in done.stderr


def test_check_reports_and_says_that_its_verdict_is_not_kept(made: RunSettings) -> None:
    shutil.rmtree(made.layout.temp / "months" / "um" / "reconciled")
    done = alphaqcm_on_read_only(made.root, "check", "--data-root", made.root)
    assert (done.returncode, done.stderr) == (0, "")
    assert "the verdict is not kept beside the table" in done.stdout
    assert "1 symbol, 2024-02-29 to 2024-02-29" in done.stdout


@pytest.mark.parametrize("words", [["info"], ["info", "--files"], ["sql", "FROM final"]])
def test_the_table_is_read(made: RunSettings, words: list[str]) -> None:
    done = alphaqcm_on_read_only(made.root, *words, "--data-root", made.root)
    assert (done.returncode, done.stderr) == (0, "")
    assert "BTC_USDT:USDT" in done.stdout
