"""One WebSocket of the exchange: its subscriptions, its frames, and the watch over its silence."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import aiohttp
import msgspec
import orjson

from alphaqcm.data_collection.exchange.clock import ExchangeClock
from alphaqcm.data_collection.live.sockets.frames import ANSWER, Topic, rows_of, topic_of
from alphaqcm.data_collection.live.sockets.kline_watch import KlineWatch
from alphaqcm.data_collection.live.sockets.limiter import RateLimiter
from alphaqcm.data_collection.live.sockets.routes import MESSAGES_A_SECOND, NAMES_A_MESSAGE

Hear = Callable[[Topic, bytes, int], None]
"""Gets a frame: its topic, its bytes, and the monotonic nanoseconds at which it came."""

_LOOK = 1.0  # seconds between two looks of the watchdog
_SHORTEST_LOOK = 0.05  # of real time
_SHORTEST_OPEN = 5.0  # of real time, however fast the clock
_SECOND_LOOK = 0.03  # seconds of real time in which what waits to be read is read first
_CLOSE_PATIENCE = 2.0  # seconds of real time for the exchange's close frame
_MOST_BYTES = 64 * 2**20


class End(StrEnum):
    """Why a connection ended."""

    LOST = "connection lost"
    REFUSED = "not let in"
    SILENT = "no frame for 30 s"
    WRONG_ROUTE = "acknowledged, and no frame in 20 s"
    DEAF = "no candle over a close"
    NO_CANDLES = "frames come, and no candles"
    REPLACED = "replaced"


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds of the exchange's clock."""

    silence: float = 30.0
    first_frame: float = 20.0
    first_candle: float = 20.0
    open: float = 10.0


@dataclass(slots=True)
class Counters:
    """What all connections of a receiver have seen."""

    frames: int = 0
    frame_bytes: int = 0
    connects: int = 0
    unreadable: int = 0
    ends: dict[str, int] = field(default_factory=dict)


