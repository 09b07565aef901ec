"""The compiled part: CSV bytes to columns of a few hundred rows, and those rows to minutes.

Three passes over a block of rows that stays in the CPU's cache:

    index   64 bytes at a time: where the commas and the line ends are
    parse   eight digits at a time: the fields of each row to numbers
    add     the rows, in order, to the sums of their minute

Every line whose form is not the ordinary one is left to `pipeline.aggtrades.lines`, which decides
what is a value and what is an error. All compiled code is in this one file, because numba's cache
looks at the file of the function alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

BLOCK = 512
"""Rows that are indexed, parsed and added at a time."""

ROOM = BLOCK + 8
"""Rows a column has room for; no power of two, so that columns differ in their cache sets."""

MAX_DECIMAL = 100
"""Bytes of the longest number that is believed."""

FRONT_PAD = 16
"""Bytes before the text that may be read (never used)."""

BACK_PAD = 64
"""Bytes after the text that may be read (never used)."""

# status of `scan`, `gather` and `add_block`
DONE, ODD, DISORDER, FULL = 0, 1, 2, 3

# limits: what `add_block` holds the rows against
(L_START, L_END, L_STRICT) = range(3)

# state: where `scan` and `add_block` stand in the file
(
    S_POSITION,  # in the text
    S_TIME,  # of the last row
    S_ID,  # of the last row
    S_KEPT_ID,  # of the last row inside the period
    S_ROW,  # the open minute's line, -1 before the first
    S_MINUTE_END,  # of the open minute
    S_OUTSIDE,  # rows outside the period
    S_ZERO,  # rows of the period without quantity
    S_JUMPS,  # lines of `jumps` in use
    S_RUN_ROWS,  # rows of `run` in use
) = range(10)
STATE_SIZE = 10
BEFORE = -(2**62)  # less than any time or id

# ints of a minute
(I_MINUTE, I_COUNT, I_BUYS, I_FIRST_TS, I_LAST_TS, I_FIRST_ID, I_LAST_ID, I_RAW) = range(8)
INTS = 8
# floats of a minute
(
    F_BASE,
    F_QUOTE,
    F_BUY_QTY,
    F_SELL_QTY,
    F_BUY_QUOTE,
    F_SELL_QUOTE,
    F_BUY_SQ,
    F_SELL_SQ,
    F_WHALE_BUY,
    F_WHALE_SELL,
    F_RETAIL_BUY,
    F_RETAIL_SELL,
    F_FIRST,
    F_LAST,
    F_HIGH,
    F_LOW,
) = range(16)
FLOATS = 16

# integer columns of a block of rows
(C_ID, C_FIRST, C_LAST, C_TIME) = range(4)
# float columns
(C_PRICE, C_QUANTITY) = range(2)
# bits of a row's flags
MAKER, BEST = 1, 2

# words of a row: two a number (the last eight bytes, the eight before), one a boolean
(W_ID, W_FIRST, W_LAST, W_TIME, W_PRICE, W_QUANTITY) = range(0, 12, 2)
W_MAKER, W_BEST = 12, 13
WORDS = 14
PARTS = 12  # what a row adds to the first sums of a minute
# where a row has a byte that is no digit: in a whole number or boolean, in a decimal
(X_INT, X_PRICE, X_QUANTITY) = range(3)

_U = np.uint64
_ZEROS = _U(0x3030303030303030)
_DOTS = _U(0x1E1E1E1E1E1E1E1E)  # a dot as digit value
_ONES = _U(0x0101010101010101)
_HIGHS = _U(0x8080808080808080)
_TO_HIGH = _U(0x7676767676767676)  # a digit + 0x76 stays below 0x80, ten and more do not
_ALL = _U(0xFFFFFFFFFFFFFFFF)
_PAIRS = _U(0x000000FF000000FF)
_MUL_A = _U(0x000F424000000064)
_MUL_B = _U(0x0000271000000001)
_E8 = _U(100_000_000)
_U0, _U1, _U3, _U8, _U10, _U16, _U24, _U32, _U56, _U63 = (
    _U(n) for n in (0, 1, 3, 8, 10, 16, 24, 32, 56, 63)
)
# booleans, their last byte in the highest place
_TRUE = tuple(_U(int.from_bytes(text, "little") << 32) for text in (b"true", b"True", b"TRUE"))
_FALSE = tuple(_U(int.from_bytes(text, "little") << 24) for text in (b"false", b"False", b"FALSE"))
_U8B0, _U8B1, _U8B2 = np.uint8(0), np.uint8(1), np.uint8(2)
_FULL = 2**64 - 1
# which bytes of two words belong to a field of n + 1 bytes
_LOW_MASK = np.array([(_FULL << (64 - 8 * min(n, 8))) & _FULL for n in range(1, 17)], np.uint64)
_HIGH_MASK = np.array([(_FULL << (128 - 8 * max(n, 8))) & _FULL for n in range(1, 17)], np.uint64)

_EXACT_MANTISSA = 2**53
_POWERS = np.array([10.0**n for n in range(23)])  # exact doubles
_COMMA, _NEWLINE, _RETURN, _DOT = 0x2C, 0x0A, 0x0D, 0x2E
_MS_BELOW = 10**14
_MINUTE_US = 60_000_000
_SPAN_LIMIT = 10**9  # raw trades of one aggTrade: so that no sum of them can overflow


def _pointer(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """Address of element `arguments[1]` of the byte array `arguments[0]`."""
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    return builder.gep(array.data, [arguments[1]], source_etype=ir.IntType(8))


@intrinsic
def _load8(typing: Any, text: Any, at: Any) -> Any:
    """The eight bytes from `at` on as a little-endian number."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address = _pointer(context, builder, signature, arguments)
        return builder.load(address, align=1, typ=ir.IntType(64))

    return types.uint64(text, types.int64), generate


