"""REST client of the exchange: one governed, retried, decoded request after another.

Every request on the wire passes the governor, none is sent again or elsewhere behind its back; what
an answer means is `signals`' table. A page is asked for until it is answered once: throttled
requests wait and go again, they are never dropped.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import aiohttp
import msgspec
from yarl import URL

from alphaqcm.data_collection.errors import (
    BadSymbol,
    Banned,
    ExchangeError,
    NoAnswer,
    RegionRefused,
    RequestRefused,
)
from alphaqcm.data_collection.exchange.answers import ExchangeInfo, ServerTime
from alphaqcm.data_collection.exchange.clock import ExchangeClock, default_clock, utc
from alphaqcm.data_collection.exchange.endpoints import (
    POOL_OF_MARKET,
    PUBLIC_DATA_HOST,
    ROUTES,
    USED_WEIGHT_HEADER,
    Bases,
    Endpoint,
    Route,
)
from alphaqcm.data_collection.exchange.governor import Governor, Priority
from alphaqcm.data_collection.exchange.signals import (
    FIREWALL_FREEZE,
    LONGEST_WAIT,
    TRIES,
    Signal,
    Verdict,
    backoff,
    judge,
)
from alphaqcm.pipeline.domain.registry import Market

T = TypeVar("T")
Parameters = Mapping[str, str | int]

_LOG = logging.getLogger("alphaqcm.exchange")
_CONNECTIONS = 80
_FIREWALL_TRIES = 3
_MOST_BYTES = 1 << 26  # of an answer; the longest, exchangeInfo, has a quarter of it
_BAN_UNKNOWN = 120.0  # seconds, where an answer does not tell how long
_TIME = msgspec.json.Decoder(ServerTime)
_INFO = msgspec.json.Decoder(ExchangeInfo)

_governors: dict[int, Governor] = {}


def default_governor(clock: ExchangeClock) -> Governor:
    """The one governor of this process and clock."""
    return _governors.setdefault(id(clock), Governor(clock))


def create_aiohttp_session(timeout_sec: float) -> aiohttp.ClientSession:
    """A session whose requests end after `timeout_sec`; it follows the proxy variables."""
    return aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=timeout_sec),
        connector=aiohttp.TCPConnector(limit=_CONNECTIONS, ttl_dns_cache=300),
        trust_env=True,
    )


@dataclass(slots=True)
class Tally:
    """What a client has asked so far."""

    answers: int = 0
    weight: int = 0
    retried: Counter[str] = field(default_factory=Counter)  # by signal, mended or raised


@dataclass(frozen=True, slots=True)
class _Request:
    market: Market
    endpoint: Endpoint
    route: Route
    url: URL
    weight: int

    @classmethod
    def of(
        cls, bases: Bases, market: Market, endpoint: Endpoint, parameters: Parameters
    ) -> _Request:
        route = ROUTES[market, endpoint]
        url = URL(bases.of(market) + route.path).with_query(dict(parameters))
        return cls(market, endpoint, route, url, route.weight.of(parameters))

    def __str__(self) -> str:
        return f"{self.url.path_qs} of {self.url.host}"


@dataclass(frozen=True, slots=True)
class _Answer:
    verdict: Verdict
    body: bytes = b""
    used: int | None = None
    sent: float = 0.0  # monotonic seconds
    received: float = 0.0


class RestClient:
    """Asks the exchange; every client of a process shares one governor and one clock."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        bases: Bases | None = None,
        clock: ExchangeClock | None = None,
        notify: Callable[[str], object] = _LOG.warning,
    ) -> None:
        self.session = session
        self.bases = bases or Bases.default()
        self.clock = clock or default_clock()
        self.governor = default_governor(self.clock)
        self.tally = Tally()
        self._notify = notify
        self._synced: set[str] = set()
        self._syncing = asyncio.Lock()

    async def ask(
        self,
        market: Market,
        endpoint: Endpoint,
        decoder: msgspec.json.Decoder[T],
        parameters: Parameters | None = None,
        *,
        priority: Priority = Priority.BACKFILL,
        group: str = "",
    ) -> T:
        """One decoded answer; raises the errors of `ExchangeError`."""
        await self._sync(market)
        request = _Request.of(self.bases, market, endpoint, parameters or {})
        fruitless: Counter[Signal] = Counter()
        while True:
            async with self.governor.spend(
                request.route.pool, request.weight, priority, group
            ) as spending:
                answer = await self._send(request)
                if answer.used is not None:
                    spending.saw(answer.used)
            self.tally.weight += request.weight
            verdict = answer.verdict
            if verdict.signal is Signal.FINE:
                try:
                    decoded = decoder.decode(answer.body)
                except msgspec.MsgspecError as error:
                    verdict = Verdict(Signal.TRANSIENT, f"an answer that cannot be read: {error}")
                else:
                    self.tally.answers += 1
                    return decoded
            await self._handle(request, verdict, fruitless)

    async def server_time(self, market: Market) -> tuple[int, int]:
        """(server time in ms, weight used in its minute); sets the clock."""
        request = _Request.of(self.bases, market, Endpoint.TIME, {})
        pool = request.route.pool
        fruitless: Counter[Signal] = Counter()
        while True:
            async with self.governor.spend(pool, request.weight, Priority.LIVE):
                answer = await self._send(request)
            self.tally.weight += request.weight
            verdict = answer.verdict
            if verdict.signal is Signal.FINE:
                try:
                    told = _TIME.decode(answer.body).serverTime
                    utc(told / 1000)
                except (msgspec.MsgspecError, ValueError, OverflowError, OSError) as error:
                    verdict = Verdict(Signal.TRANSIENT, f"an answer that cannot be read: {error}")
                else:
                    self.clock.told(told, answer.sent, answer.received)
                    self.governor.observe(pool, answer.used or 0)
                    self._synced.add(self.bases.of(market))
                    return told, answer.used or 0
            await self._handle(request, verdict, fruitless)

    async def exchange_info(self, market: Market) -> ExchangeInfo:
        """The market's symbols and limits; the governor takes over the limit that it tells."""
        info = await self.ask(market, Endpoint.EXCHANGE_INFO, _INFO, priority=Priority.LIVE)
        if info.minute_weight is not None:
            self.governor.set_limit(POOL_OF_MARKET[market], info.minute_weight)
        return info

    async def _sync(self, market: Market) -> None:
        """Set the clock and learn the used weight before the first request to a host."""
        if self.bases.of(market) in self._synced:
            return
        async with self._syncing:
            if self.bases.of(market) not in self._synced:
                await self.server_time(market)

    async def _send(self, request: _Request) -> _Answer:
        sent = time.monotonic()
        try:
            async with self.session.get(
                request.url, allow_redirects=False, middlewares=(_send_once(),)
            ) as response:
                body = await _read(response)
                received = time.monotonic()
                used = response.headers.get(USED_WEIGHT_HEADER, "")
                verdict = judge(response.status, response.headers, body)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            told = f"{error}" or type(error).__name__
            return _Answer(Verdict(Signal.TRANSIENT, told[:200]))
        return _Answer(verdict, body, int(used) if used.isdigit() else None, sent, received)

    async def _handle(
        self, request: _Request, verdict: Verdict, fruitless: Counter[Signal]
    ) -> None:
        """Wait or freeze as the signal asks; raises where asking again is of no use."""
        pool, now = request.route.pool, self.clock.now()
        fruitless[verdict.signal] += 1
        self.tally.retried[verdict.signal.value] += 1
        if verdict.signal is Signal.THROTTLED:
            until = self.governor.next_window(pool) + 1.0
            self.governor.freeze(pool, until if verdict.wait is None else now + verdict.wait)
            self._synced.discard(self.bases.of(request.market))  # its minute may not be ours
            self._notify(f"throttled: pool {pool} waits {self.governor.frozen_for(pool):.0f} s")
        elif verdict.signal is Signal.BANNED:
            wait = _BAN_UNKNOWN if verdict.wait is None else verdict.wait
            until = now + wait if verdict.until_ms is None else verdict.until_ms / 1000
            until = min(until, now + LONGEST_WAIT)
            self.governor.freeze(pool, until)
            raise Banned(f"{request}", until, f"{utc(until):%Y-%m-%d %H:%M:%S} UTC")
        elif verdict.signal is Signal.FIREWALL and fruitless[verdict.signal] < _FIREWALL_TRIES:
            self.governor.freeze(pool, now + FIREWALL_FREEZE)
            self._notify(f"refused by the firewall (403): pool {pool} waits 5 minutes")
        elif verdict.signal is Signal.TRANSIENT and fruitless[verdict.signal] < TRIES:
            await self.clock.sleep(backoff(fruitless[verdict.signal] - 1))
        else:
            raise _final_error(request, verdict)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The body; raises `aiohttp.ClientError` for one without end."""
    pieces, size = [], 0
    async for piece in response.content.iter_any():
        pieces.append(piece)
        size += len(piece)
        if size > _MOST_BYTES:
            raise aiohttp.ClientPayloadError(f"an answer of more than {_MOST_BYTES:,} bytes")
    return b"".join(pieces)


def _send_once() -> aiohttp.ClientMiddlewareType:
    """Stands before the connection and lets one request pass.

    A session sends a GET again by itself where a kept connection was closed meanwhile. The exchange
    may have counted the first one, and nothing was reserved for the second.
    """
    sent = False

    async def send(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        nonlocal sent
        if sent:
            raise aiohttp.ClientConnectionError("the connection was closed before an answer")
        sent = True
        return await handler(request)

    return send


def _final_error(request: _Request, verdict: Verdict) -> ExchangeError:
    subject = f"{request}"
    if verdict.signal is Signal.REGION:
        return RegionRefused(
            subject,
            expected="a region that the exchange serves",
            found="451: it refuses this one",
            next_step="the archive may still work (--seed-from-archive), and for spot "
            f"--exchange {PUBLIC_DATA_HOST}",
        )
    if verdict.signal is Signal.BAD_SYMBOL:
        return BadSymbol(subject, expected="a symbol that is traded", found=verdict.detail)
    if verdict.signal is Signal.OUR_FAULT:
        return RequestRefused(
            subject,
            expected="an accepted request",
            found=verdict.detail,
            next_step="this is a defect of the program or a change of the exchange: report it",
        )
    return NoAnswer(
        subject,
        expected=f"an answer within {TRIES} tries",
        found=verdict.detail,
        next_step="check the network and run the same command again; what was fetched is kept",
    )
