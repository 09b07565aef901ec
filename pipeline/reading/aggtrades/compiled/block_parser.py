"""Compiled: the text of a block of rows to columns, eight digits at a time.

    index   64 bytes at a time: where the commas and the line ends are
    cut     row after row: each field, right-aligned in words of eight bytes
    parse   column after column: words to numbers, with every wrong byte noticed

A row that does not look ordinary ends the block; `line_parser` then decides about it.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from alphaqcm.pipeline.domain.registry import EPOCH_US_FROM
from alphaqcm.pipeline.reading.aggtrades.compiled.buffers import (
    BLOCK,
    C_FIRST,
    C_LAST,
    C_TIME,
    MARKS,
    MAX_DECIMAL,
    ROOM,
    SPAN_LIMIT,
    W_BEST,
    W_FIRST,
    W_ID,
    W_LAST,
    W_MAKER,
    W_PRICE,
    W_QUANTITY,
    W_TIME,
    X_INT,
    X_PRICE,
    X_QUANTITY,
)
from alphaqcm.pipeline.reading.aggtrades.compiled.simd import (
    ALL,
    HIGHS,
    ONES,
    U0,
    U1,
    U8,
    U56,
    U,
    byte,
    count_ones,
    equal64,
    get,
    load8,
    mark,
    put,
    put_mark,
    value8,
    zeros_below,
)

_COMMA, _NEWLINE, _RETURN, _DOT = 0x2C, 0x0A, 0x0D, 0x2E
_ZEROS = U(0x3030303030303030)
_DOTS = U(0x1E1E1E1E1E1E1E1E)  # a dot as digit value
_TO_HIGH = U(0x7676767676767676)  # a digit value + 0x76 stays below 0x80, others do not
_E8 = U(100_000_000)
# booleans: the last byte in the highest place, the size in the lowest
_TRUE = tuple(
    U(int.from_bytes(b"\4\0\0\0" + text, "little")) for text in (b"true", b"True", b"TRUE")
)
_FALSE = tuple(
    U(int.from_bytes(b"\5\0\0" + text, "little")) for text in (b"false", b"False", b"FALSE")
)
_NO_FLAG, _MAKER, _BEST = np.uint8(0), np.uint8(1), np.uint8(2)
_FULL = 2**64 - 1
# which bytes of two words belong to a field of n + 1 bytes
_LOW_MASK = np.array([(_FULL << (64 - 8 * min(n, 8))) & _FULL for n in range(1, 17)], np.uint64)
_HIGH_MASK = np.array([(_FULL << (128 - 8 * max(n, 8))) & _FULL for n in range(1, 17)], np.uint64)
_EXACT_MANTISSA = 2**53
_POWERS = np.array([10.0**n for n in range(23)])  # exact doubles


@njit(nogil=True)
def index_block(text, start, end, commas, newlines):
    """Find commas and line ends of up to BLOCK lines of `text[start:end]`.

    Returns their numbers; no line and more than MARKS - 64 commas: a line of commas alone.
    """
    comma_count = 0
    line_count = 0
    at = start
    while at < end and line_count < BLOCK and comma_count < MARKS - 64:
        valid = ALL
        if end - at < 64:
            valid = (U1 << U(end - at)) - U1
        found = equal64(text, at, _COMMA) & valid
        number = count_ones(found)
        for n in range(8):  # more than there are, mostly: cheaper than to ask each time
            put_mark(commas, comma_count + n, at + zeros_below(found))
            found &= found - U1
        for n in range(8, number):
            put_mark(commas, comma_count + n, at + zeros_below(found))
            found &= found - U1
        comma_count += number
        found = equal64(text, at, _NEWLINE) & valid
        number = count_ones(found)
        put_mark(newlines, line_count, at + zeros_below(found))
        for n in range(1, number):
            found &= found - U1
            put_mark(newlines, line_count + n, at + zeros_below(found))
        line_count += number
        at += 64
    return comma_count, min(line_count, BLOCK)


@njit(nogil=True)
def _cut(text, end, size, words, at):
    """Store the digit values of a field of `size + 1` bytes, right-aligned in 16, zeros before."""
    put(words, at, (load8(text, end - 8) ^ _ZEROS) & _LOW_MASK[size & 15])
    put(words, at + ROOM, (load8(text, end - 16) ^ _ZEROS) & _HIGH_MASK[size & 15])


@njit(nogil=True)
def cut_block(text, start, width, comma_count, line_count, commas, newlines, words, wrong):
    """Cut indexed lines of `width` fields into words; stops before a line of another form.

    Returns the number of rows cut.
    """
    step = width - 1
    line = start
    rows = min(line_count, comma_count // step)
    for row in range(rows):
        put(wrong, X_INT * ROOM + row, U0)
        put(wrong, X_PRICE * ROOM + row, U0)
        put(wrong, X_QUANTITY * ROOM + row, U0)
    for row in range(rows):
        first = row * step
        newline = mark(newlines, row)
        c0, c1, c2 = mark(commas, first), mark(commas, first + 1), mark(commas, first + 2)
        c3, c4, c5 = mark(commas, first + 3), mark(commas, first + 4), mark(commas, first + 5)
        # sizes less one: from 0 to 15 for every ordinary field, so no other bit is set in any
        n0, n1, n2 = c0 - line - 1, c1 - c0 - 2, c2 - c1 - 2
        n3, n4, n5 = c3 - c2 - 2, c4 - c3 - 2, c5 - c4 - 2
        if (n0 | n1 | n2 | n3 | n4 | n5) & ~15 != 0:
            if (n0 | n3 | n4 | n5) & ~15 != 0 or min(n1, n2) < 0 or max(n1, n2) >= MAX_DECIMAL:
                return row
            # a decimal too long for two words is parsed digit by digit
            if n1 > 15:
                put(wrong, X_PRICE * ROOM + row, HIGHS)
                n1 = 15
            if n2 > 15:
                put(wrong, X_QUANTITY * ROOM + row, HIGHS)
                n2 = 15
        if byte(text, c0 + 1) == _DOT:
            put(wrong, X_PRICE * ROOM + row, HIGHS)
        if byte(text, c1 + 1) == _DOT:
            put(wrong, X_QUANTITY * ROOM + row, HIGHS)
        _cut(text, c0, n0, words, W_ID * ROOM + row)
        _cut(text, c1, n1, words, W_PRICE * ROOM + row)
        _cut(text, c2, n2, words, W_QUANTITY * ROOM + row)
        _cut(text, c3, n3, words, W_FIRST * ROOM + row)
        _cut(text, c4, n4, words, W_LAST * ROOM + row)
        _cut(text, c5, n5, words, W_TIME * ROOM + row)
        # the last field ends with its line, so a line with more fields has none of this size
        end = newline - (1 if byte(text, newline - 1) == _RETURN else 0)
        if step == 7:
            c6 = mark(commas, first + 6)
            size = end - c6 - 1
            if size < 4 or size > 5:
                return row
            put(words, W_BEST * ROOM + row, (load8(text, c6 + 1) << U(64 - 8 * size)) | U(size))
            end = c6
        size = end - c5 - 1
        if size < 4 or size > 5:
            return row
        put(words, W_MAKER * ROOM + row, (load8(text, c5 + 1) << U(64 - 8 * size)) | U(size))
        line = newline + 1
    return rows


@njit(nogil=True)
def parse_block(text, count, commas, width, words, wrong, ints, floats, flags):
    """Turn the words of `count` rows into columns; returns the rows up to the first odd one."""
    for field in range(4):
        _parse_whole(count, words, 2 * field, wrong, ints, field)
    for row in range(count):
        time = get(ints, C_TIME * ROOM + row)
        put(ints, C_TIME * ROOM + row, time if time >= EPOCH_US_FROM else time * 1000)
        span = get(ints, C_LAST * ROOM + row) - get(ints, C_FIRST * ROOM + row)
        put(
            wrong,
            X_INT * ROOM + row,
            get(wrong, X_INT * ROOM + row) | (U0 if (span >= 0) & (span < SPAN_LIMIT) else HIGHS),
        )
        put(flags, row, _NO_FLAG)
    _parse_boolean(count, words, W_MAKER, wrong, flags, _MAKER)
    if width == 8:
        _parse_boolean(count, words, W_BEST, wrong, flags, _BEST)
    for field in range(2):
        _parse_decimal(count, words, W_PRICE + 2 * field, wrong, X_PRICE + field, floats, field)
    return _first_odd(text, count, commas, width, wrong, floats)


@njit(nogil=True)
def _parse_whole(count, words, slot, wrong, ints, field):
    for row in range(count):
        low, high = get(words, slot * ROOM + row), get(words, (slot + 1) * ROOM + row)
        put(
            wrong,
            X_INT * ROOM + row,
            get(wrong, X_INT * ROOM + row) | ((low + _TO_HIGH) | low | (high + _TO_HIGH) | high),
        )
        put(ints, field * ROOM + row, np.int64(value8(high) * _E8 + value8(low)))


@njit(nogil=True)
def _parse_boolean(count, words, slot, wrong, flags, flag):
    for row in range(count):
        word = get(words, slot * ROOM + row)
        yes = (word == _TRUE[0]) | (word == _TRUE[1]) | (word == _TRUE[2])
        no = (word == _FALSE[0]) | (word == _FALSE[1]) | (word == _FALSE[2])
        put(wrong, X_INT * ROOM + row, get(wrong, X_INT * ROOM + row) | (U0 if yes | no else HIGHS))
        put(flags, row, get(flags, row) | (flag if yes else _NO_FLAG))


@njit(nogil=True)
def _parse_decimal(count, words, slot, wrong, wrong_slot, floats, field):
    """Digits with at most one dot among them, 16 bytes together; exact, so correctly rounded."""
    for row in range(count):
        low, high = get(words, slot * ROOM + row), get(words, (slot + 1) * ROOM + row)
        other = low ^ _DOTS
        low_dots = (other - ONES) & ~other & HIGHS  # the lowest bit set is at the first dot
        other = high ^ _DOTS
        high_dots = (other - ONES) & ~other & HIGHS
        in_low, in_high = low_dots != U0, high_dots != U0
        # take the dot out: the bytes before it move up by one
        below = low_dots ^ (low_dots - U1)  # every bit of the bytes up to the dot
        below_high = high_dots ^ (high_dots - U1)
        low_cut = (low & ~below) | ((low & (below >> U8)) << U8) | (high >> U56)
        high_cut = (high & ~below_high) | ((high & (below_high >> U8)) << U8)
        places = np.int64(7) - (zeros_below(low_dots) >> 3)
        places_high = np.int64(15) - (zeros_below(high_dots) >> 3)
        places = places if in_low else (places_high if in_high else np.int64(0))
        high = (high << U8) if in_low else (high_cut if in_high else high)
        low = low_cut if in_low else low
        mantissa = np.int64(value8(high) * _E8 + value8(low))
        bad = (low + _TO_HIGH) | low | (high + _TO_HIGH) | high
        dot_is_last = (in_low | in_high) & (places == 0)
        bad |= HIGHS if dot_is_last | (mantissa > _EXACT_MANTISSA) else U0
        put(wrong, wrong_slot * ROOM + row, get(wrong, wrong_slot * ROOM + row) | (bad))
        put(floats, field * ROOM + row, np.float64(mantissa) / _POWERS[places])


@njit(nogil=True)
def _first_odd(text, count, commas, width, wrong, floats):
    """The first row that is left to others; decimals of a rare form are parsed here."""
    everything = U0
    for row in range(count):
        everything |= get(wrong, X_INT * ROOM + row)
        everything |= get(wrong, X_PRICE * ROOM + row) | get(wrong, X_QUANTITY * ROOM + row)
    if everything & HIGHS == U0:
        return count
    for row in range(count):
        if get(wrong, X_INT * ROOM + row) & HIGHS != U0:
            return row
        for field in range(2):
            if get(wrong, (X_PRICE + field) * ROOM + row) & HIGHS != U0:
                comma = row * (width - 1) + field
                value = _any_decimal(text, mark(commas, comma) + 1, mark(commas, comma + 1))
                if value < 0.0:
                    return row
                put(floats, field * ROOM + row, value)
    return count


@njit(nogil=True)
def _any_decimal(text, start, end):
    """A decimal of any ordinary form, digit by digit; negative where it is left to others.

    Exact: digits without the zeros at the end make an integer of at most 2**53 and the power of ten
    is at most 22, so the one division or product is correctly rounded.
    """
    mantissa = np.int64(0)
    zeros = 0  # digits 0 not yet part of the mantissa
    scale = 0  # power of ten of the last digit
    digits = 0
    at = start
    fraction = False
    while at < end:
        value = np.int64(byte(text, at))
        digit = value - 48
        if value == _DOT and not fraction and digits > 0:
            fraction = True
        elif digit < 0 or digit > 9:
            break
        else:
            digits += 1
            scale -= 1 if fraction else 0
            zeros += 1
            if digit != 0:
                while zeros > 0:
                    mantissa *= 10
                    zeros = zeros - 1 if mantissa > 0 else 0
                    if mantissa > _EXACT_MANTISSA:
                        return -1.0
                mantissa += digit
                if mantissa > _EXACT_MANTISSA:
                    return -1.0
        at += 1
    scale += zeros
    if digits == 0 or byte(text, at - 1) == _DOT:
        return -1.0
    if at < end:
        exponent = _exponent(text, at, end)
        if exponent == -9999:
            return -1.0
        scale += exponent
    if mantissa == 0:
        return 0.0
    if scale < -22 or scale > 22:
        return -1.0
    if scale < 0:
        return np.float64(mantissa) / _POWERS[-scale]
    return np.float64(mantissa) * _POWERS[scale]


@njit(nogil=True)
def _exponent(text, at, end):
    """What e or E and one to three digits say; -9999 where it is none."""
    if (byte(text, at) | 0x20) != 0x65:
        return -9999
    at += 1
    sign = 1
    if at < end and (byte(text, at) == 0x2D or byte(text, at) == 0x2B):
        sign = -1 if byte(text, at) == 0x2D else 1
        at += 1
    if at >= end or end - at > 3:
        return -9999
    exponent = 0
    while at < end:
        digit = np.int64(byte(text, at)) - 48
        if digit < 0 or digit > 9:
            return -9999
        exponent = exponent * 10 + digit
        at += 1
    return sign * exponent