@intrinsic
def _mark(typing: Any, marks: Any, at: Any) -> Any:
    """Number `at` of an int32 array; `at` is not negative, so there is no wrapping around."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        address = builder.gep(array.data, [arguments[1]], source_etype=ir.IntType(32))
        value = builder.load(address, align=4, typ=ir.IntType(32))
        return builder.sext(value, ir.IntType(64))

    return types.int64(marks, types.int64), generate


@intrinsic
def _byte(typing: Any, text: Any, at: Any) -> Any:
    """The byte at `at`, which is not negative."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address = _pointer(context, builder, signature, arguments)
        return builder.load(address, align=1, typ=ir.IntType(8))

    return types.uint8(text, types.int64), generate


@intrinsic
def _equal64(typing: Any, text: Any, at: Any, byte: Any) -> Any:
    """Bit n is set where byte `at + n` equals `byte`, for 64 bytes."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = ir.VectorType(ir.IntType(8), 64)
        address = _pointer(context, builder, signature, arguments)
        block = builder.load(address, align=1, typ=vector)
        one = builder.insert_element(
            ir.Constant(vector, ir.Undefined), arguments[2], ir.Constant(ir.IntType(32), 0)
        )
        every = builder.shuffle_vector(
            one,
            ir.Constant(vector, ir.Undefined),
            ir.Constant(ir.VectorType(ir.IntType(32), 64), [0] * 64),
        )
        return builder.bitcast(builder.icmp_unsigned("==", block, every), ir.IntType(64))

    return types.uint64(text, types.int64, types.uint8), generate


@intrinsic
def _zeros_below(typing: Any, bits: Any) -> Any:
    """Number of zero bits below the lowest set one; 64 for none."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), generate


