"""MarketStore's YAML with its feeder, read into values: unknown keys are named, none is ignored."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import yaml

from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.marketstore.bucket_key import TIMEFRAMES, spelled
from alphaqcm.data_collection.marketstore.config_map import ConfigMap
from alphaqcm.data_collection.marketstore.writer import require_writable
from alphaqcm.pipeline.domain.registry import Market, parse_market
from alphaqcm.pipeline.domain.symbol import Symbol
from alphaqcm.pipeline.errors import BadName

DEFAULT_PORT: Final = 5993
_MOST_BYTES: Final = 1 << 20  # of a configuration file


class Sink(StrEnum):
    """Where the feeder's candles are offered."""

    ENDPOINT = "endpoint"  # by our own endpoint
    MARKETSTORE = "marketstore"  # and written to a real server too


class StreamType(StrEnum):
    """What real time listens to."""

    KLINE = "kline"
    TRADE = "trade"
    DEPTH = "depth"


@dataclass(frozen=True, slots=True)
class Backfill:
    """History to bring in: [start_ms, end_ms), an end of None is the exchange's now."""

    enabled: bool = False
    start_ms: int = 0
    end_ms: int | None = None
    batch_size: int = 1000  # candles that are asked for before they are kept
    parallelism: int = 4  # symbols at once


@dataclass(frozen=True, slots=True)
class RealTime:
    """What is listened to, and how patiently."""

    enabled: bool = False
    streams: tuple[StreamType, ...] = (StreamType.KLINE,)
    update_freq: float = 60.0  # seconds between two writes of trades and books
    buffer_size: int = 10_000  # trades or books of a symbol that wait to be written


@dataclass(frozen=True, slots=True)
class FeederConfig:
    """One feeder: its market, symbols and parts."""

    market: Market = Market.UM
    symbols: tuple[str, ...] = ()
    testnet: bool = False
    sink: Sink = Sink.ENDPOINT
    server: str = ""  # of a real MarketStore: its /rpc
    timeframes: tuple[str, ...] = ("1Min",)  # that are written there
    backfill: Backfill = Backfill()
    realtime: RealTime = RealTime()
    log_level: str = "info"


@dataclass(frozen=True, slots=True)
class MarketstoreConfig:
    """The whole file."""

    root_directory: Path | None = None
    listen_host: str = "127.0.0.1"
    listen_port: int = DEFAULT_PORT
    timezone: str = "UTC"
    allow_remote_writes: bool = False
    allowed_hosts: tuple[str, ...] = ()
    user_bytes: int = 1 << 30
    feeders: tuple[FeederConfig, ...] = ()
    unused: tuple[str, ...] = field(default=())  # keys of MarketStore's that mean nothing here

    @property
    def market(self) -> Market:
        """The market of names without a prefix."""
        return self.feeders[0].market if self.feeders else Market.UM


_OWN_KEYS: Final = (
    "root_directory", "listen_host", "listen_port", "timezone", "allow_remote_writes",
    "allowed_hosts", "user_bytes", "bgworkers",
)  # fmt: skip
_UNUSED_KEYS: Final = (
    "grpc_listen_port", "grpc_max_send_msg_size", "grpc_max_recv_msg_size", "utilities_url",
    "log_level", "queryable", "stop_grace_period", "wal_rotate_interval", "stale_threshold",
    "disable_variable_compression", "enable_add", "enable_remove", "enable_last_known",
    "init_catalog", "init_wal_cache", "background_sync", "wal_bypass", "cluster_mode", "start_time",
    "triggers", "replication",
)  # fmt: skip
"""MarketStore's other keys (https://github.com/alpacahq/marketstore, utils/config.go)."""

_WORKER_KEYS: Final = ("module", "name", "config")
_FEEDER_KEYS: Final = (
    "api_key", "secret_key", "testnet", "symbols", "timeframe", "backfill", "realtime",
    "log_level", "sink", "market", "server",
)  # fmt: skip
_BACKFILL_KEYS: Final = (
    "enabled", "start_time", "end_time", "batch_size", "parallelism", "interval"
)  # fmt: skip
_REALTIME_KEYS: Final = (
    "enabled", "stream_type", "update_freq", "buffer_size", "max_retries", "retry_delay"
)  # fmt: skip
_LEVELS: Final = ("debug", "info", "warning", "warn", "error")


def read_config(path: Path) -> MarketstoreConfig:
    """The file's values; raises `UsageError` that names the key which does not fit."""
    try:
        with path.open("rb") as stream:
            data = stream.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise ValueError(f"more than {_MOST_BYTES} bytes")
        content = yaml.safe_load(data.decode())
    except (OSError, ValueError, RecursionError) as error:
        told = " ".join(f"{error}".split())
        raise UsageError(path, expected="MarketStore's YAML", found=told[:300]) from error
    except yaml.YAMLError as error:
        # its own text quotes the line, in which a key may stand
        mark = getattr(error, "problem_mark", None)
        told = f"{getattr(error, 'problem', None) or 'no YAML'}"
        told += f" in line {mark.line + 1}" if mark else ""
        raise UsageError(path, expected="MarketStore's YAML", found=told) from None
    return parse_config(ConfigMap(path.name, "", {} if content is None else content))


