"""Alerts: told to the log at once and to others in their own time, limited and without secrets.

Nothing here waits for a network in the way of the data: alerts are put in line, and a task of its
own sends them. The same alert is sent once in ten minutes; those left out are counted in the next.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import re
import time
from collections import Counter, OrderedDict
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote_plus

import aiohttp

from alphaqcm.data_collection.exchange.clock import ExchangeClock
from alphaqcm.data_collection.live.config import AlertKind, AlertTarget
from alphaqcm.data_collection.process.event_log import Log

DINGDING = "https://oapi.dingtalk.com/robot/send"
WECHAT_WORK = "https://qyapi.weixin.qq.com/cgi-bin/webhook/send"
REPEAT_AFTER = 600.0  # seconds
_A_MINUTE = 15  # messages to one target; the hosts allow 20
_LONGEST = 500
_KINDS = 1000
_LINE = 200
_TIMEOUT = 5.0  # seconds of real time
_SECRETS = re.compile(
    r"(?i)((?:access_token|secret|key|token|sign|signature|password)=)[^&\s\"']+|(SEC[0-9a-f]{16,})"
)


def redact(text: str, secrets: Sequence[str] = ()) -> str:
    """`text` without what looks like a secret, and without those that are known."""
    for one in secrets:
        text = text.replace(one, "***")
    return _SECRETS.sub(lambda match: f"{match[1] or ''}***", text)


class Alerts:
    """Takes alerts from every part; `run` sends them."""

    def __init__(
        self,
        targets: Sequence[AlertTarget],
        clock: ExchangeClock,
        name: str,
        log: Log,
        hosts: tuple[str, str] = (DINGDING, WECHAT_WORK),
    ) -> None:
        self.counts: Counter[str] = Counter()  # by kind, also those that were not sent
        self.latest: list[tuple[float, str, str]] = []  # (exchange's time, kind, text)
        self.sent = 0
        self.failed = 0
        self._targets = [one for one in targets if one.kind is not AlertKind.LOG]
        self._secrets = [
            value for one in targets for value in one.settings.values() if len(value) > 5
        ]
        self._clock, self._name, self._log, self._hosts = clock, name, log, hosts
        self._told: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._left_out: Counter[str] = Counter()
        self._line: asyncio.Queue[str] = asyncio.Queue(_LINE)

    def tell(self, kind: str, text: str, about: str = "") -> None:
        """Raise an alert; those of one kind `about` one thing are told once in a while."""
        text = redact(text, self._secrets)[:_LONGEST]
        self.counts[kind] += 1
        now = self._clock.now()
        self.latest = [*self.latest[-19:], (now, kind, text)]
        key = (kind, about)
        last = self._told.get(key)
        if last is not None and 0 <= now - last < REPEAT_AFTER:
            self._left_out[kind] += 1
            return
        self._told[key] = now
        self._told.move_to_end(key)
        while len(self._told) > _KINDS:
            self._told.popitem(last=False)
        again = self._left_out.pop(kind, 0)
        if again:
            text += f" (and {again} more like this)"
        self._log.event("problem", kind=kind, text=text)
        if self._targets:
            with contextlib.suppress(asyncio.QueueFull):  # counted, and in the log
                self._line.put_nowait(f"[{self._name}] {kind}: {text}")

    async def run(self) -> None:
        """Send what is in line until cancelled."""
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT)
        async with aiohttp.ClientSession(timeout=timeout, trust_env=True) as session:
            times: list[float] = []
            while True:
                text = await self._line.get()
                times = [one for one in times if one > time.monotonic() - 60]
                if len(times) >= _A_MINUTE:
                    await asyncio.sleep(max(0.0, times[0] + 60 - time.monotonic()))
                times.append(time.monotonic())
                await asyncio.gather(*(self._send(session, one, text) for one in self._targets))

    async def _send(self, session: aiohttp.ClientSession, target: AlertTarget, text: str) -> None:
        url, body = message(target, text, time.time(), self._hosts)
        try:
            async with session.post(url, json=body) as response:
                good = response.status < 300
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            good = False  # the text of the error may hold the address with its token
        self.sent += good
        self.failed += not good
        if not good:
            self._log.event("problem", kind="alerts", text=f"{target.kind} did not take an alert")


def message(
    target: AlertTarget, text: str, now: float, hosts: tuple[str, str] = (DINGDING, WECHAT_WORK)
) -> tuple[str, dict[str, Any]]:
    """(address, JSON body) of an alert for a target; `now` is seconds of the machine's clock."""
    words = target.settings
    if target.kind is AlertKind.DINGDING:
        url = f"{hosts[0]}?access_token={quote_plus(words['access_token'])}"
        if secret := words.get("secret"):
            stamp = round(now * 1000)
            digest = hmac.new(secret.encode(), f"{stamp}\n{secret}".encode(), hashlib.sha256)
            url += f"&timestamp={stamp}&sign={quote_plus(base64.b64encode(digest.digest()))}"
        return url, {"msgtype": "text", "text": {"content": text}}
    if target.kind is AlertKind.WECHAT_WORK:
        url = f"{hosts[1]}?key={quote_plus(words['key'])}"
        return url, {"msgtype": "text", "text": {"content": text}}
    return words["url"], {"text": text}
