"""Holds values that come from JSON against the fields of a dataclass: nothing is believed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any

LARGEST = 2**53
"""Of whole numbers: what every reader of JSON takes."""

_KINDS: dict[str, type | tuple[type, ...]] = {
    "str": str,
    "int": int,
    "float": (int, float),
    "bool": bool,
}
_TEXTS = "tuple[str, ...]"


def check_fields(kind: type, values: object) -> Mapping[str, Any]:
    """`values` as a mapping whose values have the types of `kind`'s fields.

    Fields of other types than text, number, truth and texts are left to the caller. Raises
    `TypeError` and `ValueError`.
    """
    if not isinstance(values, Mapping):
        raise TypeError(f"{type(values).__name__} in place of an object")
    types = _types(kind)
    for name, value in values.items():
        expected = types.get(name)
        if expected is None:
            raise TypeError(f"an unknown field {name!r}")
        if expected == _TEXTS:
            is_fine = isinstance(value, list | tuple) and all(isinstance(v, str) for v in value)
        elif expected not in _KINDS:
            continue
        else:
            is_fine = isinstance(value, _KINDS[expected])
        if not is_fine:
            raise TypeError(f"{type(value).__name__} as {name}")
        if isinstance(value, int | float) and not abs(value) <= LARGEST:
            raise ValueError(f"{value} as {name}")
    return values


def check_moment(text: str) -> None:
    """A UTC time of this age, or nothing; raises `ValueError`."""
    if not text:
        return
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None or not 2000 <= moment.year < 9000:
        raise ValueError(f"{text!r} is no UTC time")


_CACHE: dict[type, dict[str, str]] = {}


def _types(kind: type) -> dict[str, str]:
    if kind not in _CACHE:
        _CACHE[kind] = {item.name: str(item.type) for item in fields(kind)}
    return _CACHE[kind]
