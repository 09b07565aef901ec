"""Mutate aggTrades files and hold every outcome against an exact reading.

A case is thirty real or made rows, or a whole ZIP, with one to three things done to it. The reader
must raise one of the project's errors exactly where the exact reading rejects the text, and must
give the same minutes and counters otherwise; a damaged ZIP must give an error or the same minutes.
Prints what came out, cases a second, and the slowest case; exit 1 at the first wrong one.

    python scripts/bench_fuzz_aggtrades.py [CASES] [--seed N] [--real DAY.zip]
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
import zipfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from alphaqcm.pipeline.domain.archive_file import ArchiveFile
from alphaqcm.pipeline.domain.registry import Market
from alphaqcm.pipeline.errors import PipelineError, RawError
from alphaqcm.pipeline.reading.aggtrades import AggMinutes, aggregate_file, load_kernels
from tests.conftest import SHARED
from tests.helpers.aggtrades_oracle import (
    HEADER,
    Rejected,
    as_text,
    differences,
    expect,
    make_lines,
    mutate,
    trades_file,
)
from tests.helpers.zips import write_zip

ROWS = 30
ZIP_SHARE = 0.15
REAL = (
    SHARED / "real/archive/data/futures/cm/daily/aggTrades/BTCUSD_PERP"
    "/BTCUSD_PERP-aggTrades-2026-05-08.zip"
)


@dataclass(frozen=True)
class Base:
    """Something to mutate."""

    file: ArchiveFile
    text: bytes


def made(market: Market, seed: int) -> Base:
    """Rows of our own: every market, unit, line end and header."""
    rng = random.Random(seed)
    file = trades_file(market)
    unit = 1 if market is Market.SPOT and seed % 2 else 1_000
    lines = make_lines(file, ROWS, seed, unit_us=unit)
    names = HEADER if market is Market.SPOT else HEADER.removesuffix(",is_best_match")
    return Base(file, as_text(lines, rng.choice(("\n", "\n", "\r\n")), rng.choice(("", names))))


def corpus(real: Path) -> list[Base]:
    """What is mutated: made rows, and stretches of the real day where it is at hand."""
    bases = [made(market, seed) for market in Market for seed in range(40)]
    if real.is_file():
        with zipfile.ZipFile(real) as archive:
            lines = archive.read(archive.namelist()[0]).splitlines(keepends=True)
        file = ArchiveFile.from_name(real.name, Market.CM)
        for seed in range(400):
            start = random.Random(seed).randrange(1, len(lines) - ROWS)
            header = lines[:1] if seed % 2 else []
            bases.append(Base(file, b"".join([*header, *lines[start : start + ROWS]])))
    return bases


def try_text(folder: Path, base: Base, rng: random.Random) -> str:
    """One mutated text; returns what came out, raises AssertionError where that is wrong."""
    text = mutate(base.text, rng)
    result: AggMinutes | None = None
    try:
        result = aggregate_file(write_zip(folder, base.file, text), base.file)
    except RawError as error:
        outcome = type(error).__name__
    try:
        expected = expect(text, base.file)
    except Rejected as why:
        if result is not None:
            raise AssertionError(f"accepted, but {why}: {text!r}") from why
        return outcome
    if result is None:
        raise AssertionError(f"{outcome} for a sound text: {text!r}")
    if wrong := differences(result, expected):
        raise AssertionError(f"{wrong[:5]}: {text!r}")
    return "sorted" if result.counters.sorted_files else "in order"


def try_zip(folder: Path, base: Base, rng: random.Random) -> str:
    """One mutated ZIP."""
    path = write_zip(folder, base.file, base.text)
    data = bytearray(path.read_bytes())
    for _ in range(rng.choice((1, 1, 2, 4))):
        data[rng.randrange(len(data))] = rng.randrange(256)
    if rng.random() < 0.2:
        del data[rng.randrange(len(data)) :]
    path.write_bytes(data)
    try:
        result = aggregate_file(path, base.file)
    except PipelineError as error:
        return f"{type(error).__name__} of a damaged ZIP"
    if wrong := differences(result, expect(base.text, base.file)):
        raise AssertionError(f"{wrong[:5]}: {bytes(data)!r}")
    return "damage that does not matter"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", type=int, nargs="?", default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--real", type=Path, default=REAL, help="a real coin-margined day")
    arguments = parser.parse_args()
    load_kernels(lambda: print("compiling for this machine, once"))
    bases = corpus(arguments.real)
    outcomes: Counter[str] = Counter()
    slowest = (0.0, 0)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as temp:
        for case in range(arguments.cases):
            rng = random.Random(arguments.seed * 10**9 + case)
            start = time.perf_counter()
            attempt = try_zip if rng.random() < ZIP_SHARE else try_text
            try:
                outcomes[attempt(Path(temp), rng.choice(bases), rng)] += 1
            except AssertionError as error:
                print(f"case {case} of seed {arguments.seed}: {error}")
                return 1
            slowest = max(slowest, (time.perf_counter() - start, case))
    seconds = time.perf_counter() - began
    print(f"{arguments.cases} cases, none wrong, {arguments.cases / seconds:.0f} a second")
    for name, count in outcomes.most_common():
        print(f"  {count:>7}  {name}")
    print(f"  slowest case {slowest[1]}: {slowest[0] * 1000:.0f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
