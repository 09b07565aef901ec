"""From a file's pieces to its rows: header, lines that straddle pieces, odd lines, errors.

What happens with the rows is a `Sink`'s business: `minutes.MinuteSink` adds them to their minutes
at once, `exact.RowSink` keeps them to be sorted first.
"""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Protocol

from alphaqcm.pipeline.domain.archive_file import ArchiveFile
from alphaqcm.pipeline.domain.period import Period
from alphaqcm.pipeline.domain.registry import OUTSIDE_LIMIT, Column, spec_of
from alphaqcm.pipeline.errors import BadHeader, BadRow, OutsidePeriod, RawError
from alphaqcm.pipeline.reading.aggtrades.compiled import buffers as k
from alphaqcm.pipeline.reading.aggtrades.compiled.line_parser import (
    MAX_LINE,
    NotARow,
    Row,
    parse_line,
    show,
)
from alphaqcm.pipeline.reading.aggtrades.stream import PIECE, Bytes, read_pieces
from alphaqcm.pipeline.reading.zip_member import Member

SHORTEST_LINE = 20
"""Bytes; a shorter line has no seven fields with a time of any archive file's period."""

_FRONT = MAX_LINE + k.FRONT_PAD
_WRONG_FILE = "compare it with its .CHECKSUM and fetch it again (alphaqcm verify --repair)"
_NEWLINE = ord("\n")


class Disorder(Exception):  # a signal between these modules, caught by `aggregate_file`
    """The rows are not in strict (transact_time, agg_trade_id) order."""


class Sink(Protocol):
    """Takes the rows of a file."""

    @property
    def rows(self) -> int:
        """Rows taken."""

    def take(self, text: Bytes, start: int, end: int, width: int) -> tuple[int, int]:
        """Take the lines of `text[start:end]`.

        Returns (k.DONE, start of the unended line) or (k.ODD, start of a line that is not taken).
        """

    def take_row(self, row: Row) -> None:
        """Take one row."""


@dataclass(slots=True)
class _Place:
    """Where in the CSV the reader is; only for messages."""

    offset: int = 0  # byte of the CSV at which the buffer's index `_FRONT` lies
    header: int = 0  # lines of header


def read_rows(
    member: Member,
    file: ArchiveFile,
    sink: Sink,
    piece_size: int = PIECE,
    *,
    ahead: bool = True,
) -> None:
    """Read every row of `member` into `sink`, a piece at a time; raises `RawError`.

    Where the rows look wrong, the rest is inflated too: a damaged ZIP is told as such.
    """
    with closing(read_pieces(member, _FRONT, k.BACK_PAD, piece_size, ahead=ahead)) as pieces:
        try:
            columns = spec_of(file.series.type).columns_in(file.series.market)
            place = _Place()
            carry = b""
            first = True
            for piece in pieces:
                start, end = _FRONT - len(carry), _FRONT + piece.size
                piece.buffer[start:_FRONT] = bytearray(carry)
                if first:
                    columns, start = _split_header(piece.buffer, end, file, member.path)
                    place.header = int(start > _FRONT)
                    first = False
                start = _take(piece.buffer, start, end, columns, sink, member.path, place)
                if end - start > MAX_LINE:
                    text = piece.buffer[start : start + MAX_LINE].tobytes()
                    problem = NotARow(f"a line of at most {MAX_LINE} bytes", show(text))
                    _refuse(problem, member.path, sink, place, start)
                carry = piece.buffer[start:end].tobytes()
                place.offset += piece.size
            if carry:  # the last line, without its line end
                end = _FRONT + 1
                buffer = piece.buffer
                buffer[_FRONT - len(carry) : end] = bytearray(carry + b"\n")
                _take(buffer, _FRONT - len(carry), end, columns, sink, member.path, place)
        except RawError:
            for _ in pieces:
                pass
            raise


def check_period(path: Path, period: Period, rows: int, outside: int) -> None:
    """Raise `OutsidePeriod` when too many rows lie outside the file's period."""
    if outside > OUTSIDE_LIMIT * rows:
        raise OutsidePeriod(
            path,
            expected=f"rows of {period.stamp} (UTC)",
            found=f"{outside} of {rows} rows outside",
            next_step=_WRONG_FILE,
        )


def _take(
    text: Bytes,
    start: int,
    end: int,
    columns: tuple[Column, ...],
    sink: Sink,
    path: Path,
    place: _Place,
) -> int:
    """Give all whole lines to the sink; returns where the unended one begins."""
    while True:
        status, start = sink.take(text, start, end, len(columns))
        if status == k.DONE:
            return start
        line = text[start : min(end, start + MAX_LINE + 1)].tobytes()
        size = line.find(_NEWLINE)
        if size < 0 and len(line) <= MAX_LINE:
            return start
        try:
            sink.take_row(parse_line(line[:size] if size >= 0 else line, columns))
        except NotARow as problem:
            _refuse(problem, path, sink, place, start)
        start += size + 1


def _split_header(
    text: Bytes, end: int, file: ArchiveFile, path: Path
) -> tuple[tuple[Column, ...], int]:
    """The columns of the rows, and where the rows begin."""
    spec = spec_of(file.series.type)
    columns = spec.columns_in(file.series.market)
    if text[_FRONT : min(end, _FRONT + 2)].tobytes().removeprefix(b'"')[:1].isdigit():
        return columns, _FRONT
    head = text[_FRONT : min(end, _FRONT + MAX_LINE)].tobytes()
    line, newline, _ = head.partition(b"\n")
    fields = line.removesuffix(b"\r").decode("utf-8", "replace").split(",")
    names = tuple(re.sub(r'^"(.*)"$', r"\1", name) for name in fields)
    order = spec.columns_named(names, file.series.market)
    if order is not None:
        return order, _FRONT + len(line) + len(newline)
    raise BadHeader(
        path,
        expected=",".join(column.name for column in columns),
        found=show(line),
        next_step="a header the archive really uses belongs into the registry; " + _WRONG_FILE,
    )


def _refuse(problem: NotARow, path: Path, sink: Sink, place: _Place, start: int) -> NoReturn:
    expected, found = problem.args
    line = sink.rows + place.header + 1
    raise BadRow(
        f"{path} line {line} (byte {place.offset + start - _FRONT})",
        expected=expected,
        found=found,
        next_step=_WRONG_FILE,
    )
