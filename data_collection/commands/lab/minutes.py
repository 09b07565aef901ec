"""Condense one aggTrades ZIP to its 1-minute frame, by hand.

The file's name tells symbol and period (BTCUSDT-aggTrades-2024-02.zip); its market does not stand
in the name. Neither a .CHECKSUM nor a data root is needed. Prints what was counted on the way;
--out writes the minutes as parquet.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path

from alphaqcm.data_collection.commands.options import add_market_option
from alphaqcm.data_collection.errors import UsageError
from alphaqcm.pipeline.domain.archive_file import ArchiveFile
from alphaqcm.pipeline.domain.registry import DataType, parse_market
from alphaqcm.pipeline.reading.aggtrades import (
    DEFAULT_THRESHOLDS,
    Thresholds,
    aggregate_file,
    load_kernels,
)
from alphaqcm.pipeline.reading.month_file import VERSION
from alphaqcm.pipeline.storage.artifact import Fingerprint, Input, write_parquet


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("file", type=Path, metavar="FILE.zip", help="an aggTrades ZIP")
    add_market_option(parser)
    parser.add_argument("--out", type=Path, metavar="FILE.parquet", help="write the minutes there")
    parser.add_argument(
        "--whale",
        type=float,
        default=DEFAULT_THRESHOLDS.whale,
        metavar="QUOTE",
        help="a row of at least this amount is a whale's (default %(default)s)",
    )
    parser.add_argument(
        "--retail",
        type=float,
        default=DEFAULT_THRESHOLDS.retail,
        metavar="QUOTE",
        help="a row of at most this amount is retail (default %(default)s)",
    )


def run(arguments: argparse.Namespace) -> int:
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
    print(f"{file.key}: {frame.height} minutes on {len(result.days)} UTC days")
    if frame.height:
        print(f"{'first':>16}  {frame['first_ts'][0]}")
        print(f"{'last':>16}  {frame['last_ts'][-1]}")
    for name, value in result.counters.to_dict().items():
        print(f"{name:>16}  {value}")
    if arguments.out is not None:
        with path.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        parameters = (("retail", f"{arguments.retail:g}"), ("whale", f"{arguments.whale:g}"))
        fingerprint = Fingerprint(
            "aggTrades minutes", VERSION, (Input(file.key, sha256),), parameters
        )
        write_parquet(frame, arguments.out, fingerprint, result.counters.to_dict())
        print(f"{'written':>16}  {arguments.out}")
    return 0
