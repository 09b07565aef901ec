"""How a running client is doing, as plain values for the status file, screen and Prometheus."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from alphaqcm.data_collection.exchange.clock import utc
from alphaqcm.data_collection.exchange.endpoints import POOL_OF_MARKET
from alphaqcm.data_collection.live.watch.metrics import Latencies, Sample, label

if TYPE_CHECKING:
    from alphaqcm.data_collection.live.service import LiveClient

FILE_NAME = "status.json"
_LATE_SHOWN = 20


class Spread(msgspec.Struct, frozen=True):
    """Durations in milliseconds."""

    count: int = 0
    p50: float = 0.0
    p99: float = 0.0
    most: float = 0.0

    @classmethod
    def of(cls, latencies: Latencies) -> Spread:
        """Of the newest."""
        p50, p99, most = (latencies.quantile(share) * 1000 for share in (0.5, 0.99, 1.0))
        return cls(latencies.count, round(p50, 3), round(p99, 3), round(most, 3))


class Told(msgspec.Struct, frozen=True):
    """An alert."""

    at: str
    kind: str
    text: str


class Status(msgspec.Struct, frozen=True):
    """One moment of a client; times are ISO 8601 in UTC, of the exchange's clock."""

    pid: int
    trade_type: str
    interval: str
    at: str
    written: float  # seconds of the machine's clock
    port: int
    warm: bool
    symbols: int
    trading: int
    ready: int
    run_time: str
    late: list[str]
    connections: int
    connections_live: int
    route: str
    frames: int
    connects: int
    ends: dict[str, int]
    unreadable: int
    bars: dict[str, int]
    gaps: int
    revisions: int
    repairing: int
    repaired: int
    files: int
    file_errors: int
    waiting_files: int
    to_bus: Spread
    to_file: Spread
    weight_used: int
    weight_limit: int
    frozen_for: float
    clock_offset_ms: float
    restarts: dict[str, int]
    alerts: dict[str, int]
    alerts_sent: int
    latest: list[Told]
    recorder: dict[str, int] = {}
    events: dict[str, int] = {}


@dataclass(slots=True)
class Watcher:
    """Looks at a client."""

    client: LiveClient
    port: int = 0

    def look(self) -> Status:
        """The client as it is now."""
        import time

        client = self.client
        keeper, receiver, metrics = client.keeper, client.receiver, client.metrics
        governor, pool = client.client.governor, POOL_OF_MARKET[client.market]
        end_ms = client.clock.now_ms() // keeper.interval_ms * keeper.interval_ms
        return Status(
            pid=os.getpid(),
            trade_type=client.config.trade_type.name,
            interval=client.config.interval,
            at=_iso(client.clock.now()),
            written=time.time(),
            port=self.port,
            warm=not keeper.starting,
            symbols=len(keeper.books),
            trading=len(keeper.trading),
            ready=keeper.ready(end_ms),
            run_time=_iso(end_ms / 1000),
            late=list(client.boundaries.late[:_LATE_SHOWN]),
            connections=len(receiver.groups),
            connections_live=receiver.live,
            route=receiver.probe.route,
            frames=receiver.counters.frames,
            connects=receiver.counters.connects,
            ends=dict(receiver.counters.ends),
            unreadable=receiver.counters.unreadable,
            bars=dict(metrics.bars),
            gaps=metrics.gaps,
            revisions=metrics.revisions,
            repairing=client.repairer.open,
            repaired=metrics.repaired_bars,
            files=metrics.files,
            file_errors=metrics.file_errors,
            waiting_files=client.publisher.waiting,
            to_bus=Spread.of(metrics.to_bus),
            to_file=Spread.of(metrics.to_file),
            weight_used=governor.used(pool),
            weight_limit=governor.limit(pool),
            frozen_for=round(governor.frozen_for(pool), 1),
            clock_offset_ms=round(client.clock_watch.offset * 1000, 1),
            restarts=dict(client.supervisor.restarts),
            alerts=dict(client.alerts.counts),
            alerts_sent=client.alerts.sent,
            latest=[Told(_iso(at), kind, text) for at, kind, text in client.alerts.latest[-5:]],
            recorder=dict(client.recorder.counts) if client.recorder else {},
            events=dict(metrics.events),
        )


def samples(status: Status) -> Iterator[Sample]:
    """The numbers of a status as Prometheus samples."""
    for name in ("symbols", "trading", "ready", "connections", "connections_live", "repairing",
                 "waiting_files", "weight_used", "weight_limit", "clock_offset_ms"):  # fmt: skip
        yield label(name), "gauge", float(getattr(status, name))
    for name in ("frames", "connects", "unreadable", "gaps", "revisions", "repaired", "files",
                 "file_errors"):  # fmt: skip
        yield label(f"{name}_total"), "counter", float(getattr(status, name))
    for name, key, values in (
        ("bars_total", "source", status.bars),
        ("connection_ends_total", "why", status.ends),
        ("alerts_total", "kind", status.alerts),
        ("restarts_total", "part", status.restarts),
        ("events_total", "topic", status.events),
        ("recorded_rows_total", "layer", status.recorder),
    ):
        for word, number in values.items():
            yield label(name, **{key: word}), "counter", float(number)
    for name, spread in (("bar_to_bus_ms", status.to_bus), ("bar_to_file_ms", status.to_file)):
        for share in ("p50", "p99", "most"):
            yield label(name, quantile=share), "gauge", float(getattr(spread, share))


def status_path(base: Path) -> Path:
    """Where a client tells its status."""
    return base / "_live" / FILE_NAME


def _iso(moment: float) -> str:
    return f"{utc(moment):%Y-%m-%dT%H:%M:%SZ}"
