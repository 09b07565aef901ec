"""Where things lie in a parquet file's footer: enough to move column chunks without decoding them.

A footer is one Thrift struct in the compact protocol. It is walked once; the positions of the few
numbers that change when a chunk moves are noted, everything else is kept byte for byte.
Source: https://github.com/apache/parquet-format, parquet.thrift and the Thrift compact protocol.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from alphaqcm.pipeline.errors import LayerError
from alphaqcm.pipeline.kernel import kernel

MAGIC = b"PAR1"
Positions = npt.NDArray[np.int64]

# columns of a chunk's line in `Footer.chunks`: positions, then values
START, END, DATA_AT, DATA_END, DICT_AT, DICT_END, COMPRESSED, PLAIN, DATA, DICT = range(10)
# columns of a group's line in `Footer.groups`; fields 2, 3, 5, 6, 7 of a RowGroup as [start, end)
G_START, G_CHUNKS, G_CHUNKS_END, G_END, G_ROWS = range(5)
G_FIELDS = (2, 3, 5, 6, 7)
G_FIRST = 5
"""total_byte_size, num_rows, file_offset, total_compressed_size, ordinal: two positions each."""


@dataclass(frozen=True, slots=True)
class Footer:
    """A footer's bytes and the positions in them."""

    data: bytes
    rows_at: tuple[int, int]  # num_rows of the file
    groups_at: tuple[int, int]  # the list of row groups, its header included
    groups: Positions  # shape (groups, G_FIRST + 10)
    chunks: Positions  # shape (groups, columns, 10)


def read_footer_of(tail: bytes, subject: str) -> Footer:
    """The footer at the end of `tail`, the last bytes of a parquet file; raises `LayerError`.

    `tail` must hold the whole footer; its length is in the file's last 8 bytes.
    """
    length = int.from_bytes(tail[-8:-4], "little")
    if tail[-4:] != MAGIC or length + 8 > len(tail):
        raise LayerError(subject, expected="a whole parquet file", found="another or a torn one")
    data = tail[-8 - length : -8]
    view = np.frombuffer(data, np.uint8)
    sizes = _sizes(view)
    if sizes[0] < 0:
        raise LayerError(subject, expected="a footer of this project's tables", found="another")
    groups, columns = int(sizes[0]), int(sizes[1])
    places = np.full((groups, G_FIRST + 2 * len(G_FIELDS)), -1, np.int64)
    chunks = np.full((groups, columns, 10), -1, np.int64)
    _walk(view, places, chunks)
    return Footer(
        data, (int(sizes[2]), int(sizes[3])), (int(sizes[4]), int(sizes[5])), places, chunks
    )


@kernel
def _varint(view: npt.NDArray[np.uint8], at: int) -> tuple[int, int]:
    value = 0
    shift = 0
    while True:
        byte: Any = np.int64(view[at])
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


@kernel
def _zigzag(value: int) -> int:
    return (value >> 1) ^ -(value & 1)


@kernel
def _skip(view: npt.NDArray[np.uint8], at: int, kind: int) -> int:
    """The position after a value of compact type `kind`; containers by a stack of what is left."""
    # each level: kind of its elements and how many are left; -1 left is a struct
    kinds = np.zeros(64, np.int64)
    left = np.zeros(64, np.int64)
    depth = 0
    kinds[0] = kind
    left[0] = 1
    while depth >= 0:
        if left[depth] == 0:
            depth -= 1
            continue
        if left[depth] < 0:  # inside a struct: a field, or its end
            head: Any = np.int64(view[at])
            at += 1
            if head == 0:
                depth -= 1
                continue
            if head >> 4 == 0:
                _, at = _varint(view, at)
            one: Any = head & 0x0F
        else:
            left[depth] -= 1
            one = kinds[depth]
        if one == 1 or one == 2:  # a boolean field: told by its type
            continue
        if one == 3:
            at += 1
        elif one == 7:
            at += 8
        elif one == 8:
            length, at = _varint(view, at)
            at += length
        elif one == 9 or one == 10:
            inner: Any = np.int64(view[at])
            at += 1
            count = inner >> 4
            if count == 15:
                count, at = _varint(view, at)
            depth += 1
            kinds[depth] = inner & 0x0F
            left[depth] = count
            if (inner & 0x0F) == 1 or (inner & 0x0F) == 2:  # booleans in a list take a byte each
                at += count
                left[depth] = 0
        elif one == 12:
            depth += 1
            left[depth] = -1
        else:
            _, at = _varint(view, at)
    return at


