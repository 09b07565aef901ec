"""A live directory's config.json: its keys, their defaults, and one line for each bad value."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import orjson

from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.exchange.endpoints import (
    TRADE_TYPE_ALIASES,
    TRADE_TYPES,
    TradeType,
)
from alphaqcm.data_collection.live.sockets.routes import Addresses

FILE_NAME = "config.json"
INTERVALS = ("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d")
MOST_CANDLES = 10_000
_MARKETS_WHOLE = ("spot", "usdt_futures", "coin_futures")  # of the candle store, no live types


class SaveType(StrEnum):
    """How candle files are written."""

    PARQUET = "parquet"
    FEATHER = "feather"


class ExtraStream(StrEnum):
    """Streams beside the candles."""

    AGG_TRADE = "aggTrade"
    MARK_PRICE = "markPrice"
    FORCE_ORDER = "forceOrder"


class AlertKind(StrEnum):
    """Where alerts can go."""

    DINGDING = "dingding"
    WECHAT_WORK = "wechat_work"
    WEBHOOK = "webhook"
    LOG = "log"


_ALERT_WORDS: Mapping[AlertKind, tuple[str, ...]] = {
    AlertKind.DINGDING: ("access_token",),
    AlertKind.WECHAT_WORK: ("key",),
    AlertKind.WEBHOOK: ("url",),
    AlertKind.LOG: (),
}


@dataclass(frozen=True, slots=True)
class AlertTarget:
    """One place that alerts go to; its settings may be secrets and are never shown."""

    kind: AlertKind
    settings: Mapping[str, str] = field(repr=False, default_factory=dict)


@dataclass(frozen=True, slots=True)
class LiveConfig:
    """What one live directory is for; times are seconds of the exchange's clock."""

    interval: str
    trade_type: TradeType
    alias: str = ""  # the name that config.json gave, where that is another
    num_candles: int = 1500
    funding_rate: bool = False
    http_timeout_sec: float = 5.0
    candle_close_timeout_sec: float = 15.0
    keep_symbols: tuple[str, ...] | None = None
    save_type: SaveType = SaveType.PARQUET
    num_rest_fetchers: int = 8
    num_socket_listeners: int = 8
    alerts: tuple[AlertTarget, ...] = ()
    zmq_pub: str | None = None
    streams: frozenset[ExtraStream] = frozenset()
    fsync: bool = False
    priority_symbols: tuple[str, ...] = ()
    addresses: Addresses = field(default_factory=Addresses)
    archive_dir: Path | None = None
    tradifi: bool = False
    fill_flat: bool = False
    warnings: tuple[str, ...] = ()

    def at(self, url: str) -> LiveConfig:
        """The same, with every request and stream to one stand-in; raises `UsageError`."""
        from dataclasses import replace

        return replace(self, addresses=Addresses.at(url))


def load_config(base: Path) -> LiveConfig:
    """Read `base/config.json`; raises `UsageError` in one line for whatever does not fit."""
    path = base / FILE_NAME
    try:
        words = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        raise UsageError(
            path,
            expected="a config.json",
            found="none",
            next_step='write one, such as {"interval": "1h", "trade_type": "usdt_perp"}',
        ) from None
    except (OSError, orjson.JSONDecodeError) as error:
        raise UsageError(path, expected="a JSON object", found=f"{error}") from error
    return parse_config(words, path)


def parse_config(words: object, path: Path | str = FILE_NAME) -> LiveConfig:
    """A configuration from its JSON; raises `UsageError`."""
    if not isinstance(words, dict):
        raise UsageError(path, expected="a JSON object", found=type(words).__name__)
    missing = [name for name in ("interval", "trade_type") if name not in words]
    if missing:
        raise UsageError(path, expected="interval and trade_type", found=f"no {missing[0]}")
    values: dict[str, Any] = {}
    warnings = []
    for key, value in words.items():
        reader = _READERS.get(key)
        if reader is None:
            near = difflib.get_close_matches(key, _READERS, 1, cutoff=0.4)
            hint = f"; the nearest known one is {near[0]}" if near else ""
            warnings.append(f"{path}: unknown key {key!r} is ignored{hint}")
            continue
        try:
            found = reader(value)
        except _Refused as refused:
            raise UsageError(
                f"{path}: {key}", expected=refused.args[0], found=_shown(key, value)
            ) from None
        for name, one in found.items():
            values[name] = values[name] + one if name == "alerts" and name in values else one
    return LiveConfig(**values, warnings=tuple(warnings))


class _Refused(Exception):
    """A value that does not fit; its text says what is allowed."""


_SECRET_KEYS = ("dingding", "msg_sender", "alerts")


def _shown(key: str, value: object) -> str:
    return "a value that is not shown" if key in _SECRET_KEYS else f"{value!r}"[:80]


def _one_of(name: str, allowed: tuple[str, ...], make: Callable[[str], Any]) -> Any:
    def read(value: object) -> dict[str, Any]:
        if not isinstance(value, str) or value not in allowed:
            raise _Refused("one of " + ", ".join(allowed))
        return {name: make(value)}

    return read


