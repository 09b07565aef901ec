"""Writes or reads ready files as a process of its own, for the tests of their protocol."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from alphaqcm.data_collection.live.config import SaveType
from alphaqcm.data_collection.live.files.ready_files import ReadyFiles, Step
from alphaqcm.data_collection.live.files.ready_names import parse_ready_name
from alphaqcm.data_collection.live.files.tables import CandleRows, read_candles

STEP = 60_000
FIRST = 29_500_000  # number of the first candle
NAMES = ("BTCUSDT", "BTCUSDT_260327")  # one is the beginning of the other
KEEP = 20


def rows(number: int) -> CandleRows:
    """The candles up to and with `number`; every value of a candle is its number."""
    numbers = np.arange(number - KEEP + 1, number + 1)
    values = np.repeat(numbers[:, None].astype(float), 9, axis=1)
    return CandleRows(numbers * STEP, values, (number + 1) * STEP * 1000)


def write(folder: Path, updates: int, die: str) -> None:
    """Write `updates` candles of each name; `die` = step:number ends the process there."""
    step, _, at = die.partition(":")
    seen = 0

    def reached(now: Step) -> None:
        nonlocal seen
        if now.name == step:
            seen += 1
            if seen == int(at):
                os.kill(os.getpid(), signal.SIGKILL)

    files = ReadyFiles(folder, SaveType.FEATHER, reached=reached)
    files.recover()
    begin = max((files.ready_at(name) or 0) for name in NAMES) // (STEP * 1000)
    for number in range(max(FIRST, begin), max(FIRST, begin) + updates):
        for name in NAMES:
            files.write(name, rows(number), STEP)


def read(folder: Path, until: int) -> None:
    """Read whatever is ready until candle `until` is; prints how often, fails on a lie."""
    reads = newest = 0
    while newest < until:
        for path in folder.glob("*.ready"):
            parsed = parse_ready_name(path.name)
            assert parsed is not None, path.name
            name, ready_us = parsed
            found = read_candles(folder / f"{name}.fea", STEP, SaveType.FEATHER)
            last = int(found.open_ms[-1]) // STEP
            assert found.as_of_us >= ready_us, f"{path.name} is ready before its rows"
            assert (last + 1) * STEP * 1000 >= ready_us, f"{path.name} without its last row"
            assert found.open_ms.tolist() == [n * STEP for n in range(last - KEEP + 1, last + 1)]
            assert (found.values == found.open_ms[:, None] / STEP).all(), "torn"
            newest = max(newest, ready_us // (STEP * 1000) - 1)
            reads += 1
            time.sleep(0.02)  # four who never rest would leave the writer nothing
    print(reads)


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write(Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
    else:
        read(Path(sys.argv[2]), int(sys.argv[3]))
