"""The Quantclass client against a local server of the same shape."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import aiohttp
import pytest
from aiohttp import web

from alphaqcm.data_collection.errors import ExchangeError, NoAnswer, UsageError
from alphaqcm.data_collection.exchange import quantclass
from alphaqcm.data_collection.exchange.quantclass import QuantclassDataApi

py7zr = pytest.importorskip("py7zr")

KEY, UUID = "a-secret-key", "a-secret-uuid"
CSV = (
    "candle_begin_time,symbol,open,high,low,close,volume,quote_volume,trade_num,"
    "taker_buy_base_asset_volume,taker_buy_quote_asset_volume,tag\n"
    "2026-03-10 05:00:00,BTCUSDT,1.5,2,1,1.75,10,17,3,4,7,HasSwap\n"
)


def packed(members: Mapping[str, str]) -> bytes:
    stream = io.BytesIO()
    with py7zr.SevenZipFile(stream, "w") as archive:
        for name, text in members.items():
            archive.writestr(text, name)
    return stream.getvalue()


def serve(
    archive: bytes,
    body: Callable[[QuantclassDataApi, str], Awaitable[Any]],
    status: int = 200,
) -> tuple[Any, list[web.BaseRequest]]:
    seen: list[web.BaseRequest] = []

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        seen.append(request)
        if request.path.endswith(".7z"):
            return web.Response(body=archive, status=status)
        if status != 200:
            return web.Response(status=status)
        base = f"http://{request.host}"
        data = {"spot": f"{base}/s.7z?t=1", "swap": f"{base}/f.7z?t=1", "ts": "202603101500"}
        return web.json_response({"data": data})

    async def main() -> Any:
        runner = web.ServerRunner(web.Server(answer))
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        base = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            async with aiohttp.ClientSession() as session:
                return await body(QuantclassDataApi(session, KEY, UUID, base=base), base)
        finally:
            await runner.cleanup()

    return asyncio.run(main()), seen


def test_addresses_and_time_are_told_for_an_offset() -> None:
    found, seen = serve(b"", lambda api, _: api.aioreq_data_api("5m"))
    assert found["ts"] == datetime(2026, 3, 10, 15, tzinfo=ZoneInfo("Asia/Shanghai"))
    assert found["spot"].endswith("/s.7z?t=1")
    assert seen[0].headers["api-key"] == KEY
    assert dict(seen[0].query) == {"offset": "5m", "uuid": UUID}


def test_an_archive_becomes_a_frame_in_utc() -> None:
    frame, _ = serve(packed({"a.csv": CSV}), lambda api, base: api.aioreq_candle_df(f"{base}/f.7z"))
    assert frame.columns.tolist() == CSV.splitlines()[0].split(",")
    assert str(frame["candle_begin_time"][0]) == "2026-03-10 05:00:00+00:00"
    assert frame["close"][0] == 1.75


def test_a_members_name_is_no_path(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    archive = packed({"sub/folder/a.csv": CSV})
    frame, _ = serve(archive, lambda api, base: api.aioreq_candle_df(f"{base}/f.7z"))
    assert len(frame) == 1
    assert list(tmp_path.iterdir()) == []


def test_an_archive_that_unpacks_to_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantclass, "_MOST_BYTES", 1000)
    archive = packed({"a.csv": CSV * 50})
    with pytest.raises(ExchangeError, match="it is not unpacked"):
        serve(archive, lambda api, base: api.aioreq_candle_df(f"{base}/f.7z"))


@pytest.mark.parametrize("archive", [b"no archive at all", packed({"a.csv": CSV})[:-20], b""])
def test_a_broken_archive_is_a_clear_error(archive: bytes) -> None:
    with pytest.raises(ExchangeError, match="archive"):
        serve(archive, lambda api, base: api.aioreq_candle_df(f"{base}/f.7z"))


def test_no_error_holds_the_key_or_the_uuid() -> None:
    with pytest.raises(NoAnswer) as caught:
        serve(b"", lambda api, _: api.aioreq_data_api("5m"), status=500)
    assert KEY not in f"{caught.value}"
    assert UUID not in f"{caught.value}"

    async def nobody() -> None:
        async with aiohttp.ClientSession() as session:
            api = QuantclassDataApi(session, KEY, UUID, base="http://127.0.0.1:9")
            assert KEY not in repr(api)
            await api.aioreq_data_api("5m")

    with pytest.raises(NoAnswer) as refused:
        asyncio.run(nobody())
    assert UUID not in f"{refused.value}{refused.value.__cause__}"


def test_without_credentials_the_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QUANTCLASS_API_KEY", raising=False)

    async def make() -> None:
        async with aiohttp.ClientSession() as session:
            QuantclassDataApi(session)

    with pytest.raises(UsageError, match="QUANTCLASS_API_KEY"):
        asyncio.run(make())
