"""Words that several reports share."""

from __future__ import annotations


def counted(count: int, word: str) -> str:
    """How many there are of something: `1 symbol`, `2,000 symbols`."""
    return f"{count:,} {word}" + ("" if count == 1 else "s")
