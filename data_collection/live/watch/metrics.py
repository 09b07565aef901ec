"""Numbers of a running client, and their text for Prometheus."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

_KEPT = 20_000


@dataclass(slots=True)
class Latencies:
    """The newest durations of one kind, in seconds."""

    values: deque[float] = field(default_factory=lambda: deque(maxlen=_KEPT))
    count: int = 0
    total: float = 0.0

    def add(self, seconds: float) -> None:
        """One more."""
        self.values.append(seconds)
        self.count += 1
        self.total += seconds

    def quantile(self, share: float) -> float:
        """A quantile of the newest; 0 without any."""
        if not self.values:
            return 0.0
        ordered = sorted(self.values)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@dataclass(slots=True)
class Metrics:
    """Counted by every part; times are real seconds."""

    bars: Counter[str] = field(default_factory=Counter)  # by source
    outcomes: Counter[str] = field(default_factory=Counter)  # of offered candles
    gaps: int = 0
    revisions: int = 0
    repairs: int = 0
    repaired_bars: int = 0
    late: int = 0
    files: int = 0
    file_errors: int = 0
    to_bus: Latencies = field(default_factory=Latencies)  # close frame to bar on the bus
    to_file: Latencies = field(default_factory=Latencies)  # bar on the bus to ready file
    events: Counter[str] = field(default_factory=Counter)  # extra streams, by topic


Sample = tuple[str, str, float]
"""Name with labels, kind (counter or gauge), value."""


def prometheus(samples: Iterable[Sample]) -> str:
    """The text format of Prometheus; samples of one name stand together."""
    lines: list[str] = []
    seen: set[str] = set()
    for name, kind, value in samples:
        bare = name.partition("{")[0]
        if bare not in seen:
            seen.add(bare)
            lines.append(f"# TYPE {bare} {kind}")
        lines.append(f"{name} {value:.17g}")
    return "\n".join(lines) + "\n"


def label(name: str, **labels: object) -> str:
    """A name with labels as Prometheus writes them."""
    told = ",".join(f'{key}="{_escaped(str(value))}"' for key, value in sorted(labels.items()))
    return f"alphaqcm_live_{name}" + (f"{{{told}}}" if told else "")


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
