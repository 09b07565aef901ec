"""Writes a simulated archive: ZIPs and checksums in the archive's own tree."""

from __future__ import annotations

import argparse

from tqdm import tqdm

from alphaqcm.data_collection.commands.exit_codes import ExitCode
from alphaqcm.data_collection.commands.output import Answer
from alphaqcm.data_collection.process.event_log import is_quiet
from alphaqcm.data_collection.simulation.sample import SampleSpec, universe, write_sample
from alphaqcm.data_collection.simulation.sample.defect_parser import parse_trap
from alphaqcm.data_collection.simulation.sample.sample_manifest import claim
from alphaqcm.pipeline.domain.registry import Market, parse_market


def run(arguments: argparse.Namespace) -> Answer:
    """Write the sample and say what it came to."""
    market = parse_market(arguments.market)
    spec = SampleSpec(
        symbols=_symbols(arguments.symbols, market),
        days=arguments.days,
        seed=arguments.seed,
        start=arguments.start,
        market=market,
        trades_per_day=arguments.trades_per_day,
        published=arguments.published,
        daily_since=arguments.daily_since,
        minutes_only=arguments.minutes_only,
        traps=tuple(parse_trap(text) for text in arguments.plant),
    )
    claim(arguments.dest, spec)
    days = len(spec.symbols) * len(list(spec.all_days()))
    with tqdm(
        total=days, unit=" days", disable=is_quiet() or None, dynamic_ncols=True, leave=False
    ) as bar:
        written = write_sample(arguments.dest, spec, bar.update)
    print(
        f"{arguments.dest}: {len(written.files)} files, {written.bytes:,} bytes, "
        f"{written.rows:,} rows; {', '.join(spec.symbols)}; {spec.first} to {spec.last}"
    )
    told: dict[str, object] = {
        "files": len(written.files),
        "bytes": written.bytes,
        "rows": written.rows,
    }
    told |= {"symbols": list(spec.symbols), "first": spec.first, "last": spec.last}
    return Answer(ExitCode.DONE, {"exit_code": 0, "directory": arguments.dest, **told})


def _symbols(chosen: int | tuple[str, ...], market: Market) -> tuple[str, ...]:
    return universe(chosen, market) if isinstance(chosen, int) else chosen