@kernel
def _field(view: npt.NDArray[np.uint8], at: int, last: int) -> tuple[int, int, int]:
    """(field id, type, position of its value); type 0 at a struct's end."""
    head: Any = np.int64(view[at])
    at += 1
    if head == 0:
        return 0, 0, at
    if head >> 4:
        return last + (head >> 4), head & 0x0F, at
    number, at = _varint(view, at)
    return _zigzag(number), head & 0x0F, at


@kernel
def _list(view: npt.NDArray[np.uint8], at: int) -> tuple[int, int]:
    head: Any = np.int64(view[at])
    at += 1
    count = head >> 4
    if count == 15:
        count, at = _varint(view, at)
    return count, at


@kernel
def _sizes(view: npt.NDArray[np.uint8]) -> Positions:
    """Groups, columns, then where num_rows and the list of groups lie; -1 where it is no footer."""
    out = np.full(6, -1, np.int64)
    at, last, kind = 0, 0, 1
    while kind:
        last, kind, at = _field(view, at, last)
        if kind == 0:
            break
        end = _skip(view, at, kind)
        if last == 3:
            out[2], out[3] = at, end
        elif last == 4:
            out[4], out[5] = at, end
            out[0], inside = _list(view, at)
            out[1] = 0
            if out[0] > 0:
                _number, _what, place = _field(view, inside, 0)
                out[1], _ = _list(view, place)
        at = end
    return out


@kernel
def _walk(view: npt.NDArray[np.uint8], places: Positions, chunks: Positions) -> None:
    at, last, kind = 0, 0, 1
    while kind:
        last, kind, at = _field(view, at, last)
        if last == 4 or kind == 0:
            break
        at = _skip(view, at, kind)
    if kind == 0:
        return
    count, at = _list(view, at)
    for group in range(count):
        places[group, 0] = at
        field, what = 0, 1
        while what:
            field, what, at = _field(view, at, field)
            if what == 0:
                break
            if field == 1:
                columns, at = _list(view, at)
                places[group, 1] = at
                for column in range(columns):
                    at = _chunk(view, at, chunks[group, column])
                places[group, 2] = at
                continue
            end = _skip(view, at, what)
            slot = -1
            if field == 2 or field == 3:
                slot = field - 2
            elif 5 <= field <= 7:
                slot = field - 3
            if slot >= 0:
                places[group, 5 + 2 * slot] = at
                places[group, 6 + 2 * slot] = end
            if field == 3:
                value, _ = _varint(view, at)
                places[group, 4] = _zigzag(value)
            at = end
        places[group, 3] = at


@kernel
def _chunk(view: npt.NDArray[np.uint8], at: int, out: Positions) -> int:
    out[0] = at
    field, what = 0, 1
    while what:
        field, what, at = _field(view, at, field)
        if what == 0:
            break
        if field != 3:
            at = _skip(view, at, what)
            continue
        inner, kind = 0, 1
        while kind:
            inner, kind, at = _field(view, at, inner)
            if kind == 0:
                break
            end = _skip(view, at, kind)
            if inner == 6 or inner == 7 or inner == 9 or inner == 11:
                number, _ = _varint(view, at)
                value = _zigzag(number)
                if inner == 7:
                    out[6] = value
                elif inner == 6:
                    out[7] = value
                elif inner == 9:
                    out[2], out[3], out[8] = at, end, value
                else:
                    out[4], out[5], out[9] = at, end, value
            at = end
    out[1] = at
    return at


def varint(value: int) -> bytes:
    """A number as Thrift's compact protocol writes an i16, i32 or i64."""
    left = (value << 1) ^ (value >> 63)
    out = bytearray()
    while left > 0x7F:
        out.append(left & 0x7F | 0x80)
        left >>= 7
    out.append(left)
    return bytes(out)


def list_head(count: int) -> bytes:
    """The head of a list of structs."""
    if count < 15:
        return bytes([count << 4 | 12])
    left, out = count, bytearray([0xFC])
    while left > 0x7F:
        out.append(left & 0x7F | 0x80)
        left >>= 7
    out.append(left)
    return bytes(out)
