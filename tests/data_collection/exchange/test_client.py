"""What the client does at each signal: when it asks again, what it takes over, when it gives up."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from aiohttp import web

from alphaqcm.data_collection.errors import Banned, NoAnswer, RegionRefused
from alphaqcm.data_collection.exchange.client import RestClient
from alphaqcm.data_collection.exchange.endpoints import Endpoint, Pool
from alphaqcm.pipeline.domain.registry import Market
from tests.helpers.scripted_exchange import NOON, Script, answer, play

ANY = msgspec.json.Decoder()


async def ask(client: RestClient, market: Market = Market.UM) -> None:
    await client.ask(market, Endpoint.KLINES, ANY, {"limit": 99})


def test_a_429_freezes_for_as_long_as_it_says() -> None:
    script = Script([answer(429, Retry_After="600"), answer()])
    play(script, ask)
    first, second = script.asked
    assert second - first >= 600


def test_a_429_without_a_time_freezes_to_the_next_minute() -> None:
    script = Script([answer(429), answer()])
    play(script, ask)
    first, second = script.asked
    assert second >= (first // 60 + 1) * 60 + 1


def test_a_429_freezes_the_pool_for_every_task_and_each_is_answered() -> None:
    async def many(client: RestClient) -> None:
        await ask(client)
        await asyncio.gather(*(ask(client) for _ in range(5)))
        assert client.tally.answers == 6

    script = Script([answer(429, Retry_After="600"), answer()])
    play(script, many)
    assert all(moment - script.asked[0] >= 600 for moment in script.asked[1:])


def test_after_a_429_the_time_is_asked_again() -> None:
    async def twice(client: RestClient) -> None:
        await ask(client)
        await ask(client)

    script = Script([answer(429, Retry_After="2"), answer()])
    play(script, twice)
    assert script.times == 2


@pytest.mark.parametrize(
    ("banned", "seconds"),
    [
        (answer(418, Retry_After="500"), 500.0),
        (answer(418), 120.0),
        (answer(418, b'{"code":-1003,"msg":"banned until %d."}' % ((NOON + 7200) * 1000)), None),
    ],
)
def test_a_ban_is_raised_with_its_end_and_freezes(
    banned: web.Response, seconds: float | None
) -> None:
    async def body(client: RestClient) -> None:
        with pytest.raises(Banned) as told:
            await ask(client)
        if seconds is None:
            assert told.value.until == NOON + 7200
        else:
            assert told.value.until >= script.asked[0] + seconds
        left = told.value.until - client.clock.now()
        assert client.governor.frozen_for(Pool.FUTURES) == pytest.approx(left, abs=60)

    script = Script([banned])
    play(script, body)
    assert len(script.asked) == 1


def test_the_firewall_is_left_alone_for_five_minutes_and_given_up_the_third_time() -> None:
    async def body(client: RestClient) -> None:
        with pytest.raises(NoAnswer, match="403"):
            await ask(client)

    script = Script([answer(403, b"<html>")])
    play(script, body)
    first, second, third = script.asked
    assert second - first >= 300
    assert third - second >= 300


def test_a_refused_region_is_asked_once() -> None:
    async def body(client: RestClient) -> None:
        with pytest.raises(RegionRefused):
            await ask(client)

    script = Script([answer(451)])
    play(script, body)
    assert len(script.asked) == 1


@pytest.mark.parametrize(
    "bad", [answer(500), answer(503), answer(200, b'[["1'), answer(400, b'{"code":-1001}')]
)
def test_six_tries_with_growing_pauses(bad: web.Response) -> None:
    async def body(client: RestClient) -> None:
        with pytest.raises(NoAnswer):
            await ask(client)

    script = Script([bad])
    play(script, body)
    assert len(script.asked) == 6
    assert len(script.slept) == 5
    assert all(
        0 <= pause <= most for pause, most in zip(script.slept, (0.5, 1, 2, 4, 8), strict=True)
    )
    assert sum(script.slept) > 0


def test_the_header_of_an_answer_counts() -> None:
    async def twice(client: RestClient) -> None:
        await ask(client)
        await ask(client)

    script = Script([answer(X_MBX_USED_WEIGHT_1M="2280"), answer()])
    play(script, twice)
    first, second = script.asked
    assert second // 60 > first // 60


def test_limits_that_the_exchange_tells_are_taken_over() -> None:
    weight = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1}
    told = {"symbols": [], "rateLimits": [{**weight, "limit": 1234}]}

    async def body(client: RestClient) -> None:
        await client.exchange_info(Market.UM)
        assert client.governor.limit(Pool.FUTURES) == 1234

    play(Script([answer(200, msgspec.json.encode(told))]), body)


@pytest.mark.parametrize("seconds", ["inf", "1e308", "nan", "-5", "soon"])
def test_a_wait_without_sense_freezes_for_days_at_most(seconds: str) -> None:
    async def body(client: RestClient) -> None:
        with pytest.raises(Banned) as told:
            await ask(client)
        assert told.value.until <= client.clock.now() + 8 * 86_400

    play(Script([answer(418, Retry_After=seconds)]), body)


def test_a_ban_until_the_end_of_time_is_one_of_days() -> None:
    async def body(client: RestClient) -> None:
        with pytest.raises(Banned) as told:
            await ask(client)
        assert told.value.until <= client.clock.now() + 8 * 86_400

    play(Script([answer(418, b'{"code":-1003,"msg":"banned until 9999999999999."}')]), body)


def test_an_answer_without_end_is_not_read_to_its_end() -> None:
    async def body(client: RestClient) -> None:
        with pytest.raises(NoAnswer, match="more than"):
            await ask(client)

    play(Script([answer(200, b"[" + b" " * (1 << 26))]), body)


def test_a_time_that_no_calendar_has_is_no_answer() -> None:
    async def body(client: RestClient) -> None:
        with pytest.raises(NoAnswer, match="cannot be read"):
            await client.server_time(Market.UM)

    play(Script([answer()], server_ms=10**18), body)
