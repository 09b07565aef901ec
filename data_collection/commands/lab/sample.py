"""Write a simulated archive: ZIPs and checksums in the archive's own tree.

Everything is derived from the same simulated trades, so that trades, bars and derivatives agree as
the real ones do. The same words give the same bytes. With more --days from one --start on, or more
--symbols, a sample that is there grows; a directory that holds another one is refused. No file is
removed: traps that leave files out, and an earlier --published, want a directory of their own.
"""

from __future__ import annotations

import argparse
from datetime import date
from pathlib import Path

from tqdm import tqdm

from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.simulation.sample import Flaw, SampleSpec, universe, write_sample
from alphaqcm.data_collection.simulation.sample.defect_parser import TRAPS, parse_trap, usage
from alphaqcm.data_collection.simulation.sample.sample_manifest import claim
from alphaqcm.pipeline.domain.registry import Market


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("dest", type=Path, metavar="DEST", help="directory of the archive")
    parser.add_argument(
        "--symbols", default="3", help="how many, or their names with commas between (default 3)"
    )
    parser.add_argument("--days", type=int, default=3, help="days to simulate (default 3)")
    parser.add_argument("--seed", type=int, default=7, help="same seed, same bytes (default 7)")
    parser.add_argument(
        "--start", type=date.fromisoformat, help="first day (default: the days end on 2024-02-29)"
    )
    parser.add_argument(
        "--market", type=Market, choices=list(Market), default=Market.UM, help="(default um)"
    )
    parser.add_argument(
        "--trades-per-day", type=int, default=40_000, help="of the busiest symbol (default 40000)"
    )
    parser.add_argument(
        "--published",
        type=date.fromisoformat,
        metavar="DAY",
        help="hold what the source has on this day (default: the day after the last)",
    )
    parser.add_argument(
        "--daily-since",
        type=date.fromisoformat,
        metavar="DAY",
        help="no daily files before this day where a monthly one exists",
    )
    parser.add_argument(
        "--minutes-only", action="store_true", help="bars without trades, for long ranges"
    )
    parser.add_argument(
        "--plant",
        action="append",
        default=[],
        metavar="TRAP",
        help="plant a trap, such as 'jump symbol=ETHUSDT at=2024-02-28T10:00'; may be repeated",
    )
    parser.epilog = "\n".join(
        [
            "traps (times are UTC, words in brackets may be left out):",
            *(f"  {name} {usage(kind)}" for name, kind in TRAPS.items()),
            "flaws of a file-trap: " + ", ".join(Flaw),
        ]
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the sample and say what it came to."""
    spec = SampleSpec(
        symbols=_symbols(arguments.symbols, arguments.market),
        days=arguments.days,
        seed=arguments.seed,
        start=arguments.start,
        market=arguments.market,
        trades_per_day=arguments.trades_per_day,
        published=arguments.published,
        daily_since=arguments.daily_since,
        minutes_only=arguments.minutes_only,
        traps=tuple(parse_trap(text) for text in arguments.plant),
    )
    claim(arguments.dest, spec)
    days = len(spec.symbols) * len(list(spec.all_days()))
    with tqdm(total=days, unit=" days", disable=None, dynamic_ncols=True, leave=False) as bar:
        written = write_sample(arguments.dest, spec, bar.update)
    print(
        f"{arguments.dest}: {len(written.files)} files, {written.bytes:,} bytes, "
        f"{written.rows:,} rows; {', '.join(spec.symbols)}; {spec.first} to {spec.last}"
    )
    return 0


def _symbols(text: str, market: Market) -> tuple[str, ...]:
    if not text.isdigit():
        return tuple(name.strip() for name in text.split(",") if name.strip())
    if int(text) < 1:
        raise UsageError("--symbols", expected="a number from 1 on, or names", found=text)
    return universe(int(text), market)
