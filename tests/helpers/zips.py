"""Small archive files for tests, made by hand."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from alphaqcm.pipeline.domain.archive_file import ArchiveFile
from alphaqcm.pipeline.domain.registry import spec_of


def csv_text(
    file: ArchiveFile, rows: Iterable[Sequence[object]], *, header: bool = True, end: str = "\n"
) -> str:
    """The CSV of a file: the registry's header and `rows`."""
    columns = spec_of(file.series.type).columns_in(file.series.market)
    lines = [",".join(column.name for column in columns)] if header else []
    lines += [",".join(str(field) for field in row) for row in rows]
    return "".join(line + end for line in lines)


def write_zip(folder: Path, file: ArchiveFile, text: str | bytes, **more: str) -> Path:
    """A ZIP at the file's own key below `folder`; `more` are further members, name to text."""
    path = folder / file.key
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(file.name.replace(".zip", ".csv"), text)
        for name, content in more.items():
            archive.writestr(name, content)
    return path


def bar(
    open_time: int, price: float = 10.0, volume: float = 1.0, close_time: int = 0
) -> list[object]:
    """A kline row whose four prices are `price`."""
    return [open_time, *[price] * 4, volume, close_time, price * volume, 3, volume, price, 0]