def parse_config(top: ConfigMap) -> MarketstoreConfig:
    """The values of a file that is read."""
    top.require_known(*_OWN_KEYS, *_UNUSED_KEYS)
    zone = top.text("timezone", "UTC")
    try:
        ZoneInfo(zone)
    except (OSError, ValueError, KeyError) as error:
        raise top.wrong("timezone", "the name of a time zone, such as UTC") from error
    workers = [
        ConfigMap(top.name, f"bgworkers[{n}]", one) for n, one in enumerate(top.list("bgworkers"))
    ]
    root = top.text("root_directory", "")
    return MarketstoreConfig(
        root_directory=Path(root).expanduser() if root else None,
        listen_host=top.text("listen_host", "") or "127.0.0.1",
        listen_port=top.whole("listen_port", DEFAULT_PORT, 0, 65_535),
        timezone=zone,
        allow_remote_writes=top.flag("allow_remote_writes", default=False),
        allowed_hosts=tuple(top.texts("allowed_hosts")),
        user_bytes=top.whole("user_bytes", 1 << 30, 0, 1 << 50),
        feeders=tuple(_feeder(one) for one in workers),
        unused=tuple(key for key in _UNUSED_KEYS if key in top.content),
    )


def _feeder(worker: ConfigMap) -> FeederConfig:
    worker.require_known(*_WORKER_KEYS)
    own = worker.map("config")
    own.require_known(*_FEEDER_KEYS)
    try:
        market = parse_market(own.text("market", "um"))
    except BadName as error:
        raise own.wrong("market", "um, spot or cm") from error
    level = own.choice("log_level", "info", _LEVELS)
    sink = Sink(own.choice("sink", Sink.ENDPOINT, tuple(Sink)))
    server = own.text("server", "")
    if sink is Sink.MARKETSTORE and not re.match(r"https?://[^/]+/rpc$", server):
        raise own.wrong("server", "with sink: marketstore the server's http://HOST:PORT/rpc")
    timeframes = _timeframes(own, sink)
    try:
        symbols = tuple(
            dict.fromkeys(Symbol.parse(one, market).exchange for one in own.texts("symbols"))
        )
    except BadName as error:
        raise own.wrong("symbols", error.expected) from error
    backfill, realtime = _backfill(own.map("backfill")), _realtime(own.map("realtime"))
    if (backfill.enabled or realtime.enabled) and not symbols:
        raise own.wrong("symbols", "one or more, where backfill or realtime is enabled")
    return FeederConfig(
        market=market,
        symbols=symbols,
        testnet=own.flag("testnet", default=False),
        sink=sink,
        server=server,
        timeframes=timeframes,
        backfill=backfill,
        realtime=realtime,
        log_level="warning" if level == "warn" else level,
    )


def _timeframes(own: ConfigMap, sink: Sink) -> tuple[str, ...]:
    found = []
    for text in own.texts("timeframe") or ["1Min"]:
        try:
            timeframe = spelled(text)
        except BadName:
            timeframe = ""
        if timeframe not in TIMEFRAMES:
            raise own.wrong("timeframe", ", ".join(TIMEFRAMES) + " or an alias (1m … 1w)")
        if sink is Sink.MARKETSTORE:
            require_writable(timeframe)
        found.append(timeframe)
    return tuple(dict.fromkeys(found))


def _backfill(own: ConfigMap) -> Backfill:
    own.require_known(*_BACKFILL_KEYS)
    enabled = own.flag("enabled", default=False)
    start, end = own.moment("start_time"), own.moment("end_time")
    if enabled and start is None:
        raise own.wrong("start_time", "a date or an instant (UTC), such as 2024-01-01")
    if start is not None and end is not None and end <= start:
        raise own.wrong("end_time", "a time after start_time")
    if "interval" in own.content:  # the weight governor paces requests; told here, used nowhere
        own.seconds("interval", 0.0)
    return Backfill(
        enabled,
        start or 0,
        end,
        own.whole("batch_size", 1000, 1, 1_000_000),
        own.whole("parallelism", 4, 1, 64),
    )


def _realtime(own: ConfigMap) -> RealTime:
    own.require_known(*_REALTIME_KEYS)
    streams = own.texts("stream_type") or [StreamType.KLINE]
    if wrong := [one for one in streams if one not in tuple(StreamType)]:
        raise own.wrong("stream_type", ", ".join(StreamType), wrong[0])
    # connections are opened again for ever, with the receiver's own pauses: told here, used nowhere
    own.whole("max_retries", 0, 0, 1_000_000)
    own.seconds("retry_delay", 1.0)
    return RealTime(
        own.flag("enabled", default=False),
        tuple(dict.fromkeys(StreamType(one) for one in streams)),
        own.seconds("update_freq", 60.0),
        own.whole("buffer_size", 10_000, 1, 10_000_000),
    )
