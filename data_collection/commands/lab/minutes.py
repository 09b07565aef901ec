"""Condenses one aggTrades ZIP to its 1-minute frame, by hand."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import re
import sys
import zipfile
from pathlib import Path

from alphaqcm.data_collection.commands.exit_codes import ExitCode
from alphaqcm.data_collection.commands.output import Answer, wants_text
from alphaqcm.data_collection.errors import UsageError
from alphaqcm.pipeline.domain.archive_file import ArchiveFile
from alphaqcm.pipeline.domain.registry import DataType, Market, parse_market, spec_of
from alphaqcm.pipeline.errors import BadHeader, BadName, BadRow
from alphaqcm.pipeline.reading.aggtrades import (
    Thresholds,
    aggregate_file,
    has_no_rows,
    load_kernels,
)
from alphaqcm.pipeline.reading.month_file import month_version
from alphaqcm.pipeline.reading.zip_member import open_member
from alphaqcm.pipeline.storage.artifact import Artifact, Fingerprint, Input

_COIN_MARGINED = re.compile(r"USD_(PERP|\d{6})$")
_LONG_LINE = 4096


def run(arguments: argparse.Namespace) -> Answer:
    """Read the file, print its counters, write its minutes; 0."""
    path: Path = arguments.file
    file = ArchiveFile.from_name(path.name, parse_market(arguments.market))
    _check_market(path, file)
    if file.series.type is not DataType.AGGTRADES:
        raise UsageError(
            path, expected="a file named {symbol}-aggTrades-{period}.zip", found=file.series.type
        )
    if not path.is_file():
        raise UsageError(path, expected="a file", found="none")
    try:
        if not has_no_rows(open_member(path), file):
            load_kernels(lambda: print("compiling for this machine, once ...", file=sys.stderr))
        result = aggregate_file(path, file, Thresholds(arguments.whale, arguments.retail))
    except (BadRow, BadHeader) as error:
        other = _market_of_rows(path, file)
        if other is None:
            raise
        raise _other_market(path, file, other, "its first line") from error
    frame = result.frame
    counted = {
        **({"first": frame["first_ts"][0], "last": frame["last_ts"][-1]} if frame.height else {}),
        **result.counters.to_dict(),
    }
    if wants_text(arguments):
        print(f"{file.key}: {frame.height} minutes on {len(result.days)} UTC days")
        for name, value in counted.items():
            print(f"{name:>16}  {value}")
    if arguments.out is not None:
        with path.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        parameters = (("retail", f"{arguments.retail:g}"), ("whale", f"{arguments.whale:g}"))
        fingerprint = Fingerprint(
            "aggTrades minutes", month_version(file.series), (Input(file.key, sha256),), parameters
        )
        Artifact(arguments.out, fingerprint).write(frame, result.counters.to_dict())
        if wants_text(arguments):
            print(f"{'written':>16}  {arguments.out}")
    told = {"key": file.key, "minutes": frame.height, "days": len(result.days), **counted}
    return Answer(ExitCode.DONE, told | {"written": arguments.out})


def _check_market(path: Path, file: ArchiveFile) -> None:
    """Raise `UsageError` where the file's place or its symbol tells of another market."""
    found = None
    parts = path.resolve().parts
    if "data" in parts:
        at = len(parts) - 1 - parts[::-1].index("data")
        with contextlib.suppress(BadName):  # a folder of that name, but no archive tree
            found = ArchiveFile.parse("/".join(parts[at:])).series.market
    if found is None and _COIN_MARGINED.search(file.series.symbol):
        found = Market.CM
    if found is not None and found is not file.series.market:
        raise _other_market(path, file, found, "its place or symbol")


def _market_of_rows(path: Path, file: ArchiveFile) -> Market | None:
    """The market whose rows have as many fields as the file's first one; None for this one's."""
    with zipfile.ZipFile(path) as archive, archive.open(open_member(path).name) as stream:
        line = stream.readline(_LONG_LINE)
    spec = spec_of(DataType.AGGTRADES)
    fits = [m for m in spec.markets if len(spec.columns_in(m)) == line.count(b",") + 1]
    return None if file.series.market in fits or not fits else fits[0]


def _other_market(path: Path, file: ArchiveFile, market: Market, shown_by: str) -> UsageError:
    return UsageError(
        path,
        expected=f"a file of market {file.series.market}",
        found=f"one of {market}, as {shown_by} shows",
        next_step=f"pass --market {market}",
    )
