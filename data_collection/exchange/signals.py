"""What an answer of the exchange means: the table of its signals, and what is to be done.

Source: the exchange's error codes (https://developers.binance.com/docs/binance-spot-api-docs/errors).
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import msgspec


class Signal(StrEnum):
    """What to do with an answer."""

    FINE = "fine"
    THROTTLED = "throttled"  # freeze the pool, ask again
    BANNED = "banned"  # freeze the pool, end a batch
    FIREWALL = "firewall"  # freeze the pool for minutes, ask again
    REGION = "region refused"  # stop at once
    BAD_SYMBOL = "bad symbol"  # of the symbol alone
    OUR_FAULT = "request refused"  # stop: the request is wrong
    TRANSIENT = "transient"  # try again with backoff


TRIES = 6
_BACKOFF_FIRST, _BACKOFF_MOST = 0.5, 30.0  # seconds
FIREWALL_FREEZE = 300.0  # seconds
LONGEST_WAIT = 7 * 86_400.0  # seconds; the exchange bans for three days at most

_BY_CODE = {
    -1003: Signal.THROTTLED,
    -1121: Signal.BAD_SYMBOL,
    -1122: Signal.BAD_SYMBOL,
    -1000: Signal.TRANSIENT,
    -1001: Signal.TRANSIENT,
    -1007: Signal.TRANSIENT,
    -1008: Signal.TRANSIENT,
}
_BY_STATUS = {
    403: Signal.FIREWALL,
    418: Signal.BANNED,
    429: Signal.THROTTLED,
    451: Signal.REGION,
}
_UNTIL = re.compile(r"until (\d{13})")


class _Refusal(msgspec.Struct):
    code: int = 0
    msg: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """An answer judged."""

    signal: Signal
    detail: str = ""
    wait: float | None = None  # seconds that the answer itself asks for
    until_ms: int | None = None  # the moment that the answer's text names


def judge(status: int, headers: Mapping[str, str], body: bytes) -> Verdict:
    """Read an answer's status, headers and, where it is a refusal, its body."""
    if 200 <= status < 300:
        return Verdict(Signal.FINE)
    refusal = _refusal(body)
    detail = f"{status}" + (f" {refusal.code} {refusal.msg}"[:200] if refusal.code else "")
    signal = _BY_STATUS.get(status) or _BY_CODE.get(refusal.code)
    if signal is None:
        signal = Signal.TRANSIENT if status >= 500 else Signal.OUR_FAULT
    told = _UNTIL.search(refusal.msg)
    return Verdict(
        signal, detail, _seconds(headers.get("Retry-After")), int(told[1]) if told else None
    )


def backoff(attempt: int) -> float:
    """Seconds before the next try after so many fruitless ones: full jitter."""
    return random.uniform(0.0, min(_BACKOFF_MOST, _BACKOFF_FIRST * 2**attempt))  # noqa: S311


def _refusal(body: bytes) -> _Refusal:
    try:
        return msgspec.json.decode(body, type=_Refusal)
    except msgspec.MsgspecError:
        return _Refusal()


def _seconds(text: str | None) -> float | None:
    try:
        told = float(text) if text else math.nan
    except ValueError:
        return None
    return min(max(0.0, told), LONGEST_WAIT) if math.isfinite(told) else None
