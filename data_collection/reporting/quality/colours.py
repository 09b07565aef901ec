"""The page's colours and what each of them says: drawings and their legends both read them here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Swatch:
    """A colour and what it stands for."""

    color: str
    meaning: str


_COMPLETE = "#cde5d6"
_LACKING = ("#a9cbe6", "#6ba1d0", "#3a72ab", "#1c477d", "#0a1c3a")
_UP_TO = (0.0, 0.01, 0.1, 0.5)  # shares that are missing, at which a band ends


def _scale(*meanings: str) -> tuple[Swatch, ...]:
    return tuple(map(Swatch, (_COMPLETE, *_LACKING), meanings))


COVERAGE = _scale(
    "complete", "99 % or more, not all", "90 to 99 %", "50 to 90 %", "below 50 %", "nothing"
)
"""How much of a month is there: pale green is only what is complete, darker is worse."""
NULLS = _scale("no nulls", "up to 1 %", "1 to 10 %", "10 to 50 %", "above 50 %", "all null")
"""The same bands, told as what is null."""
NO_LIFE = Swatch("#ffffff", "before the first trade or after the last")

EVERYWHERE = Swatch("#5b6b7a", "missing for all symbols: an outage of the exchange")
ALONE = Swatch("#b3261e", "missing for one symbol alone")

DIFFERENT = Swatch("#b3261e", "different")
ONE_SIDED = Swatch("#e0a100", "one side only")
ROUNDING = Swatch("#9cc3e0", "within rounding")
EXACT = Swatch("#1f5a8a", "exact")


def bands(missing: np.ndarray) -> np.ndarray:
    """The band of each missing share, 0 for complete to 5 for nothing there; NaN stays masked."""
    found = np.searchsorted(_UP_TO, missing, side="left")
    found[missing >= 1] = len(_UP_TO) + 1
    return np.ma.masked_where(np.isnan(missing), found)
