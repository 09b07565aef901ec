"""Reads a simulated archive by means of its own: zipfile, csv and Decimal, no code of the project's
readers."""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile
from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from pathlib import Path

from alphaqcm.pipeline.domain.archive_file import ArchiveFile, Series
from alphaqcm.pipeline.domain.period import Period
from alphaqcm.pipeline.domain.registry import DataType, Market, spec_of

Row = dict[str, str]


def series(
    data_type: DataType, symbol: str = "BTCUSDT", interval: str = "", market: Market = Market.UM
) -> Series:
    return Series(market, data_type, symbol, interval)


def month(of: Series, text: str) -> ArchiveFile:
    return of.file(Period.parse(text))


def day(of: Series, text: str) -> ArchiveFile:
    return of.file(Period.day(date.fromisoformat(text)))


def text_of(root: Path, file: ArchiveFile) -> str:
    """The CSV of an archive file."""
    with zipfile.ZipFile(root / file.key) as archive:
        return archive.read(archive.namelist()[0]).decode()


def rows_of(root: Path, file: ArchiveFile) -> list[Row]:
    """Its rows by the registry's names, header row left out."""
    names = [column.name for column in spec_of(file.series.type).columns_in(file.series.market)]
    lines = list(csv.reader(io.StringIO(text_of(root, file))))
    body = lines if lines[0][0].isdigit() else lines[1:]
    return [dict(zip(names, line, strict=True)) for line in body]


def numbers(rows: Iterable[Row], column: str) -> list[Decimal]:
    return [Decimal(row[column]) for row in rows]


def times(rows: Iterable[Row], column: str) -> list[int]:
    return [int(row[column]) for row in rows]


def tree(root: Path) -> dict[str, str]:
    """Every file below `root` and the SHA-256 of its bytes."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }
