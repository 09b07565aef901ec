"""One archive file to one typed frame: the only place that knows headers, booleans and time units.

    ZIP -> its one CSV -> header told from data -> every row has every field -> typed columns
        -> times to UTC microseconds -> rows outside the file's own period left out and counted

aggTrades files are too large for a frame of rows: `aggtrades/` beside it reads those with the same
rules in one pass (this module reads small ones too, which is how the two are held together).
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl

from alphaqcm.pipeline.domain.archive_file import ArchiveFile
from alphaqcm.pipeline.domain.period import Period
from alphaqcm.pipeline.domain.registry import (
    EPOCH_US_FROM,
    EPOCH_US_LAST,
    METRICS_CADENCE,
    METRICS_START_LABELS_FROM,
    OUTSIDE_LIMIT,
    Column,
    Kind,
    Market,
    TimeRule,
    TypeSpec,
    spec_of,
)
from alphaqcm.pipeline.errors import BadHeader, BadRow, OutsidePeriod, RawError
from alphaqcm.pipeline.reading.zip_member import Member, open_member, read_member

__all__ = ["ArchiveTable", "Member", "known_delay", "open_member", "read_archive", "read_csv"]

UTC_US = pl.Datetime("us", "UTC")

MAX_ROWS = 2_000_000
"""Of a file that is read whole; a month of 1m bars has 44,640."""

_BLOCK = 1 << 20  # bytes
_TOGETHER = 1 << 23  # bytes of CSV that are read at once
LONGEST_HEADER = 4096
"""Bytes; a longer line is none of the registry's."""

_TRUE = ("true", "True", "TRUE")
_FALSE = ("false", "False", "FALSE")
_WRONG_FILE = "compare it with its .CHECKSUM and fetch it again (alphaqcm verify --repair)"
_QUOTED = re.compile(rb'(^|,)"([^",\r\n]*)"(?=,|\r?$)', re.MULTILINE)
_PHYSICAL = {
    Kind.INT: pl.Int64,
    Kind.EPOCH: pl.Int64,
    Kind.DECIMAL: pl.Float64,
    Kind.BOOL: pl.String,
    Kind.TEXT: pl.String,
    Kind.CLOCK: pl.String,
}


@dataclass(frozen=True, slots=True)
class ArchiveTable:
    """What one archive file holds.

    `frame` has the registry's columns in its order (whatever the file's), rows in file order:
    EPOCH and CLOCK as Datetime[us, UTC], INT Int64, DECIMAL Float64 (null where missing or not
    finite), BOOL Boolean, TEXT String. `rows` counts all rows of the file, `outside` those left
    out because their time is outside the period.
    """

    file: ArchiveFile
    frame: pl.DataFrame
    rows: int
    outside: int
    has_header: bool


def read_archive(path: Path, file: ArchiveFile) -> ArchiveTable:
    """Read the ZIP at `path` as the archive file `file`; raises `RawError`."""
    return read_csv(read_member(open_member(path)), file, str(path))


def read_csv(data: bytes, file: ArchiveFile, subject: str = "") -> ArchiveTable:
    """Read a file's CSV text; `subject` names it in errors (its key when not given)."""
    subject = subject or file.key
    spec = spec_of(file.series.type)
    order, body = _split_header(data, spec, file.series.market, subject)
    _check_fields(data, body, len(order), subject)
    raw = _parse(data, body, order, subject)
    frame = _typed(raw, order, data, body, file, subject)
    inside = _rows_inside(frame, file)
    outside = frame.height - inside.height
    if outside > OUTSIDE_LIMIT * frame.height:
        times = frame[spec.time_column]
        raise OutsidePeriod(
            subject,
            expected=f"rows of {file.period.stamp} (UTC)",
            found=f"{outside} of {frame.height} rows outside, {times.min()!s} to {times.max()!s}; "
            f"the first {spec.time_column} is {raw[spec.time_column][0]}",
            next_step=_WRONG_FILE,
        )
    return ArchiveTable(file, inside, frame.height, outside, body > 0)


def read_together(wanted: Sequence[tuple[Path, ArchiveFile]]) -> list[ArchiveTable] | None:
    """Read small files of one series as one text: a tenth of the cost of one by one.

    None where that cannot be: they are large or quoted, their columns differ, or one of them is not
    as it should be. One by one, `read_archive` then tells what is wrong.
    """
    file = wanted[0][1]
    spec, market = spec_of(file.series.type), file.series.market
    try:
        members = [open_member(path) for path, _ in wanted]
        if sum(member.size for member in members) > _TOGETHER:
            return None
        texts = [read_member(member) for member in members]
        heads = [_split_header(text, spec, market, file.key) for text in texts]
        order = heads[0][0]
        if any(other != order for other, _ in heads) or any(b'"' in text for text in texts):
            return None
        bodies = [text[body:] for text, (_, body) in zip(texts, heads, strict=True)]
        bodies = [text + b"\n" if text[-1:] not in (b"", b"\n") else text for text in bodies]
        data = b"".join(bodies)
        _check_fields(data, 0, len(order), file.key)
        frame = _typed(_parse(data, 0, order, file.key), order, data, 0, file, file.key)
    except RawError:
        return None
    tables, at = [], 0
    for (_, one), text, (_, body) in zip(wanted, bodies, heads, strict=True):
        rows = frame.slice(at, text.count(b"\n"))
        at += rows.height
        inside = _rows_inside(rows, one)
        outside = rows.height - inside.height
        if outside > OUTSIDE_LIMIT * rows.height:
            return None
        tables.append(ArchiveTable(one, inside, rows.height, outside, body > 0))
    return tables if at == frame.height else None


def only_header(data: bytes, file: ArchiveFile) -> bool:
    """Whether a CSV has no row; raises `BadHeader`."""
    spec = spec_of(file.series.type)
    return _split_header(data, spec, file.series.market, file.key)[1] >= len(data)


def known_delay(file: ArchiveFile) -> timedelta:
    """What to add to a metrics row's create_time to get the moment it became known."""
    return METRICS_CADENCE if _labels_start(file.series.market, file.period) else timedelta()


def _labels_start(market: Market, period: Period) -> bool:
    return market is Market.UM and period.start >= METRICS_START_LABELS_FROM


def _split_header(
    data: bytes, spec: TypeSpec, market: Market, subject: str
) -> tuple[tuple[Column, ...], int]:
    """The columns in the file's order, and the byte where its rows begin."""
    columns = spec.columns_in(market)
    if not data or data[:2].removeprefix(b'"')[:1].isdigit():
        return columns, 0
    end = data.find(b"\n")
    line = data[: LONGEST_HEADER if end < 0 else min(end, LONGEST_HEADER)]
    line = _QUOTED.sub(rb"\1\2", line.rstrip(b"\r"))
    names = tuple(line.decode("utf-8", "replace").split(","))
    body = len(data) if end < 0 else end + 1
    order = spec.columns_named(names, market)
    if order is not None:
        return order, body
    raise BadHeader(
        subject,
        expected=",".join(column.name for column in columns),
        found=",".join(names)[:500],
        next_step="a header the archive really uses belongs into the registry; " + _WRONG_FILE,
    )


def _check_fields(data: bytes, body: int, width: int, subject: str) -> None:
    """Every line has `width` fields: the CSV reader would fill or cut others silently.

    A block at a time: what is only commas costs no more memory than its bytes.
    """
    view = np.frombuffer(data, dtype=np.uint8)
    line, start, commas = 0, body, 0  # of the line that a block goes on with
    for at in range(body, len(data), _BLOCK):
        block = view[at : at + _BLOCK]
        ends, marks = np.flatnonzero(block == ord("\n")), np.flatnonzero(block == ord(","))
        before = np.searchsorted(marks, ends)
        fields = np.diff(before, prepend=0) + 1
        fields[:1] += commas
        wrong = np.flatnonzero(fields != width)
        if wrong.size:
            first = int(wrong[0])
            start = at + int(ends[first - 1]) + 1 if first else start
            raise _odd_line(data, body, (line + first, start), width, int(fields[first]), subject)
        commas = marks.size - int(before[-1]) if ends.size else commas + marks.size
        line, start = line + ends.size, at + int(ends[-1]) + 1 if ends.size else start
        if commas >= width:
            break  # a line without end
        if line > MAX_ROWS:
            raise BadRow(
                subject,
                expected=f"at most {MAX_ROWS} rows",
                found="more",
                next_step=_WRONG_FILE,
            )
    if start < len(data) and commas + 1 != width:
        raise _odd_line(data, body, (line, start), width, commas + 1, subject)


def _odd_line(
    data: bytes, body: int, place: tuple[int, int], width: int, fields: int, subject: str
) -> BadRow:
    line, start = place  # number of the row, its first byte
    text = data[start : start + 200].split(b"\n")[0].decode("utf-8", "replace")
    return BadRow(
        f"{subject} line {line + 1 + (body > 0)} (byte {start})",
        expected=f"{width} fields",
        found=f"{fields}: {text!r}",
        next_step=_WRONG_FILE,
    )


def _parse(data: bytes, body: int, order: tuple[Column, ...], subject: str) -> pl.DataFrame:
    schema = {column.name: _PHYSICAL[column.kind] for column in order}
    if body >= len(data):
        return pl.DataFrame(schema=schema)
    text = data[body:] if body else data
    if b'"' in text:  # some files quote fields, empty ones or all; none quotes a comma
        text = _QUOTED.sub(rb"\1\2", text)
    try:
        return pl.read_csv(
            io.BytesIO(text),
            has_header=False,
            schema=schema,
            quote_char=None,
            encoding="utf8",
        )
    except pl.exceptions.PolarsError as error:
        raise _bad_field(data, body, order, subject) from error


