"""Compiled: rows in (time, id) order to the sums of their minutes, one row after the other."""

from __future__ import annotations

import numpy as np
from numba import njit

from alphaqcm.pipeline.reading.aggtrades.compiled.buffers import (
    A_CONTRACT,
    A_RETAIL,
    A_WHALE,
    C_FIRST,
    C_ID,
    C_LAST,
    C_PRICE,
    C_QUANTITY,
    C_TIME,
    DISORDER,
    DONE,
    F_BUY_QTY,
    F_BUY_QUOTE,
    F_BUY_SQ,
    F_FIRST,
    F_HIGH,
    F_LAST,
    F_LOW,
    F_QUOTE,
    F_RETAIL_BUY,
    F_WHALE_BUY,
    I_BUYS,
    I_COUNT,
    I_FIRST_ID,
    I_FIRST_TS,
    I_LAST_ID,
    I_LAST_TS,
    I_MINUTE,
    I_RAW,
    L_END,
    L_START,
    L_STRICT,
    MAKER,
    ROOM,
    S_ID,
    S_JUMPS,
    S_KEPT_ID,
    S_MINUTE_END,
    S_OUTSIDE,
    S_ROW,
    S_TIME,
    S_ZERO,
)
from alphaqcm.pipeline.reading.aggtrades.compiled.simd import get, put

_MINUTE_US = 60_000_000
_MAKER = np.uint8(MAKER)
_TIMES, _IDS = C_TIME * ROOM, C_ID * ROOM
_PRICES, _QUANTITIES = C_PRICE * ROOM, C_QUANTITY * ROOM


@njit(nogil=True)
def add_block(
    count, ints, floats, flags, parts, limits, amounts, state, out_ints, out_floats, jumps
):
    """Add `count` rows in (time, id) order to their minutes.

    With limits[L_STRICT] ids must rise and times must not fall from row to row, over calls too:
    then no row can occur twice. Returns DISORDER at a block that breaks this. `out_*` hold one line
    a minute of the period; the last one is still open. `jumps` gets a line for every jump of the id
    between kept rows: (last id before, first id after).
    """
    if count == 0:
        return DONE
    strict = limits[L_STRICT] != 0
    if strict and _is_disordered(count, ints, state[S_TIME], state[S_ID]):
        return DISORDER
    state[S_TIME], state[S_ID] = get(ints, _TIMES + count - 1), get(ints, _IDS + count - 1)
    # the rows of the period: times do not fall, so they are one stretch
    begin, end = 0, count
    while begin < end and get(ints, _TIMES + begin) < limits[L_START]:
        begin += 1
    while end > begin and get(ints, _TIMES + end - 1) >= limits[L_END]:
        end -= 1
    state[S_OUTSIDE] += count - (end - begin)
    if begin == end:
        return DONE
    if strict:
        _note_jumps(begin, end, ints, state, jumps)
    if amounts[A_CONTRACT] > 0.0:
        _split_contracts(count, floats, parts, amounts[A_CONTRACT])
    else:
        _multiply(count, floats, parts)
    _split_rows(count, floats, flags, parts, amounts[A_WHALE], amounts[A_RETAIL])
    for row in range(begin, end):
        state[S_ZERO] += 1 if get(floats, _QUANTITIES + row) == 0.0 else 0
    row = begin
    while row < end:
        time = get(ints, _TIMES + row)
        if time >= state[S_MINUTE_END]:
            _open_minute(
                time, get(ints, _IDS + row), get(floats, _PRICES + row), state, out_ints, out_floats
            )
        stop = _end_of_minute(row, end, ints, state[S_MINUTE_END])
        line = state[S_ROW]
        _sum_rows(row, stop, floats, parts, out_floats[line])
        _count_rows(row, stop, ints, flags, out_ints[line])
        row = stop
    return DONE


@njit(nogil=True)
def _is_disordered(count, ints, time, number):
    found = (get(ints, _TIMES) < time) | (get(ints, _IDS) <= number)
    for row in range(1, count):
        found |= (get(ints, _TIMES + row) < get(ints, _TIMES + row - 1)) | (
            get(ints, _IDS + row) <= get(ints, _IDS + row - 1)
        )
    return found


@njit(nogil=True)
def _note_jumps(begin, end, ints, state, jumps):
    kept = state[S_KEPT_ID]
    state[S_KEPT_ID] = get(ints, _IDS + end - 1)
    if get(ints, _IDS + end - 1) - kept == end - begin:
        return  # ids rise, so all are there
    for row in range(begin, end):
        if get(ints, _IDS + row) != kept + 1:
            jumps[state[S_JUMPS], 0] = kept
            jumps[state[S_JUMPS], 1] = get(ints, _IDS + row)
            state[S_JUMPS] += 1
        kept = get(ints, _IDS + row)


@njit(nogil=True)
def _multiply(count, floats, parts):
    """The quote amount of each row."""
    for row in range(count):
        put(
            parts, F_QUOTE * ROOM + row, get(floats, _PRICES + row) * get(floats, _QUANTITIES + row)
        )