class Connection:
    """Opened and read by `run`, which returns why it ended. `wanted` is kept subscribed.

    `trades` tells how many trades a second the symbols have whose candles are among `wanted`.
    `live` is set once everything wanted is acknowledged and a first frame of data has come.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        wanted: Mapping[str, None],
        hear: Hear,
        clock: ExchangeClock,
        counters: Counters,
        kline_mark: bytes,
        patience: Patience | None = None,
        trades: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.url = url
        self.live = asyncio.Event()
        self.leaving = asyncio.Event()  # the exchange said that it will end the connection
        self.live_since = 0.0
        self.last_frame = 0.0
        self._session, self._clock, self._hear = session, clock, hear
        self._wanted, self._counters = wanted, counters
        self._kline_mark = kline_mark
        self._patience = patience = patience or Patience()
        self.klines = KlineWatch(patience.first_candle, patience.silence, trades)
        self._sent: dict[str, None] = {}
        self._asked: dict[int, int] = {}  # commands without an answer: number of streams by id
        self._acked_at: float | None = None
        self._heard_data = False
        self._opened = 0.0
        self._numbers = itertools.count(1)
        self._changed = asyncio.Event()
        self._limiter = RateLimiter(clock, MESSAGES_A_SECOND, 1.0)
        self._socket: aiohttp.ClientWebSocketResponse[bool] | None = None
        self._end: End | None = None

    def refresh(self) -> None:
        """`wanted` has changed."""
        self._changed.set()

    async def close(self, why: End = End.REPLACED) -> None:
        """End it from this side."""
        self._end = self._end or why
        if self._socket is not None and not self._socket.closed:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(_CLOSE_PATIENCE):
                    await self._socket.close()

    async def run(self) -> End:
        """Connect, subscribe, read until it ends."""
        self._counters.connects += 1
        try:
            async with asyncio.timeout(
                max(_SHORTEST_OPEN, self._patience.open / self._clock.speed)
            ):
                self._socket = await self._session.ws_connect(
                    self.url, max_msg_size=_MOST_BYTES, decode_text=False, compress=0
                )
        except (aiohttp.ClientError, TimeoutError, OSError):
            return End.REFUSED
        self._opened = self.last_frame = self._clock.elapsed()
        helpers = [asyncio.create_task(self._subscribe()), asyncio.create_task(self._watch())]
        try:
            await self._read(self._socket)
            for helper in helpers:  # a defect there must not look like a lost connection
                if helper.done() and not helper.cancelled() and helper.exception() is not None:
                    raise helper.exception()  # type: ignore[misc]
        finally:
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)
            await self.close(End.LOST)
        return self._end or End.LOST

    async def _read(self, socket: aiohttp.ClientWebSocketResponse[bool]) -> None:
        counters = self._counters
        while self._end is None:
            try:
                message = await socket.receive()
            except (aiohttp.ClientError, OSError, RuntimeError):
                return
            if message.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                return
            now_ns = time.monotonic_ns()
            raw: bytes = message.data
            self.last_frame = self._clock.elapsed()
            counters.frames += 1
            counters.frame_bytes += len(raw)
            if raw.startswith(b"["):
                self._take_rows(raw, now_ns)
            else:
                self._take(raw, now_ns)

    def _take_rows(self, raw: bytes, now_ns: int) -> None:
        """An array: each row by itself, so that an odd one costs no other."""
        try:
            rows = rows_of(raw)
        except msgspec.MsgspecError:
            self._counters.unreadable += 1
            return
        for row in rows:
            self._take(row, now_ns)

    def _take(self, raw: bytes, now_ns: int) -> None:
        topic = topic_of(raw)
        try:
            if topic is Topic.ANSWER:
                self._answered(raw)
                return
            if topic is Topic.SHUTDOWN:
                self.leaving.set()
                return
            if not self._heard_data:
                self._heard_data = True
                self._check_live()
            if topic is Topic.KLINE:
                if self._kline_mark not in raw:
                    return  # the pulse
                self.klines.heard(self.last_frame)
            self._hear(topic, raw, now_ns)
        except msgspec.MsgspecError:
            self._counters.unreadable += 1

    def _answered(self, raw: bytes) -> None:
        answer = ANSWER.decode(raw)
        if answer.id is not None:
            self._asked.pop(answer.id, None)
        if answer.error is not None:
            self._counters.unreadable += 1
        if not self._asked and not set(self._wanted) - set(self._sent):
            self._acked_at = self._acked_at or self._clock.elapsed()
            self._check_live()

    def _check_live(self) -> None:
        if self._acked_at is not None and self._heard_data and not self.live.is_set():
            self.live_since = self._clock.elapsed()
            self.live.set()

    async def _subscribe(self) -> None:
        """Keep what is sent equal to what is wanted."""
        while True:
            self._changed.clear()
            new = [name for name in self._wanted if name not in self._sent]
            old = [name for name in self._sent if name not in self._wanted]
            for method, names in (("UNSUBSCRIBE", old), ("SUBSCRIBE", new)):
                for start in range(0, len(names), NAMES_A_MESSAGE):
                    if not await self._command(method, names[start : start + NAMES_A_MESSAGE]):
                        return
            await self._changed.wait()

    async def _command(self, method: str, names: list[str]) -> bool:
        await self._limiter.turn()
        number = next(self._numbers)
        self._asked[number] = len(names)
        for name in names:
            if method == "SUBSCRIBE":
                self._sent[name] = None
            else:
                self._sent.pop(name, None)
        words = {"method": method, "params": names, "id": number}
        try:
            await self._socket.send_str(orjson.dumps(words).decode())  # type: ignore[union-attr]
        except (aiohttp.ClientError, OSError, RuntimeError):
            return False  # the reader sees the end
        return True

    async def _watch(self) -> None:
        """End the connection when it is silent, or was acknowledged and gives nothing."""
        while True:
            await asyncio.sleep(max(_SHORTEST_LOOK, _LOOK / self._clock.speed))
            self._believe_frames()
            if self._suspicion() is None:
                continue
            await asyncio.sleep(_SECOND_LOOK)  # frames may wait that this process has not read
            why = self._suspicion()
            if why is not None:
                self._end = why
                await self._abort()
                return

    def _believe_frames(self) -> None:
        """Frames that come without an acknowledgement are as good."""
        opened = self._clock.elapsed() - self._opened
        if self._acked_at is None and self._heard_data and opened >= self._patience.first_frame:
            self._acked_at = self._clock.elapsed()
            self._check_live()

    def _suspicion(self) -> End | None:
        now = self._clock.elapsed()
        if (
            self._acked_at is not None
            and not self._heard_data
            and now - self._acked_at >= self._patience.first_frame
        ):
            return End.WRONG_ROUTE
        missing, quiet = self.klines.missing(now, self._acked_at), now - self.last_frame
        if quiet >= self._patience.silence:
            return End.SILENT
        # where no frame at all comes, it is the silence that counts
        return End.NO_CANDLES if missing and quiet < self._patience.silence / 2 else None

    async def _abort(self) -> None:
        """End the transport: a peer that is gone answers no close frame."""
        socket = self._socket
        if socket is None:
            return
        response = getattr(socket, "_response", None)
        if response is not None:
            response.close()
        with contextlib.suppress(Exception):
            async with asyncio.timeout(_CLOSE_PATIENCE):
                await socket.close()
