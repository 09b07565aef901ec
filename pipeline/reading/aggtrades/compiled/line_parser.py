"""Strict parser of single aggTrades lines, for those that the fast parser refuses.

The compiled parser hands over every line that does not look ordinary to it. Whatever it accepts
itself, it reads as this module would.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from alphaqcm.pipeline.domain.registry import EPOCH_US_FROM, Column, Kind
from alphaqcm.pipeline.reading.aggtrades.compiled.buffers import MAX_DECIMAL, SPAN_LIMIT

MAX_LINE = 1024
"""Bytes of the longest line that is believed."""

_WHOLE = re.compile(rb"-?[0-9]{1,16}")
_EPOCH = re.compile(rb"[0-9]{1,16}")
_DECIMAL = re.compile(rb"[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")
_BOOLEANS = {
    b"true": True,
    b"True": True,
    b"TRUE": True,
    b"false": False,
    b"False": False,
    b"FALSE": False,
}
_TOO_LARGE = 1e38  # no price or quantity; sums of squares stay finite below


class NotARow(ValueError):
    """`args` are (expected, found)."""


@dataclass(frozen=True, slots=True)
class Row:
    """One aggTrade; `time` in microseconds since the epoch."""

    id: int
    price: float
    quantity: float
    first: int
    last: int
    time: int
    maker: bool
    best: bool


def parse_line(line: bytes, columns: tuple[Column, ...]) -> Row:
    """Read one line without its line end; raises `NotARow`."""
    if len(line) > MAX_LINE:
        raise NotARow(f"a line of at most {MAX_LINE} bytes", "a longer one")
    fields = line.removesuffix(b"\r").split(b",")
    if len(fields) != len(columns):
        raise NotARow(f"{len(columns)} fields", f"{len(fields)}: {show(line)}")
    values = {
        column.name: _value(_unquoted(text), column)
        for text, column in zip(fields, columns, strict=True)
    }
    first, last = int(values["first_trade_id"]), int(values["last_trade_id"])
    if not 0 <= last - first < SPAN_LIMIT:
        raise NotARow("last_trade_id at or a little after first_trade_id", f"{first} and {last}")
    time = int(values["transact_time"])
    return Row(
        id=int(values["agg_trade_id"]),
        price=float(values["price"]),
        quantity=float(values["quantity"]),
        first=first,
        last=last,
        time=time if time >= EPOCH_US_FROM else time * 1000,
        maker=bool(values["is_buyer_maker"]),
        best=bool(values.get("is_best_match", False)),
    )


def show(text: bytes) -> str:
    """The start of foreign bytes, for a message."""
    return repr(text[:80].decode("utf-8", "backslashreplace")) + ("…" if len(text) > 80 else "")


def _unquoted(text: bytes) -> bytes:
    return text[1:-1] if len(text) > 1 and text[:1] == text[-1:] == b'"' else text


def _value(text: bytes, column: Column) -> float | int | bool:
    whole = {Kind.INT: _WHOLE, Kind.EPOCH: _EPOCH}.get(column.kind)
    if whole is not None and whole.fullmatch(text):
        return int(text)
    if column.kind is Kind.DECIMAL and len(text) <= MAX_DECIMAL and _DECIMAL.fullmatch(text):
        value = float(text)
        vanished = value == 0 and any(
            digit in b"123456789" for digit in re.split(rb"[eE]", text)[0]
        )
        if value < _TOO_LARGE and not vanished:
            return value
    if column.kind is Kind.BOOL and text in _BOOLEANS:
        return _BOOLEANS[text]
    raise NotARow(f"{column.name} to be {column.kind}", show(text))