def _whole(name: str, least: int, most: int) -> Any:
    def read(value: object) -> dict[str, Any]:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise _Refused(f"a whole number from {least} to {most}")
        return {name: value}

    return read


def _seconds(name: str, most: float) -> Any:
    def read(value: object) -> dict[str, Any]:
        fits = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= most
        if not fits:
            raise _Refused(f"seconds above 0 and at most {most:g}")
        return {name: float(value)}  # type: ignore[arg-type]

    return read


def _flag(name: str) -> Any:
    def read(value: object) -> dict[str, Any]:
        if not isinstance(value, bool):
            raise _Refused("true or false")
        return {name: value}

    return read


def _symbols(name: str, *, optional: bool) -> Any:
    def read(value: object) -> dict[str, Any]:
        if value is None:
            return {name: None if optional else ()}
        if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
            raise _Refused("null or a list of symbols")
        return {name: tuple(dict.fromkeys(one.upper() for one in value))}

    return read


def _trade_type(value: object) -> dict[str, Any]:
    known = [name for name in TRADE_TYPES if name not in _MARKETS_WHOLE]
    if isinstance(value, str):
        name = TRADE_TYPE_ALIASES.get(value, value)
        if name in known:
            return {"trade_type": TRADE_TYPES[name], "alias": value if value != name else ""}
    raise _Refused("one of " + ", ".join([*known, *TRADE_TYPE_ALIASES]))


def _streams(value: object) -> dict[str, Any]:
    allowed = tuple(ExtraStream)
    if not isinstance(value, list) or not all(one in allowed for one in value):
        raise _Refused("a list of " + ", ".join(allowed))
    return {"streams": frozenset(ExtraStream(one) for one in value)}


def _zmq(value: object) -> dict[str, Any]:
    if value is None:
        return {"zmq_pub": None}
    address = value.get("pub") if isinstance(value, dict) and set(value) == {"pub"} else None
    if not isinstance(address, str) or not address.startswith(("ipc://", "tcp://")):
        raise _Refused('null or {"pub": "ipc://…"}')
    return {"zmq_pub": address}


def _bases(value: object) -> dict[str, Any]:
    try:
        return {"addresses": Addresses.parse(value)}
    except ValueError as error:
        raise _Refused(f"{error}") from None


def _archive_dir(value: object) -> dict[str, Any]:
    if value is None:
        return {"archive_dir": None}
    if not isinstance(value, str) or not Path(value).is_dir():
        raise _Refused("null or a directory that is there")
    return {"archive_dir": Path(value)}


def _dingding(value: object) -> dict[str, Any]:
    if value is None:
        return {}
    error = value.get("error") if isinstance(value, dict) else None
    if not isinstance(error, dict):
        raise _Refused('null or {"error": {"access_token": …, "secret": …}}')
    return {"alerts": (_target({"type": AlertKind.DINGDING, **error}),)}


def _targets(value: object) -> dict[str, Any]:
    """A list of targets, one target alone, or the name of one that needs no settings."""
    if value is None:
        return {}
    if isinstance(value, str):
        value = {"type": value}
    rows = value if isinstance(value, list) else [value]
    return {"alerts": tuple(_target(row) for row in rows)}


def _target(row: object) -> AlertTarget:
    kinds = ", ".join(AlertKind)
    if not isinstance(row, dict) or row.get("type") not in tuple(AlertKind):
        raise _Refused(f'objects with a "type" of {kinds}')
    kind = AlertKind(row["type"])
    settings = {key: value for key, value in row.items() if key != "type"}
    for name in _ALERT_WORDS[kind]:
        if not isinstance(settings.get(name), str):
            raise _Refused(f"a text {name} for {kind}")
    return AlertTarget(kind, {key: str(value) for key, value in settings.items()})


_READERS: Mapping[str, Callable[[object], dict[str, Any]]] = {
    "interval": _one_of("interval", INTERVALS, str),
    "trade_type": _trade_type,
    "num_candles": _whole("num_candles", 1, MOST_CANDLES),
    "funding_rate": _flag("funding_rate"),
    "http_timeout_sec": _seconds("http_timeout_sec", 600),
    "candle_close_timeout_sec": _seconds("candle_close_timeout_sec", 600),
    "keep_symbols": _symbols("keep_symbols", optional=True),
    "save_type": _one_of("save_type", tuple(SaveType), SaveType),
    "num_rest_fetchers": _whole("num_rest_fetchers", 1, 64),
    "num_socket_listeners": _whole("num_socket_listeners", 1, 64),
    "dingding": _dingding,
    "msg_sender": _targets,
    "alerts": _targets,
    "zmq": _zmq,
    "streams": _streams,
    "fsync": _flag("fsync"),
    "priority_symbols": _symbols("priority_symbols", optional=False),
    "bases": _bases,
    "archive_dir": _archive_dir,
    "tradifi": _flag("tradifi"),
    "fill_flat": _flag("fill_flat"),
}
"""Each key and what reads its value; `alphaqcm docs live` tells them."""

KEYS = tuple(_READERS)
