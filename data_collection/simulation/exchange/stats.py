"""What the simulated exchange has answered and sent, for those who must prove something."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from alphaqcm.data_collection.simulation.exchange.facts import POOLS
from alphaqcm.data_collection.simulation.exchange.weights import WeightBook

_MOST_PAGES = 500_000


def page_key(path: str, params: Mapping[str, str]) -> str:
    """One page's name: the path and its parameters in order."""
    return path + "?" + "&".join(f"{name}={params[name]}" for name in sorted(params))


@dataclass(slots=True)
class Stats:
    """Counters since the start or the last reset."""

    pages: Counter[str] = field(default_factory=Counter)  # good answers by page key
    statuses: Counter[int] = field(default_factory=Counter)
    paths: Counter[str] = field(default_factory=Counter)  # requests by path
    connections: int = 0  # WebSockets opened
    open_connections: int = 0
    acknowledged: int = 0
    frames: int = 0  # frames sent
    frame_bytes: int = 0
    cut_off: Counter[str] = field(default_factory=Counter)  # connections the exchange ended, by why

    def answered(self, key: str, path: str, status: int) -> None:
        """Count one answer."""
        self.statuses[status] += 1
        self.paths[path] += 1
        if status == 200 and len(self.pages) < _MOST_PAGES:
            self.pages[key] += 1

    def as_json(self, weights: WeightBook, *, pages: bool) -> dict[str, object]:
        """What `GET /__stats__` answers; with every page's count where `pages` is asked for."""
        windows = [
            {
                "address": address,
                "pool": pool.value,
                "start": start,
                "used": used,
                "limit": POOLS[pool].limit,
            }
            for (address, pool, start), used in sorted(weights.used.items())
        ]
        return {
            "windows": windows,
            "statuses": {str(status): number for status, number in self.statuses.items()},
            "refused": self.statuses[429],
            "paths": dict(self.paths),
            "pages": dict(self.pages) if pages else len(self.pages),
            "repeated_pages": {key: n for key, n in self.pages.items() if n > 1},
            "websocket": {
                "connections": self.connections,
                "open": self.open_connections,
                "acknowledged": self.acknowledged,
                "frames": self.frames,
                "bytes": self.frame_bytes,
                "cut_off": dict(self.cut_off),
            },
        }