def _typed(
    frame: pl.DataFrame,
    order: tuple[Column, ...],
    data: bytes,
    body: int,
    file: ArchiveFile,
    subject: str,
) -> pl.DataFrame:
    """Booleans and times to their types, non-finite numbers to null; nothing else may be null.

    The columns come in the registry's order.
    """
    typed: dict[str, pl.Series] = {}
    expressions = []
    for column in order:
        done = _typed_at_once(frame.get_column(column.name), column.kind)
        if done is not None:
            typed[column.name] = done
            continue
        value = pl.col(column.name)
        if column.kind is Kind.EPOCH:
            known = value.clip(0, EPOCH_US_LAST)  # what is no time must not wrap to one
            micros = pl.when(known >= EPOCH_US_FROM).then(known).otherwise(known * 1000)
            expressions.append(micros.cast(UTC_US).alias(column.name))
        elif column.kind is Kind.CLOCK:
            clock = value.str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="us", strict=False)
            known = clock.dt.timestamp("us").clip(0, EPOCH_US_LAST)
            expressions.append(known.cast(UTC_US).alias(column.name))
        elif column.kind is Kind.BOOL:
            truth = pl.when(value.is_in(_TRUE)).then(True).when(value.is_in(_FALSE)).then(False)
            expressions.append(truth.alias(column.name))
        elif column.kind is Kind.DECIMAL:
            expressions.append(pl.when(value.is_finite()).then(value).alias(column.name))
    if expressions:
        typed.update(frame.select(expressions).to_dict())
    if any(not column.nullable and typed[column.name].null_count() for column in order):
        raise _bad_field(data, body, order, subject)
    columns = spec_of(file.series.type).columns_in(file.series.market)
    return pl.DataFrame([typed[column.name] for column in columns if column in order])


def _typed_at_once(values: pl.Series, kind: Kind) -> pl.Series | None:
    """A column where nothing is missing, without an expression: these cost more than few rows."""
    if kind in (Kind.INT, Kind.TEXT):
        return values
    if values.null_count() or kind not in (Kind.EPOCH, Kind.DECIMAL):
        return None
    numbers = values.to_numpy()
    if kind is Kind.DECIMAL:
        return values if bool(np.isfinite(numbers).all()) else None
    known = np.clip(numbers, 0, EPOCH_US_LAST)  # what is no time must not wrap to one
    micros = np.where(known >= EPOCH_US_FROM, known, known * 1000)
    return pl.Series(values.name, micros, dtype=pl.Int64).cast(UTC_US)


def _rows_inside(frame: pl.DataFrame, file: ArchiveFile) -> pl.DataFrame:
    """The rows whose time lies in the file's period; there is no null time any more."""
    spec = spec_of(file.series.type)
    micros = frame.get_column(spec.time_column).cast(pl.Int64).to_numpy()
    start, end = file.period.start_us, file.period.end_us
    if spec.time_rule is TimeRule.METRICS and not _labels_start(file.series.market, file.period):
        inside = (micros > start) & (micros <= end)
    else:
        inside = (micros >= start) & (micros < end)
    return frame if inside.all() else frame.filter(pl.Series(inside))


def _bad_field(data: bytes, body: int, order: tuple[Column, ...], subject: str) -> BadRow:
    """Find the first field that is no value of its type; only on the way to an error."""
    position = body
    for number, line in enumerate(data[body:].split(b"\n"), start=1 + (body > 0)):
        plain = _QUOTED.sub(rb"\1\2", line.rstrip(b"\r"))
        fields = plain.decode("utf-8", "replace").split(",")
        for column, text in zip(order, fields, strict=False):
            if line and not _is_value(text, column):
                return BadRow(
                    f"{subject} line {number} (byte {position})",
                    expected=f"{column.name} to be {column.kind}",
                    found=repr(text[:80]),
                    next_step=_WRONG_FILE,
                )
        position += len(line) + 1
    return BadRow(subject, expected="readable CSV", found="none", next_step=_WRONG_FILE)


def _is_value(text: str, column: Column) -> bool:
    if not text:
        return column.nullable or column.kind is Kind.TEXT
    series = pl.Series([text])
    if column.kind in (Kind.INT, Kind.EPOCH):
        return series.cast(pl.Int64, strict=False)[0] is not None
    if column.kind is Kind.DECIMAL:
        value = series.cast(pl.Float64, strict=False)[0]
        return value is not None and (column.nullable or bool(np.isfinite(value)))
    if column.kind is Kind.BOOL:
        return text in _TRUE + _FALSE
    if column.kind is Kind.CLOCK:
        clock = series.str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="us", strict=False)
        return not clock.is_null()[0]
    return True
