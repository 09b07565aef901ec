"""Which of the wide table's columns can be told at the hour, and which cannot.

Live are the columns that tell nothing of later hours and need 1m klines and aggTrades alone, or
what is derived from these, of the symbol or of all symbols. The others come from files that the
archive publishes a day later, or look at later hours.
"""

from __future__ import annotations

from typing import Final

from alphaqcm.pipeline.features.columns import COLUMNS, CROSS_SECTION, REGISTRY, Source

_SOURCES: Final = {
    Source.SYMBOL,
    Source.CALENDAR,
    Source.MINUTES,
    Source.AGGTRADES,
    Source.UNIVERSE,
}

LIVE_COLUMNS: Final[tuple[str, ...]] = tuple(
    name
    for name in COLUMNS
    if REGISTRY[name].point_in_time and _SOURCES.issuperset(REGISTRY[name].inputs)
)
"""In the table's order."""

LIVE_OWN: Final[tuple[str, ...]] = tuple(n for n in LIVE_COLUMNS if n not in CROSS_SECTION)
"""Those that need no other symbol."""

LIVE_CROSS_SECTION: Final[tuple[str, ...]] = tuple(n for n in LIVE_COLUMNS if n in CROSS_SECTION)

NOT_LIVE: Final[tuple[str, ...]] = tuple(n for n in COLUMNS if n not in LIVE_COLUMNS)


def why_not_live(name: str) -> str:
    """Why a column is not published at the hour; empty where it is."""
    spec = REGISTRY[name]
    if not spec.point_in_time:
        return "looks at later hours"
    needed = [source.value for source in spec.inputs if source not in _SOURCES]
    return f"needs {', '.join(needed)}" if needed else ""
