"""What can go wrong at the exchange, as data: every fault, what it does, what must hold under it.

`GET /__faults__` gives this table; `fault_plan` plants what it names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class FaultKind(StrEnum):
    """The faults by the names that scenario files use."""

    STORM_429 = "storm-429"
    BAN_418 = "ban-418"
    FIREWALL_403 = "firewall-403"
    REGION_451 = "region-451"
    SERVER_ERROR = "server-error"
    CUT_JSON = "cut-json"
    STALL = "stall"
    DROP = "drop"
    RESET = "reset"
    WRONG_LAST = "wrong-last"
    WS_DROP = "ws-drop"
    WS_HALF_OPEN = "ws-half-open"
    WS_STALL = "ws-stall"
    WS_SLOW_CONSUMER = "ws-slow-consumer"
    WS_RESET = "ws-reset"
    WS_SHUTDOWN = "ws-shutdown"
    ACK_NO_DATA = "ack-no-data"
    STREAM_STOP = "stream-stop"
    LATE_CLOSE = "late-close"
    MISSING_CLOSE = "missing-close"
    MISSING_MINUTE = "missing-minute"
    DUPLICATE = "duplicate"
    OUT_OF_ORDER = "out-of-order"
    ID_GAP = "id-gap"
    MERGED_ARRAYS = "merged-arrays"
    HOLE = "hole"
    DELIST = "delist"
    NEW_LISTING = "new-listing"
    HALT = "halt"
    CLOCK_SKEW = "clock-skew"


class Side(StrEnum):
    """Where a fault bites."""

    REST = "rest"
    SOCKET = "socket"
    TRUTH = "truth"


@dataclass(frozen=True, slots=True)
class FaultFact:
    """One fault: where it bites, what it does, the assertion that a client must pass under it."""

    side: Side
    does: str
    holds: str


_EQUAL = "the final store equals the truth"
_REST, _SOCKET, _TRUTH = Side.REST, Side.SOCKET, Side.TRUTH

FAULTS: Mapping[FaultKind, FaultFact] = {
    FaultKind.STORM_429: FaultFact(
        _REST, "429 with Retry-After `seconds_after`, whatever was used",
        f"{_EQUAL}; no request of the pool before Retry-After has passed; every page re-queued",
    ),
    FaultKind.BAN_418: FaultFact(
        _REST, "bans the address for `seconds_after` (default 120): 418 to all of its requests",
        f"{_EQUAL} after the ban; one alert; no request during it; a batch ends with exit code 75",
    ),
    FaultKind.FIREWALL_403: FaultFact(
        _REST, "403 with a page of HTML", f"{_EQUAL}; one alert; five minutes without requests",
    ),
    FaultKind.REGION_451: FaultFact(
        _REST, "451: the region is refused", "stops at once with one clear error; keeps its rows",
    ),
    FaultKind.SERVER_ERROR: FaultFact(
        _REST, "`status` (default 503) with code -1000, or -1008 where it is 503",
        f"{_EQUAL}; at most six tries of a page",
    ),
    FaultKind.CUT_JSON: FaultFact(
        _REST, "200 with half of the body, its length said truly", f"{_EQUAL}; the page again",
    ),
    FaultKind.STALL: FaultFact(
        _REST, "answers `seconds_after` (default 30) late", f"{_EQUAL}; a time-out ends it",
    ),
    FaultKind.DROP: FaultFact(
        _REST, "closes the connection without an answer", f"{_EQUAL}; nothing doubled",
    ),
    FaultKind.RESET: FaultFact(
        _REST, "resets the connection in the middle of the body", f"{_EQUAL}; nothing doubled",
    ),
    FaultKind.WRONG_LAST: FaultFact(
        _REST, "klines give a closed candle wrongly in the first five seconds after its close",
        f"{_EQUAL}; a read within ten seconds of the close is done once more; a revision each",
    ),
    FaultKind.WS_DROP: FaultFact(
        _SOCKET, "ends the TCP connection without a close frame",
        f"{_EQUAL}; reconnects; the gap repaired over REST",
    ),
    FaultKind.WS_HALF_OPEN: FaultFact(
        _SOCKET, "the connection stays up and gives nothing any more, not even pings",
        f"{_EQUAL}; reconnects after 30 s of silence",
    ),
    FaultKind.WS_STALL: FaultFact(
        _SOCKET, "frames are held back for `seconds`, then come all at once",
        f"{_EQUAL}; nothing doubled",
    ),
    FaultKind.WS_SLOW_CONSUMER: FaultFact(
        _SOCKET, "a client is cut off when more than `value` bytes wait for it",
        f"{_EQUAL}; reconnects",
    ),
    FaultKind.WS_RESET: FaultFact(
        _SOCKET, "resets the connection in the middle of a frame",
        f"{_EQUAL}; the half frame is dropped",
    ),
    FaultKind.WS_SHUTDOWN: FaultFact(
        _SOCKET, "sends serverShutdown, and ends the connection `seconds_after` (default 60) later",
        f"{_EQUAL}; the new connection is up before the old one goes; nothing repaired over REST",
    ),
    FaultKind.ACK_NO_DATA: FaultFact(
        _SOCKET, "acknowledges subscriptions and sends nothing of them",
        f"{_EQUAL}; noticed 20 s after the ACK; one alert",
    ),
    FaultKind.STREAM_STOP: FaultFact(
        _SOCKET, "streams stop on the connections that are open; other streams and new ones go on",
        f"{_EQUAL}; candles that came all the time are missed after 30 s; one alert",
    ),
    FaultKind.LATE_CLOSE: FaultFact(
        _SOCKET, "closing frames come `seconds_after` (default 60) late",
        f"{_EQUAL}; identical late frames accepted without a revision",
    ),
    FaultKind.MISSING_CLOSE: FaultFact(
        _SOCKET, "closing frames do not come", f"{_EQUAL}; repaired over REST with weight 1",
    ),
    FaultKind.MISSING_MINUTE: FaultFact(
        _SOCKET, "no kline frame at all of the candles of a time", f"{_EQUAL}; repaired over REST",
    ),
    FaultKind.DUPLICATE: FaultFact(
        _SOCKET, "frames come twice", f"{_EQUAL}; nothing doubled",
    ),
    FaultKind.OUT_OF_ORDER: FaultFact(
        _SOCKET, "two frames of a connection change places", f"{_EQUAL}; nothing lost",
    ),
    FaultKind.ID_GAP: FaultFact(
        _SOCKET, "aggTrade frames are left out; REST has the trades",
        f"{_EQUAL}; the missing ids fetched with fromId",
    ),
    FaultKind.MERGED_ARRAYS: FaultFact(
        _SOCKET, "the streams that carry rows of um and cm, forced orders and contracts, give them "
        "in arrays, one for all of `seconds_after` (default 10), with a row that is no event",
        f"{_EQUAL}; every row of the own market taken, none of the other's",
    ),
    FaultKind.HOLE: FaultFact(
        _TRUTH, "no candle and no trade in [start, start + seconds): REST and truth as well",
        f"{_EQUAL}; the gap told; not asked for again and again",
    ),
    FaultKind.DELIST: FaultFact(
        _TRUTH, "the symbol stops trading; klines give error `value` (-1121, -1122) if set",
        f"{_EQUAL}; the symbol marked as delisted; the others go on",
    ),
    FaultKind.NEW_LISTING: FaultFact(
        _TRUTH, "a new symbol trades from `start` on",
        f"{_EQUAL}; its first ready file only when it is contiguous",
    ),
    FaultKind.HALT: FaultFact(
        _TRUTH, "the symbol does not trade for `seconds`, its status says so",
        f"{_EQUAL}; no time-out alerts of the symbol",
    ),
    FaultKind.CLOCK_SKEW: FaultFact(
        _TRUTH, "the exchange's clock goes wrong by `value` ms against `__clock__`",
        f"{_EQUAL}; times follow the exchange's clock",
    ),
}  # fmt: skip