@intrinsic
def _count_ones(typing: Any, bits: Any) -> Any:
    """Number of set bits."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), generate


@njit(nogil=True, cache=True, inline="always")
def _value8(digits):
    """Eight digit values, the first in the lowest byte, as one number."""
    pairs = digits * _U10 + (digits >> _U8)
    return ((pairs & _PAIRS) * _MUL_A + ((pairs >> _U16) & _PAIRS) * _MUL_B) >> _U32


@njit(nogil=True, cache=True)
def index_block(text, start, end, commas, newlines):
    """Find commas and line ends of up to BLOCK lines of `text[start:end]`.

    Returns their numbers. Both arrays need room for 64 more than is asked for.
    """
    comma_count = 0
    line_count = 0
    comma_limit = commas.shape[0] - 64
    at = start
    while at < end and line_count < BLOCK and comma_count < comma_limit:
        valid = _ALL
        if end - at < 64:
            valid = (_U1 << _U(end - at)) - _U1
        found = _equal64(text, at, _COMMA) & valid
        number = _count_ones(found)
        for n in range(8):
            commas[comma_count + n] = at + _zeros_below(found)
            found &= found - _U1
        if number > 8:
            for n in range(8, number):
                commas[comma_count + n] = at + _zeros_below(found)
                found &= found - _U1
        comma_count += number
        found = _equal64(text, at, _NEWLINE) & valid
        number = _count_ones(found)
        newlines[line_count] = at + _zeros_below(found)
        found &= found - _U1
        for n in range(1, number):
            newlines[line_count + n] = at + _zeros_below(found)
            found &= found - _U1
        line_count += number
        at += 64
    return comma_count, min(line_count, BLOCK)


@njit(nogil=True, cache=True)
def _decimal(text, start, end):
    """A decimal of any ordinary form, digit by digit; negative where it is left to others.

    Exact: digits without the zeros at the end make an integer of at most 2**53 and the power of ten
    at most 22, so the one division or product is correctly rounded.
    """
    mantissa = np.int64(0)
    zeros = 0  # digits 0 not yet part of the mantissa
    scale = 0  # power of ten of the mantissa's last digit
    digits = 0
    at = start
    fraction = False
    while at < end:
        byte = np.int64(text[at])
        if byte == _DOT and not fraction and digits > 0:
            fraction = True
            at += 1
            continue
        digit = byte - 48
        if digit < 0 or digit > 9:
            break
        digits += 1
        if digit == 0 and mantissa == 0:
            if fraction:
                scale -= 1
        elif digit == 0:
            zeros += 1
            if fraction:
                scale -= 1
        else:
            for _ in range(zeros + 1):
                mantissa *= 10
                if mantissa > _EXACT_MANTISSA:
                    return -1.0
            zeros = 0
            mantissa += digit
            if mantissa > _EXACT_MANTISSA:
                return -1.0
            if fraction:
                scale -= 1
        at += 1
    scale += zeros
    if digits == 0 or (fraction and text[at - 1] == _DOT):
        return -1.0
    if at < end:
        if (text[at] | 0x20) != 0x65:  # e or E
            return -1.0
        at += 1
        sign = 1
        if at < end and (text[at] == 0x2D or text[at] == 0x2B):
            sign = -1 if text[at] == 0x2D else 1
            at += 1
        if at >= end or end - at > 3:
            return -1.0
        exponent = 0
        while at < end:
            digit = np.int64(text[at]) - 48
            if digit < 0 or digit > 9:
                return -1.0
            exponent = exponent * 10 + digit
            at += 1
        scale += sign * exponent
    if mantissa == 0:
        return 0.0
    if scale < -22 or scale > 22:
        return -1.0
    if scale < 0:
        return np.float64(mantissa) / _POWERS[-scale]
    return np.float64(mantissa) * _POWERS[scale]


@njit(nogil=True, cache=True)
def _cut(text, end, size, words, slot, row):
    """Store the digit values of a field of `size + 1` bytes, right-aligned in 16, zeros before."""
    words[slot, row] = (_load8(text, end - 8) ^ _ZEROS) & _LOW_MASK[size & 15]
    words[slot + 1, row] = (_load8(text, end - 16) ^ _ZEROS) & _HIGH_MASK[size & 15]


@njit(nogil=True, cache=True)
def cut_block(text, start, width, comma_count, line_count, commas, newlines, words, wrong):
    """Cut indexed lines of `width` fields into words; stops before a line of another form.

    Returns the number of rows cut.
    """
    step = width - 1
    line = start
    rows = min(line_count, comma_count // step)
    for row in range(rows):
        wrong[X_INT, row] = _U0
        wrong[X_PRICE, row] = _U0
        wrong[X_QUANTITY, row] = _U0
    for row in range(rows):
        first = row * step
        newline = _mark(newlines, row)
        c0 = _mark(commas, first)
        c1 = _mark(commas, first + 1)
        c2 = _mark(commas, first + 2)
        c3 = _mark(commas, first + 3)
        c4 = _mark(commas, first + 4)
        c5 = _mark(commas, first + 5)
        # sizes less one: from 0 to 15 for every ordinary field, so no other bit is set in any
        n0, n1, n2 = c0 - line - 1, c1 - c0 - 2, c2 - c1 - 2
        n3, n4, n5 = c3 - c2 - 2, c4 - c3 - 2, c5 - c4 - 2
        if (n0 | n1 | n2 | n3 | n4 | n5) & ~15 != 0:
            if (n0 | n3 | n4 | n5) & ~15 != 0 or min(n1, n2) < 0 or max(n1, n2) >= MAX_DECIMAL:
                return row
            # a decimal too long for two words is parsed digit by digit
            if n1 > 15:
                wrong[X_PRICE, row] = _HIGHS
                n1 = 15
            if n2 > 15:
                wrong[X_QUANTITY, row] = _HIGHS
                n2 = 15
        if _byte(text, c0 + 1) == _DOT:
            wrong[X_PRICE, row] = _HIGHS
        if _byte(text, c1 + 1) == _DOT:
            wrong[X_QUANTITY, row] = _HIGHS
        _cut(text, c0, n0, words, W_ID, row)
        _cut(text, c1, n1, words, W_PRICE, row)
        _cut(text, c2, n2, words, W_QUANTITY, row)
        _cut(text, c3, n3, words, W_FIRST, row)
        _cut(text, c4, n4, words, W_LAST, row)
        _cut(text, c5, n5, words, W_TIME, row)
        # the last field ends with its line, so a line with more fields has none of this size
        end = newline - (1 if _byte(text, newline - 1) == _RETURN else 0)
        if step == 7:
            c6 = _mark(commas, first + 6)
            size = end - c6 - 1
            if size < 4 or size > 5:
                return row
            words[W_BEST, row] = _load8(text, c6 + 1) << _U(64 - 8 * size)
            end = c6
        size = end - c5 - 1
        if size < 4 or size > 5:
            return row
        words[W_MAKER, row] = _load8(text, c5 + 1) << _U(64 - 8 * size)
        line = newline + 1
    return rows


@njit(nogil=True, cache=True)
def parse_block(text, count, commas, width, words, wrong, ints, floats, flags):
    """Turn the words of `count` rows into columns; returns the rows up to the first odd one.

    Loops over one column at a time: the compiler makes vector code of them.
    """
    for field in range(4):
        for row in range(count):
            low, high = words[2 * field, row], words[2 * field + 1, row]
            wrong[X_INT, row] |= (low + _TO_HIGH) | low | (high + _TO_HIGH) | high
            ints[field, row] = np.int64(_value8(high) * _E8 + _value8(low))
    for row in range(count):
        time = ints[C_TIME, row]
        ints[C_TIME, row] = time if time >= _MS_BELOW else time * 1000
        span = ints[C_LAST, row] - ints[C_FIRST, row]
        wrong[X_INT, row] |= _U0 if (span >= 0) & (span < _SPAN_LIMIT) else _HIGHS
    for row in range(count):
        word = words[W_MAKER, row]
        yes = (word == _TRUE[0]) | (word == _TRUE[1]) | (word == _TRUE[2])
        no = (word == _FALSE[0]) | (word == _FALSE[1]) | (word == _FALSE[2])
        wrong[X_INT, row] |= _U0 if yes | no else _HIGHS
        flags[row] = _U8B1 if yes else _U8B0
    if width == 8:
        for row in range(count):
            word = words[W_BEST, row]
            yes = (word == _TRUE[0]) | (word == _TRUE[1]) | (word == _TRUE[2])
            no = (word == _FALSE[0]) | (word == _FALSE[1]) | (word == _FALSE[2])
            wrong[X_INT, row] |= _U0 if yes | no else _HIGHS
            flags[row] |= _U8B2 if yes else _U8B0
    for field in range(2):
        for row in range(count):
            low, high = words[W_PRICE + 2 * field, row], words[W_PRICE + 2 * field + 1, row]
            other = low ^ _DOTS
            low_dots = (other - _ONES) & ~other & _HIGHS
            other = high ^ _DOTS
            high_dots = (other - _ONES) & ~other & _HIGHS
            in_low, in_high = low_dots != _U0, high_dots != _U0
            below = low_dots ^ (low_dots - _U1)  # every bit of the bytes up to the dot
            below_high = high_dots ^ (high_dots - _U1)
            low_cut = (low & ~below) | ((low & (below >> _U8)) << _U8) | (high >> _U56)
            high_cut = (high & ~below_high) | ((high & (below_high >> _U8)) << _U8)
            places = np.int64(7) - (_zeros_below(low_dots) >> 3)
            places_high = np.int64(15) - (_zeros_below(high_dots) >> 3)
            places = places if in_low else (places_high if in_high else np.int64(0))
            high = (high << _U8) if in_low else (high_cut if in_high else high)
            low = low_cut if in_low else low
            mantissa = np.int64(_value8(high) * _E8 + _value8(low))
            bad = (low + _TO_HIGH) | low | (high + _TO_HIGH) | high
            ends = (in_low | in_high) & (places == 0)
            bad |= _HIGHS if ends | (mantissa > _EXACT_MANTISSA) else _U0
            wrong[X_PRICE + field, row] |= bad
            floats[field, row] = np.float64(mantissa) / _POWERS[places]
    everything = _U0
    for row in range(count):
        everything |= wrong[X_INT, row] | wrong[X_PRICE, row] | wrong[X_QUANTITY, row]
    if everything & _HIGHS == _U0:
        return count
    for row in range(count):
        if wrong[X_INT, row] & _HIGHS != _U0:
            return row
        for field in range(2):
            if wrong[X_PRICE + field, row] & _HIGHS != _U0:
                comma = row * (width - 1) + field
                value = _decimal(text, np.int64(commas[comma]) + 1, np.int64(commas[comma + 1]))
                if value < 0.0:
                    return row
                floats[field, row] = value
    return count


@njit(nogil=True, cache=True)
def _split_rows(count, floats, flags, parts, whale, retail):
    """What each row adds to each sum. One sum a loop: the compiler then makes vector code."""
    for row in range(count):
        parts[F_QUOTE, row] = floats[C_PRICE, row] * floats[C_QUANTITY, row]
    for side in range(2):  # taker buys, taker sells; times one or zero is exact
        for row in range(count):
            mine = np.float64(np.int32((flags[row] & _U8B1) == side))
            parts[F_BUY_QTY + side, row] = floats[C_QUANTITY, row] * mine
            parts[F_BUY_QUOTE + side, row] = parts[F_QUOTE, row] * mine
        for row in range(count):
            amount = parts[F_BUY_QUOTE + side, row]
            parts[F_BUY_SQ + side, row] = amount * amount
        for row in range(count):
            amount = parts[F_BUY_QUOTE + side, row]
            parts[F_WHALE_BUY + side, row] = amount * np.float64(np.int32(amount >= whale))
        for row in range(count):
            amount = parts[F_BUY_QUOTE + side, row]
            parts[F_RETAIL_BUY + side, row] = amount * np.float64(np.int32(amount <= retail))


@njit(nogil=True, cache=True)
def add_block(
    count, ints, floats, flags, parts, limits, thresholds, state, out_ints, out_floats, jumps
):
    """Add `count` rows in (time, id) order to their minutes.

    With limits[L_STRICT] ids must rise and times must not fall from row to row, over calls too:
    then no row can occur twice. Returns DISORDER at a block that breaks this. `out_*` hold one line
    a minute of the period; the last one is still open. `jumps` gets a line for every jump of the id
    between kept rows: (last id before, first id after).
    """
    if count == 0:
        return DONE
    if limits[L_STRICT] != 0:
        falls = ints[C_TIME, 0] < state[S_TIME] or ints[C_ID, 0] <= state[S_ID]
        for row in range(1, count):
            falls |= (ints[C_TIME, row] < ints[C_TIME, row - 1]) | (
                ints[C_ID, row] <= ints[C_ID, row - 1]
            )
        if falls:
            return DISORDER
    state[S_TIME], state[S_ID] = ints[C_TIME, count - 1], ints[C_ID, count - 1]
    # the rows of the period: times do not fall, so they are one stretch
    begin, end = 0, count
    while begin < end and ints[C_TIME, begin] < limits[L_START]:
        begin += 1
    while end > begin and ints[C_TIME, end - 1] >= limits[L_END]:
        end -= 1
    state[S_OUTSIDE] += count - (end - begin)
    if begin == end:
        return DONE
    if limits[L_STRICT] != 0:
        kept = state[S_KEPT_ID]
        if ints[C_ID, end - 1] - kept != end - begin:
            for row in range(begin, end):
                if ints[C_ID, row] != kept + 1:
                    jumps[state[S_JUMPS], 0] = kept
                    jumps[state[S_JUMPS], 1] = ints[C_ID, row]
                    state[S_JUMPS] += 1
                kept = ints[C_ID, row]
        state[S_KEPT_ID] = ints[C_ID, end - 1]
    _split_rows(count, floats, flags, parts, thresholds[0], thresholds[1])
    zeros = 0
    begin = max(begin, 0)
    for row in range(begin, end):
        zeros += 1 if floats[C_QUANTITY, row] == 0.0 else 0
    state[S_ZERO] += zeros
    row = begin
    k = state[S_ROW]
    while row < end:
        minute_end = state[S_MINUTE_END]
        if ints[C_TIME, row] >= minute_end:
            k += 1
            minute = ints[C_TIME, row] - ints[C_TIME, row] % _MINUTE_US
            minute_end = minute + _MINUTE_US
            state[S_ROW], state[S_MINUTE_END] = k, minute_end
            out_ints[k, I_MINUTE] = minute
            out_ints[k, I_FIRST_TS] = ints[C_TIME, row]
            out_ints[k, I_FIRST_ID] = ints[C_ID, row]
            out_floats[k, F_FIRST] = floats[C_PRICE, row]
            out_floats[k, F_HIGH] = floats[C_PRICE, row]
            out_floats[k, F_LOW] = floats[C_PRICE, row]
        stop = end
        if ints[C_TIME, end - 1] >= minute_end:  # the minute ends in this block: where?
            before = row
            while stop - before > 1:
                middle = (before + stop) // 2
                if ints[C_TIME, middle] < minute_end:
                    before = middle
                else:
                    stop = middle
        _sum_rows(row, stop, k, ints, floats, flags, parts, out_ints, out_floats)
        row = stop
    return DONE


@njit(nogil=True, cache=True)
def _sum_rows(start, stop, k, ints, floats, flags, parts, out_ints, out_floats):
    """Add rows start..stop, all of one minute, to line k; sums grow row by row, in order."""
    start = max(start, 0)  # tells the compiler that no index wraps around
    s0, s1, s2, s3 = out_floats[k, 0], out_floats[k, 1], out_floats[k, 2], out_floats[k, 3]
    s4, s5, s6, s7 = out_floats[k, 4], out_floats[k, 5], out_floats[k, 6], out_floats[k, 7]
    s8, s9, s10, s11 = out_floats[k, 8], out_floats[k, 9], out_floats[k, 10], out_floats[k, 11]
    for row in range(start, stop):
        s0 += floats[C_QUANTITY, row]
        s1 += parts[1, row]
        s2 += parts[2, row]
        s3 += parts[3, row]
        s4 += parts[4, row]
        s5 += parts[5, row]
        s6 += parts[6, row]
        s7 += parts[7, row]
        s8 += parts[8, row]
        s9 += parts[9, row]
        s10 += parts[10, row]
        s11 += parts[11, row]
    out_floats[k, 0], out_floats[k, 1], out_floats[k, 2], out_floats[k, 3] = s0, s1, s2, s3
    out_floats[k, 4], out_floats[k, 5], out_floats[k, 6], out_floats[k, 7] = s4, s5, s6, s7
    out_floats[k, 8], out_floats[k, 9], out_floats[k, 10], out_floats[k, 11] = s8, s9, s10, s11
    high, low = out_floats[k, F_HIGH], out_floats[k, F_LOW]
    for row in range(start, stop):
        price = floats[C_PRICE, row]
        high = price if price > high else high
        low = price if price < low else low
    out_floats[k, F_HIGH], out_floats[k, F_LOW] = high, low
    buys = np.int64(0)
    raw = np.int64(0)
    for row in range(start, stop):
        buys += np.int64(1) - np.int64(flags[row] & _U8B1)
        raw += ints[C_LAST, row] - ints[C_FIRST, row] + 1
    out_ints[k, I_COUNT] += stop - start
    out_ints[k, I_BUYS] += buys
    out_ints[k, I_RAW] += raw
    out_ints[k, I_LAST_TS] = ints[C_TIME, stop - 1]
    out_ints[k, I_LAST_ID] = ints[C_ID, stop - 1]
    out_floats[k, F_LAST] = floats[C_PRICE, stop - 1]


@njit(nogil=True, cache=True)
def scan(
    text, end, width, marks, words, ints, floats, flags, limits, thresholds, state, minutes, jumps
):
    """Index, parse and add the whole lines of `text[state[S_POSITION]:end]`.

    Returns (status, rows added): DONE with state[S_POSITION] at the first byte of the last, unended
    line; ODD with it at the line that is left to others; DISORDER when the rows are not in order.
    """
    commas, newlines = marks
    fields, wrong = words
    columns, parts = floats
    out_ints, out_floats = minutes
    rows = 0
    while True:
        start = state[S_POSITION]
        comma_count, line_count = index_block(text, start, end, commas, newlines)
        if line_count == 0:
            return (DONE if comma_count < commas.shape[0] - 64 else ODD), rows
        count = cut_block(
            text, start, width, comma_count, line_count, commas, newlines, fields, wrong
        )
        count = parse_block(text, count, commas, width, fields, wrong, ints, columns, flags)
        status = add_block(
            count,
            ints,
            columns,
            flags,
            parts,
            limits,
            thresholds,
            state,
            out_ints,
            out_floats,
            jumps,
        )
        if status != DONE:
            return status, rows
        rows += count
        if count > 0:
            state[S_POSITION] = np.int64(newlines[count - 1]) + 1
        if count < line_count:
            return ODD, rows


@njit(nogil=True, cache=True)
def _copy_rows(count, ints, floats, flags, source, to_ints, to_floats, to_flags, target):
    for column in range(4):
        for row in range(count):
            to_ints[column, target + row] = ints[column, source + row]
    for column in range(2):
        for row in range(count):
            to_floats[column, target + row] = floats[column, source + row]
    for row in range(count):
        to_flags[target + row] = flags[source + row]


@njit(nogil=True, cache=True)
def gather(text, end, width, marks, words, ints, floats, flags, state, run):
    """As `scan`, but append the rows to the columns of `run` from row state[S_RUN_ROWS] on.

    FULL when `run` has no room for another block.
    """
    commas, newlines = marks
    fields, wrong = words
    run_ints, run_floats, run_flags = run
    rows = 0
    while True:
        start = state[S_POSITION]
        at = state[S_RUN_ROWS]
        if at + BLOCK > run_flags.shape[0]:
            return FULL, rows
        comma_count, line_count = index_block(text, start, end, commas, newlines)
        if line_count == 0:
            return (DONE if comma_count < commas.shape[0] - 64 else ODD), rows
        count = cut_block(
            text, start, width, comma_count, line_count, commas, newlines, fields, wrong
        )
        count = parse_block(text, count, commas, width, fields, wrong, ints, floats[0], flags)
        _copy_rows(count, ints, floats[0], flags, 0, run_ints, run_floats, run_flags, at)
        state[S_RUN_ROWS] += count
        rows += count
        if count > 0:
            state[S_POSITION] = np.int64(newlines[count - 1]) + 1
        if count < line_count:
            return ODD, rows


@njit(nogil=True, cache=True)
def add_rows(run, count, ints, floats, flags, limits, thresholds, state, minutes, jumps):
    """Add the first `count` rows of `run` block by block, as `scan` adds what it parsed."""
    run_ints, run_floats, run_flags = run
    columns, parts = floats
    out_ints, out_floats = minutes
    for at in range(0, count, BLOCK):
        size = min(BLOCK, count - at)
        _copy_rows(size, run_ints, run_floats, run_flags, at, ints, columns, flags, 0)
        status = add_block(
            size,
            ints,
            columns,
            flags,
            parts,
            limits,
            thresholds,
            state,
            out_ints,
            out_floats,
            jumps,
        )
        if status != DONE:
            return status
    return DONE
