"""The arrays that the compiled code and Python share: what lies where.

Columns of a block lie one behind the other in one flat array, ROOM apart: with the distance known
when it compiles, the compiler makes vector code without asking whether columns overlap.
"""

from __future__ import annotations

BLOCK = 768
"""Rows that are indexed, parsed and added at a time; all they need stays in the CPU's cache."""

ROOM = BLOCK + 8
"""Rows a column has room for; no power of two, so that columns differ in their cache sets."""

MARKS = 8 * BLOCK + 128
"""Commas a block has room for."""

MAX_DECIMAL = 100
"""Bytes of the longest number that is believed."""

SPAN_LIMIT = 10**9
"""Raw trades of one aggTrade; so many and no sum of them can overflow."""

FRONT_PAD = 16
"""Bytes before the text that may be read (never used)."""

BACK_PAD = 64
"""Bytes after the text that may be read (never used)."""

# status of the compiled functions
DONE, ODD, DISORDER, FULL = 0, 1, 2, 3

# limits: what rows are held against
(L_START, L_END, L_STRICT) = range(3)

# amounts: from where on a row is a whale's, up to where it is retail, and the quote units of a
# contract where quantities are contracts (0 where they are base units)
(A_WHALE, A_RETAIL, A_CONTRACT) = range(3)

# state: where in the file the work stands
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
    S_RUN_ROWS,  # rows of a run in use
) = range(10)
STATE_SIZE = 10
BEFORE = -(2**62)  # less than any time or id

# whole numbers of a minute
(I_MINUTE, I_COUNT, I_BUYS, I_FIRST_TS, I_LAST_TS, I_FIRST_ID, I_LAST_ID, I_RAW) = range(8)
INTS = 8
# floats of a minute; the first PARTS are sums
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
PARTS = 12

# columns of rows: whole numbers, floats, and the bits of the flags
(C_ID, C_FIRST, C_LAST, C_TIME) = range(4)
(C_PRICE, C_QUANTITY) = range(2)
MAKER, BEST = 1, 2

# words of a row: two a number (the last eight bytes, the eight before), one a boolean
(W_ID, W_FIRST, W_LAST, W_TIME, W_PRICE, W_QUANTITY) = range(0, 12, 2)
W_MAKER, W_BEST = 12, 13
WORDS = 14

# where a row has a byte that is no digit: in a whole number or boolean, in a decimal
(X_INT, X_PRICE, X_QUANTITY) = range(3)
WRONGS = 3
