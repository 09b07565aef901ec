"""A simulated exchange whose clock stands at a known moment, and a client of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import requests

from alphaqcm.data_collection.simulation.exchange import Exchange, ExchangeSpec, UniverseSize

START_MS = 1_779_278_430_000
"""2026-05-20 12:00:30 UTC: half a minute into a minute, an hour and a five-minute window."""

SMALL = ExchangeSpec(
    start_ms=START_MS, speed=0.001, size=UniverseSize(spot=3, um=3, cm=2), patience=5
)
"""A clock that all but stands: tests move it."""


@dataclass(frozen=True)
class Client:
    """Asks an exchange over HTTP."""

    exchange: Exchange
    session: requests.Session

    @property
    def url(self) -> str:
        return self.exchange.url

    def get(self, path: str, **params: object) -> requests.Response:
        return self.session.get(self.url + path, params=params, timeout=20)  # type: ignore[arg-type]

    def json(self, path: str, **params: object) -> Any:
        answer = self.get(path, **params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def fault(self, **words: object) -> None:
        answer = self.session.post(self.url + "/__fault__", json=words, timeout=20)
        assert answer.status_code == 200, answer.text

    def advance(self, seconds: float) -> None:
        self.exchange.state.clock.advance(seconds * 1000)

    @property
    def now(self) -> int:
        return self.exchange.state.clock.now_ms()


Start = Callable[..., Client]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts exchanges: `SMALL` with some words of its spec changed."""
    running: list[Client] = []

    def run(**words: Any) -> Client:
        exchange = Exchange(replace(SMALL, **words))
        exchange.start()
        running.append(Client(exchange, requests.Session()))
        return running[-1]

    yield run
    for client in running:
        client.session.close()
        client.exchange.stop()


@pytest.fixture
def client(start: Start) -> Client:
    """An exchange of a few symbols."""
    return start()
