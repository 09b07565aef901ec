from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import time
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import web

from alphaqcm.data_collection.exchange.clock import ExchangeClock
from alphaqcm.data_collection.live.config import AlertKind, AlertTarget
from alphaqcm.data_collection.live.supervise import Supervisor
from alphaqcm.data_collection.live.watch.alerts import REPEAT_AFTER, Alerts, message, redact
from alphaqcm.data_collection.process.event_log import Log

SECRET = "SECabcdef0123456789abcdef"
DINGDING = AlertTarget(AlertKind.DINGDING, {"access_token": "token-1234567", "secret": SECRET})


class Receiver:
    """An HTTP server that keeps what it gets."""

    def __init__(self, status: int = 200) -> None:
        self.got: list[tuple[str, dict[str, object]]] = []
        self.status = status

    async def answer(self, request: web.BaseRequest) -> web.Response:
        self.got.append((request.path_qs, await request.json()))
        return web.Response(status=self.status)


async def sent(alerts: Alerts, receiver: Receiver, count: int) -> None:
    """Run until so many have come."""
    running = asyncio.create_task(alerts.run())
    async with asyncio.timeout(20):
        while len(receiver.got) < count or alerts.sent + alerts.failed < count:
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def with_server(status: int = 200) -> tuple[Receiver, Alerts, str]:
    receiver = Receiver(status)
    clock = ExchangeClock(1_000_000.0)

    async def work() -> tuple[Alerts, str]:
        runner = web.ServerRunner(web.Server(receiver.answer))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        targets = [
            DINGDING,
            AlertTarget(AlertKind.WECHAT_WORK, {"key": "wechat-key-1"}),
            AlertTarget(AlertKind.WEBHOOK, {"url": f"{url}/hook?token=webhook-secret"}),
            AlertTarget(AlertKind.LOG),
        ]
        hosts = (f"{url}/robot/send", f"{url}/wechat")
        alerts = Alerts(targets, clock, "usdt_perp 1m", Log("test"), hosts)
        alerts.tell("gap", f"BTCUSDT lost a candle; secret={SECRET} at token-1234567")
        alerts.tell("gap", "the same again")
        alerts.tell("late", "3 symbols", "ETHUSDT")
        await sent(alerts, receiver, 2 * 3)
        await runner.cleanup()
        return alerts, url

    alerts, url = asyncio.run(work())
    return receiver, alerts, url


def test_each_target_gets_each_alert_once_and_no_secret_in_its_text() -> None:
    receiver, alerts, _ = with_server()
    assert len(receiver.got) == 2 * 3
    assert alerts.counts == {"gap": 2, "late": 1} and alerts.sent == 6
    for path, body in receiver.got:
        text = str(body)
        assert SECRET not in text and "token-1234567" not in text
        assert "usdt_perp 1m" in text
        if path.startswith("/robot"):
            assert body["msgtype"] == "text"
            query = parse_qs(urlsplit(path).query)
            stamp = query["timestamp"][0]
            digest = hmac.new(SECRET.encode(), f"{stamp}\n{SECRET}".encode(), hashlib.sha256)
            assert query["sign"] == [base64.b64encode(digest.digest()).decode()]
    assert {path.partition("?")[0] for path, _ in receiver.got} == {
        "/robot/send", "/wechat", "/hook",
    }  # fmt: skip


def test_targets_that_refuse_are_counted_and_stop_nothing() -> None:
    _, alerts, _ = with_server(status=500)
    assert (alerts.sent, alerts.failed) == (0, 6)


def test_the_same_alert_is_told_again_after_a_while_with_what_was_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock = ExchangeClock(1_000_000.0)
    alerts = Alerts([], clock, "x", Log("test"))
    for _ in range(3):
        alerts.tell("gap", "first")
    clock.told(int((1_000_000 + 2 * REPEAT_AFTER) * 1000), time.monotonic(), time.monotonic())
    alerts.tell("gap", "first")
    lines = [line for line in capsys.readouterr().out.splitlines() if "kind=gap" in line]
    assert len(lines) == 2
    assert "first (and 2 more like this)" in lines[1]


def test_what_looks_like_a_secret_is_taken_out() -> None:
    text = "https://h/send?access_token=abc&sign=xyz%3D&key=k1 and SEC0123456789abcdef01"
    assert redact(text) == "https://h/send?access_token=***&sign=***&key=*** and ***"
    assert redact("plain text = fine") == "plain text = fine"


def test_dingding_without_a_secret_is_not_signed() -> None:
    url, _ = message(AlertTarget(AlertKind.DINGDING, {"access_token": "t"}), "x", 1.0)
    assert url.endswith("?access_token=t")


def test_a_part_that_fails_is_started_again_and_the_others_go_on() -> None:
    told: list[tuple[str, str]] = []

    async def work() -> tuple[int, int]:
        supervisor = Supervisor(ExchangeClock(0.0, speed=1000), lambda *words: told.append(words))
        starts = beats = 0

        async def fails() -> None:
            nonlocal starts
            starts += 1
            if starts < 4:
                raise RuntimeError("broken\nin two lines")
            await asyncio.Event().wait()

        async def lives() -> None:
            nonlocal beats
            while True:
                beats += 1
                await asyncio.sleep(0.001)

        supervisor.add("fails", fails)
        supervisor.add("lives", lives)
        running = asyncio.create_task(supervisor.run())
        async with asyncio.timeout(20):
            while starts < 4:
                await asyncio.sleep(0.001)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert supervisor.restarts == {"fails": 3}
        return starts, beats

    starts, beats = asyncio.run(work())
    assert starts == 4 and beats > 1
    assert [kind for kind, _ in told] == ["restart"] * 3
    assert told[0][1].endswith("RuntimeError: broken")
