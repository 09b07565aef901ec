"""Condenses one aggTrades ZIP to its 1-minute frame, by hand."""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path

from alphaqcm.data_collection.commands.exit_codes import ExitCode
from alphaqcm.data_collection.commands.output import Answer, wants_text
from alphaqcm.data_collection.errors import UsageError
from alphaqcm.pipeline.domain.archive_file import ArchiveFile
from alphaqcm.pipeline.domain.registry import DataType, parse_market
from alphaqcm.pipeline.reading.aggtrades import (
    Thresholds,
    aggregate_file,
    load_kernels,
)
from alphaqcm.pipeline.reading.month_file import month_version
from alphaqcm.pipeline.storage.artifact import Artifact, Fingerprint, Input


def run(arguments: argparse.Namespace) -> Answer:
    """Read the file, print its counters, write its minutes; 0."""
    path: Path = arguments.file
    file = ArchiveFile.from_name(path.name, parse_market(arguments.market))
    if file.series.type is not DataType.AGGTRADES:
        raise UsageError(
            path, expected="a file named {symbol}-aggTrades-{period}.zip", found=file.series.type
        )
    if not path.is_file():
        raise UsageError(path, expected="a file", found="none")
    load_kernels(lambda: print("compiling for this machine, once ...", file=sys.stderr))
    result = aggregate_file(path, file, Thresholds(arguments.whale, arguments.retail))
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
