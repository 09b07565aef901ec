"""A recorded day as the archive would publish it: a ZIP of one CSV, and its checksum.

    {data root}/recorded/data/futures/um/daily/aggTrades/BTCUSDT/BTCUSDT-aggTrades-2026-03-10.zip

Everything that reads the archive reads these (`--source {data root}/recorded`): the layers of a
recorded day are made by the same code. When the archive has the day, its file has another checksum
and takes the recorded one's place.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from datetime import date
from pathlib import Path

from alphaqcm.data_collection.live.record.day_parts import Kind, read_rows
from alphaqcm.pipeline.domain.archive_file import ArchiveFile, Series
from alphaqcm.pipeline.domain.period import Period
from alphaqcm.pipeline.domain.registry import DataType, Market, spec_of
from alphaqcm.pipeline.storage.atomic_write import write_bytes

_SERIES = {Kind.KLINES: (DataType.KLINES, "1m"), Kind.AGG_TRADES: (DataType.AGGTRADES, "")}


def archive_file(market: Market, kind: Kind, symbol: str, day: date) -> ArchiveFile:
    """The name that the archive gives such a day; raises KeyError for kinds that it has not."""
    data_type, interval = _SERIES[kind]
    return Series(market, data_type, symbol, interval).file(Period.day(day))


def compact(
    root: Path, market: Market, kind: Kind, symbol: str, day: date, part: Path
) -> ArchiveFile | None:
    """Write a day's part as an archive file below `root/recorded`; None where it has no row.

    Rows are ordered by their first column; of rows with the same one the last counts.
    """
    rows = {int(row[0]): row for row in read_rows(part)}
    if not rows:
        return None
    file = archive_file(market, kind, symbol, day)
    names = [column.name for column in spec_of(file.series.type).columns_in(market)]
    lines = [",".join(rows[key][: len(names)]) for key in sorted(rows)]
    if market is not Market.SPOT:
        lines.insert(0, ",".join(names))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        # dated 1980-01-01: the same bytes whenever it is written
        member = zipfile.ZipInfo(f"{file.name[:-4]}.csv")
        member.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(member, "\n".join(lines) + "\n")
    data = buffer.getvalue()
    folder = root / "recorded"
    write_bytes(folder / file.key, data)
    line = f"{hashlib.sha256(data).hexdigest()}  {file.name}\n"
    write_bytes(folder / file.checksum_key, line.encode())
    return file


def differences(part: Path, archive_zip: Path) -> list[str]:
    """First columns of rows that only one side has, or whose numbers differ, in their order.

    Raises OSError, BadZipFile or ValueError for an archive file that cannot be read.
    """
    with zipfile.ZipFile(archive_zip) as archive:
        lines = archive.read(archive.namelist()[0]).decode().splitlines()
    theirs = {row[0]: row for row in (line.split(",") for line in lines) if row[0].isdigit()}
    ours = {row[0]: row for row in read_rows(part)}
    return [
        key
        for key in sorted(ours.keys() | theirs.keys(), key=int)
        if key not in ours or key not in theirs or not _same(ours[key], theirs[key])
    ]


def _same(one: list[str], other: list[str]) -> bool:
    return all(_number(a) == _number(b) for a, b in zip(one, other, strict=False))


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text.lower()
