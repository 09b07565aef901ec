"""Connections that give frames and no candles."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from alphaqcm.data_collection.live.sockets.kline_watch import TRADES, KlineWatch
from tests.helpers.live_directory import LiveDirectory
from tests.helpers.simulated_exchange import exchange, forget, plant

NEXT_CLOSE = int(datetime(2026, 3, 10, 16, tzinfo=UTC).timestamp() * 1000)
NONE = "frames come, and no candles"
WRONG_ROUTE = "acknowledged, and no frame in 20 s"


def watch(trades: float) -> KlineWatch:
    return KlineWatch(20.0, 30.0, lambda: trades)


def play(one: KlineWatch, frames: list[float], until: float, acknowledged: float = 0.0) -> float:
    """Frames at their seconds, a look each second; when candles were first missed, else `until`."""
    waiting = sorted(frames, reverse=True)
    for second in range(int(until)):
        while waiting and waiting[-1] <= second:
            one.heard(waiting.pop())
        if one.missing(second, acknowledged):
            return second
    return until


def test_no_candle_after_the_acknowledgement_is_seen_within_20_s() -> None:
    assert play(watch(TRADES / 20), [], 600, acknowledged=7) == 27


def test_symbols_that_trade_little_may_be_quiet() -> None:
    assert play(watch(TRADES / 20 - 0.1), [], 600) == 600


def test_one_candle_shows_that_they_come() -> None:
    assert play(watch(1000.0), [19.0], 4000) == 4000


def test_a_steady_flow_that_ends_is_seen_after_30_s() -> None:
    frames = [at / 2 for at in range(2 * 100)]
    assert play(watch(0.0), frames, 600) == 130


@pytest.mark.parametrize("step", [60, 300, 3600])
def test_bursts_at_closes_are_no_steady_flow(step: int) -> None:
    frames = [close + at / 50 for close in range(0, 20_000, step) for at in range(100)]
    assert play(watch(1000.0), frames, 20_000) == 20_000


def test_a_flow_with_pauses_is_no_steady_flow() -> None:
    frames = [float(at) for at in range(3000) if at % 100 < 55]
    assert play(watch(0.0), frames, 4000) == 4000


@pytest.mark.process
@pytest.mark.slow
def test_a_connection_without_candles_is_opened_again_long_before_the_close(
    tmp_path: Path,
) -> None:
    """Candles of four hours, of which the first connections give none, and a later one no more."""
    with (
        exchange(um=3, speed=40, trades_per_minute=120) as server,
        LiveDirectory(
            server, tmp_path / "live", interval="4h", num_candles=5, num_socket_listeners=1
        ) as live,
    ):
        plant(server, "ack-no-data", market="um", stream="@kline_")
        live.wait(
            "the other route to be tried",
            lambda s: s["ends"].get(NONE, 0) >= 2 and s["ends"].get(WRONG_ROUTE, 0) >= 1,
        )
        forget(server)
        assert live.status["alerts"][f"socket {NONE}"] >= 2
        wait_for_candles(live)
        ends = live.status["ends"][NONE]
        live.pass_until(server.state.clock.now() + 80_000)
        assert live.status["ends"][NONE] == ends
        assert live.status["route"] == "/market/ws"

        plant(server, "stream-stop", market="um", stream="@kline_")
        live.wait("the end to be seen", lambda s: s["ends"][NONE] > ends)
        wait_for_candles(live)
        assert live.status["ends"][NONE] == ends + 1
        assert server.state.clock.now() < NEXT_CLOSE


def wait_for_candles(live: LiveDirectory) -> None:
    """Wait until more frames come than the one a second that is no candle."""
    clock = live.server.state.clock
    while True:
        before, begin = live.status["frames"], clock.now()
        assert begin < NEXT_CLOSE
        live.pass_until(begin + 10_000)
        if live.status["frames"] - before > 3 * (clock.now() - begin) / 1000:
            return
