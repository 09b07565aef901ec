"""The compiled functions that Python calls: text to minutes, text to rows, rows to minutes.

Only these three are kept in numba's cache, with all they call inside. numba renews a cached
function when its own file changes; what it calls lies in other files too, so a digest of all of
them is part of the key (as a variable of the enclosing function, which numba's key contains).
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numba import njit

from alphaqcm.pipeline.reading.aggtrades.compiled.accumulate import add_block
from alphaqcm.pipeline.reading.aggtrades.compiled.block_parser import (
    cut_block,
    index_block,
    parse_block,
)
from alphaqcm.pipeline.reading.aggtrades.compiled.buffers import (
    BLOCK,
    DONE,
    FULL,
    MARKS,
    ODD,
    ROOM,
    S_POSITION,
    S_RUN_ROWS,
)
from alphaqcm.pipeline.reading.aggtrades.compiled.simd import get, put

SOURCES = ("accumulate", "block_parser", "buffers", "kernels", "simd")
"""Modules whose code or constants are in the compiled functions."""


def _digest() -> str:
    sources = (Path(__file__).with_name(f"{name}.py").read_bytes() for name in SOURCES)
    return hashlib.sha256(b"".join(sources)).hexdigest()


@njit(nogil=True)
def _next_block(text, end, width, marks, words, ints, columns, flags, state):
    """Index, cut and parse from state[S_POSITION] on; returns (status, rows in the columns).

    DONE without rows: no whole line is left. ODD: the line behind the rows is left to others.
    """
    commas, newlines = marks
    fields, wrong = words
    start = state[S_POSITION]
    comma_count, lines = index_block(text, start, end, commas, newlines)
    if lines == 0:
        return (DONE if comma_count < MARKS - 64 else ODD), 0
    count = cut_block(text, start, width, comma_count, lines, commas, newlines, fields, wrong)
    count = parse_block(text, count, commas, width, fields, wrong, ints, columns, flags)
    if count > 0:
        state[S_POSITION] = np.int64(newlines[count - 1]) + 1
    return (DONE if count == lines else ODD), count


@njit(nogil=True)
def _copy_rows(count, ints, floats, flags, to_ints, to_floats, to_flags, step, at, to_step, to):
    """Copy rows between columns that lie `step` and `to_step` apart."""
    for column in range(4):
        for row in range(count):
            put(to_ints, column * to_step + to + row, get(ints, column * step + at + row))
    for column in range(2):
        for row in range(count):
            put(to_floats, column * to_step + to + row, get(floats, column * step + at + row))
    for row in range(count):
        put(to_flags, to + row, get(flags, at + row))


def _compiled(digest: str):
    @njit(nogil=True, cache=True)
    def scan(
        text, end, width, marks, words, ints, floats, flags, limits, amounts, state, out, jumps
    ):
        """Parse and add the whole lines of `text[state[S_POSITION]:end]`.

        Returns (status, rows added): DONE with state[S_POSITION] at the first byte of the last,
        unended line; ODD with it at a line that is left to others; DISORDER when the rows are not
        in order.
        """
        digest  # noqa: B018
        columns, parts = floats
        out_ints, out_floats = out
        rows = 0
        while True:
            found, count = _next_block(text, end, width, marks, words, ints, columns, flags, state)
            status = add_block(
                count,
                ints,
                columns,
                flags,
                parts,
                limits,
                amounts,
                state,
                out_ints,
                out_floats,
                jumps,
            )
            if status != DONE:
                return status, rows
            rows += count
            if found != DONE or count == 0:
                return found, rows

    @njit(nogil=True, cache=True)
    def gather(text, end, width, marks, words, ints, floats, flags, state, run):
        """Parse as `scan` does, and append the rows to `run` from row state[S_RUN_ROWS] on.

        FULL when `run` has no room for another block.
        """
        digest  # noqa: B018
        columns, _ = floats
        run_ints, run_floats, run_flags = run
        size = run_flags.shape[0]
        rows = 0
        while True:
            at = state[S_RUN_ROWS]
            if at + BLOCK > size:
                return FULL, rows
            found, count = _next_block(text, end, width, marks, words, ints, columns, flags, state)
            _copy_rows(
                count, ints, columns, flags, run_ints, run_floats, run_flags, ROOM, 0, size, at
            )
            state[S_RUN_ROWS] += count
            rows += count
            if found != DONE or count == 0:
                return found, rows

    @njit(nogil=True, cache=True)
    def add_rows(run, count, ints, floats, flags, limits, amounts, state, out, jumps):
        """Add the first `count` rows of `run` block by block, as `scan` adds what it parsed."""
        digest  # noqa: B018
        run_ints, run_floats, run_flags = run
        columns, parts = floats
        out_ints, out_floats = out
        size = run_flags.shape[0]
        for at in range(0, count, BLOCK):
            rows = min(BLOCK, count - at)
            _copy_rows(
                rows, run_ints, run_floats, run_flags, ints, columns, flags, size, at, ROOM, 0
            )
            status = add_block(
                rows,
                ints,
                columns,
                flags,
                parts,
                limits,
                amounts,
                state,
                out_ints,
                out_floats,
                jumps,
            )
            if status != DONE:
                return status
        return DONE

    return scan, gather, add_rows


scan, gather, add_rows = _compiled(_digest())
