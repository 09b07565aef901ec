"""Columns of rows as MarketStore sends them: one block of little-endian bytes a column.

A multi-dataset holds the rows of several buckets one after the other in the same columns;
`startindex` and `lengths` tell which rows are whose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from alphaqcm.data_collection.marketstore.faults import invalid

EPOCH: Final = "Epoch"
NANOS: Final = "Nanoseconds"

TYPES: Final[Mapping[str, np.dtype[Any]]] = {
    **{name: np.dtype(f"<{name}") for name in ("i2", "i4", "i8", "u2", "u4", "u8", "f4", "f8")},
    "i1": np.dtype("i1"),
    "u1": np.dtype("u1"),
    "U16": np.dtype("<U16"),
}
"""The types of columns, by their name in the protocol."""

Array = npt.NDArray[Any]
Rows = dict[str, Array]
"""Columns by name, all of one length, `Epoch` (seconds) first."""

_MOST_COLUMNS = 2000
_LAST_CODE_POINT = 0x10FFFF
_SURROGATES = (0xD800, 0xDFFF)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a bucket; `type` is one of TYPES."""

    name: str
    type: str

    @property
    def dtype(self) -> np.dtype[Any]:
        """The column's numpy type."""
        return TYPES[self.type]


class MultiDataset(msgspec.Struct):
    """The protocol's form of rows, as clients send and get them."""

    types: list[str] = []
    names: list[str] = []
    data: list[bytes] = []
    length: int = 0
    startindex: dict[str, int] = {}
    lengths: dict[str, int] = {}


def pack(columns: Sequence[Column], parts: Mapping[str, Rows]) -> dict[str, Any]:
    """The rows of buckets by their full key as a multi-dataset; the arrays are not copied twice."""
    lengths = {key: rows[EPOCH].size for key, rows in parts.items()}
    starts = np.concatenate(([0], np.cumsum(list(lengths.values()), dtype=np.int64)))
    return {
        "types": [column.type for column in columns],
        "names": [column.name for column in columns],
        "data": [
            _block(column, [rows[column.name] for rows in parts.values()]) for column in columns
        ],
        "length": int(starts[-1]),
        "startindex": {key: int(start) for key, start in zip(lengths, starts, strict=False)},
        "lengths": lengths,
    }


def _block(column: Column, arrays: Sequence[Array]) -> memoryview:
    joined = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
    array = np.ascontiguousarray(joined, dtype=column.dtype)
    return array.view(np.uint8).data if array.size else memoryview(b"")


def unpack(dataset: MultiDataset) -> tuple[tuple[Column, ...], dict[str, Rows]]:
    """Columns, and the rows of each key, of what a client sent; raises `RpcFault`."""
    if not len(dataset.names) == len(dataset.types) == len(dataset.data):
        raise invalid("a dataset", "as many types and blocks of data as names")
    columns = read_columns(dataset.names, dataset.types)
    arrays = {
        column.name: _array(column, block, dataset.length)
        for column, block in zip(columns, dataset.data, strict=True)
    }
    if set(dataset.startindex) != set(dataset.lengths) or not dataset.lengths:
        raise invalid("a dataset", "the same keys, one or more, in startindex and lengths")
    parts = {}
    for key, start in dataset.startindex.items():
        stop = start + dataset.lengths[key]
        if not 0 <= start <= stop <= dataset.length:
            raise invalid(f"rows {start} to {stop} of {key[:80]}", f"rows of {dataset.length}")
        parts[key] = {name: array[start:stop] for name, array in arrays.items()}
    return columns, parts


def read_columns(names: Sequence[str], types: Sequence[str]) -> tuple[Column, ...]:
    """Columns that clients name; raises `RpcFault` for names and types that cannot be."""
    if len(names) != len(types) or not 1 <= len(names) <= _MOST_COLUMNS:
        raise invalid("columns", f"1 to {_MOST_COLUMNS} names, and a type of each")
    if len(set(names)) != len(names):
        raise invalid("columns", "different names")
    columns = []
    for name, kind in zip(names, types, strict=True):
        if not 1 <= len(name) <= 64 or not name.isprintable():
            raise invalid(f"column {name[:80]!r}", "a name of 1 to 64 characters that can be seen")
        if kind not in TYPES:
            raise invalid(f"type {kind[:20]!r} of column {name}", "one of " + ", ".join(TYPES))
        columns.append(Column(name, kind))
    if columns[0] != Column(EPOCH, "i8"):
        raise invalid(f"first column {names[0]} {types[0]}", f"{EPOCH} of type i8")
    return tuple(columns)


def _array(column: Column, block: bytes, length: int) -> Array:
    wanted = length * column.dtype.itemsize
    if length < 0 or len(block) != wanted:
        raise invalid(
            f"column {column.name}", f"{wanted} bytes, {length} x {column.type}", f"{len(block)}"
        )
    if column.type == "U16":
        points = np.frombuffer(block, "<u4")
        low, high = _SURROGATES
        if (points > _LAST_CODE_POINT).any() or ((points >= low) & (points <= high)).any():
            raise invalid(f"column {column.name}", "texts of Unicode characters")
    return np.frombuffer(block, column.dtype)
