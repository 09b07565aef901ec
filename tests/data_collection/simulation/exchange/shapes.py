"""The shape of an answer: names and types, without the values."""

from __future__ import annotations

import re
from typing import Any

DECIMAL = re.compile(r"-?\d+\.\d+|-?\d+")


def shape(value: Any) -> Any:
    """Types instead of values; text that is a number is told from other text."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    if isinstance(value, str):
        return "number as text" if DECIMAL.fullmatch(value) else "text"
    return type(value).__name__


def missing_in(ours: dict[str, Any], recorded: dict[str, Any]) -> dict[str, Any]:
    """What a recorded object has that ours lacks or has with another type."""
    return {name: kind for name, kind in recorded.items() if ours.get(name) != kind}