@njit(nogil=True)
def _split_contracts(count, floats, parts, contract):
    """The quote amount of each row of contracts, and its quantity in base units instead of them.

    A price of 0 tells no quantity: such a row has none.
    """
    for row in range(count):
        quote = get(floats, _QUANTITIES + row) * contract
        price = get(floats, _PRICES + row)
        put(parts, F_QUOTE * ROOM + row, quote)
        put(floats, _QUANTITIES + row, quote / price if price > 0.0 else 0.0)


@njit(nogil=True)
def _split_rows(count, floats, flags, parts, whale, retail):
    """What each row adds to each sum. One sum a loop: the compiler then makes vector code."""
    for side in range(2):  # taker buys, taker sells; times one or zero is exact
        for row in range(count):
            mine = np.float64(np.int32((get(flags, row) & _MAKER) == side))
            put(parts, (F_BUY_QTY + side) * ROOM + row, get(floats, _QUANTITIES + row) * mine)
            put(parts, (F_BUY_QUOTE + side) * ROOM + row, get(parts, F_QUOTE * ROOM + row) * mine)
        for row in range(count):
            amount = get(parts, (F_BUY_QUOTE + side) * ROOM + row)
            large, small = np.int32(amount >= whale), np.int32(amount <= retail)
            put(parts, (F_BUY_SQ + side) * ROOM + row, amount * amount)
            put(parts, (F_WHALE_BUY + side) * ROOM + row, amount * np.float64(large))
            put(parts, (F_RETAIL_BUY + side) * ROOM + row, amount * np.float64(small))


@njit(nogil=True)
def _open_minute(time, number, price, state, out_ints, out_floats):
    minute = time - time % _MINUTE_US
    line = state[S_ROW] + 1
    state[S_ROW], state[S_MINUTE_END] = line, minute + _MINUTE_US
    out_ints[line, I_MINUTE] = minute
    out_ints[line, I_FIRST_TS] = time
    out_ints[line, I_FIRST_ID] = number
    out_floats[line, F_FIRST] = price
    out_floats[line, F_HIGH] = price
    out_floats[line, F_LOW] = price


@njit(nogil=True)
def _end_of_minute(row, end, ints, minute_end):
    """The first row from `row` on that is not before `minute_end`; `row` itself is."""
    if get(ints, _TIMES + end - 1) < minute_end:
        return end
    before, stop = row, end - 1
    while stop - before > 1:
        middle = (before + stop) // 2
        if get(ints, _TIMES + middle) < minute_end:
            before = middle
        else:
            stop = middle
    return stop


@njit(nogil=True)
def _sum_rows(start, stop, floats, parts, line):
    """Add rows start..stop to a minute's line of floats; sums grow row by row, in order."""
    s0, s1, s2, s3, s4, s5 = line[0], line[1], line[2], line[3], line[4], line[5]
    s6, s7, s8, s9, s10, s11 = line[6], line[7], line[8], line[9], line[10], line[11]
    for row in range(start, stop):
        s0 += get(floats, _QUANTITIES + row)
        s1 += get(parts, ROOM + row)
        s2 += get(parts, 2 * ROOM + row)
        s3 += get(parts, 3 * ROOM + row)
        s4 += get(parts, 4 * ROOM + row)
        s5 += get(parts, 5 * ROOM + row)
        s6 += get(parts, 6 * ROOM + row)
        s7 += get(parts, 7 * ROOM + row)
        s8 += get(parts, 8 * ROOM + row)
        s9 += get(parts, 9 * ROOM + row)
        s10 += get(parts, 10 * ROOM + row)
        s11 += get(parts, 11 * ROOM + row)
    line[0], line[1], line[2], line[3], line[4], line[5] = s0, s1, s2, s3, s4, s5
    line[6], line[7], line[8], line[9], line[10], line[11] = s6, s7, s8, s9, s10, s11
    high, low = line[F_HIGH], line[F_LOW]
    for row in range(start, stop):
        price = get(floats, _PRICES + row)
        high = price if price > high else high
        low = price if price < low else low
    line[F_HIGH], line[F_LOW], line[F_LAST] = high, low, get(floats, _PRICES + stop - 1)


@njit(nogil=True)
def _count_rows(start, stop, ints, flags, line):
    """Add rows start..stop to a minute's line of whole numbers."""
    sells = np.int64(0)
    raw = np.int64(0)
    for row in range(start, stop):
        sells += np.int64(get(flags, row) & _MAKER)
        raw += get(ints, C_LAST * ROOM + row) - get(ints, C_FIRST * ROOM + row) + 1
    line[I_COUNT] += stop - start
    line[I_BUYS] += stop - start - sells
    line[I_RAW] += raw
    line[I_LAST_TS] = get(ints, _TIMES + stop - 1)
    line[I_LAST_ID] = get(ints, _IDS + stop - 1)
