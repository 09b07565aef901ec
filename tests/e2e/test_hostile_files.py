"""Archive files of one symbol that hold nonsense: all other symbols, days and types are built."""

from __future__ import annotations

import hashlib
import io
import shutil
import zipfile
from collections.abc import Callable
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from alphaqcm.data_collection.simulation.sample import SampleSpec, write_sample
from alphaqcm.pipeline.domain.archive_file import ArchiveFile
from alphaqcm.pipeline.domain.registry import Kind, spec_of
from tests.helpers.built_root import settings_of, walk

SPEC = SampleSpec(
    symbols=("BTCUSDT", "ETHUSDT"),
    start=date(2024, 1, 1),
    days=2,
    trades_per_day=400,
    compression=1,
)
Change = Callable[[str, Kind], str]


def nanoseconds(text: str, kind: Kind) -> str:
    return text + "000000" if kind is Kind.EPOCH else text


def last_epoch(text: str, kind: Kind) -> str:
    return str(2**63 - 1) if kind is Kind.EPOCH else text


def negative_epoch(text: str, kind: Kind) -> str:
    return str(-(2**63)) if kind is Kind.EPOCH else text


def largest_numbers(text: str, kind: Kind) -> str:
    return {Kind.INT: str(2**63 - 1), Kind.DECIMAL: "1e308"}.get(kind, text)


def zeros(text: str, kind: Kind) -> str:
    return "0" if kind in (Kind.INT, Kind.DECIMAL) else text


def far_clock(text: str, kind: Kind) -> str:
    return "9999-12-31 23:59:59" if kind is Kind.CLOCK else text


def rewrite(path: Path, file: ArchiveFile, change: Change) -> None:
    """Publish the file again with every field changed, with a checksum that holds."""
    columns = spec_of(file.series.type).columns_in(file.series.market)
    with zipfile.ZipFile(path) as archive:
        name = archive.namelist()[0]
        lines = archive.read(name).decode().splitlines()
    rows = [line.split(",") for line in lines]
    for row in rows:
        if row[0][:1].isdigit():
            row[:] = [change(text, column.kind) for text, column in zip(row, columns, strict=True)]
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, "".join(",".join(row) + "\n" for row in rows))
    path.write_bytes(stream.getvalue())
    digest = hashlib.sha256(stream.getvalue()).hexdigest()
    path.with_name(f"{path.name}.CHECKSUM").write_text(f"{digest}  {path.name}\n")


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    write_sample(folder, SPEC)
    return folder


@pytest.mark.parametrize(
    "change", [nanoseconds, last_epoch, negative_epoch, largest_numbers, zeros, far_clock]
)
def test_files_of_nonsense_stop_nothing_but_themselves(
    tmp_path: Path, sample: Path, change: Change
) -> None:
    source, root = tmp_path / "source", tmp_path / "root"
    shutil.copytree(sample, source)
    struck = 0
    for path in source.rglob("ETHUSDT*.zip"):
        rewrite(path, ArchiveFile.parse(path.relative_to(source).as_posix()), change)
        struck += 1
    assert struck > 5
    settings = settings_of(SPEC, source, root)
    walk(settings)
    table = pl.read_parquet(settings.layout.final_table())
    assert table.filter(pl.col("symbol").str.starts_with("BTC")).height == 48
