"""The documents' two programs, run as they stand against the simulated exchange."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from aiohttp import web

from tests.conftest import PROJECT
from tests.helpers.simulated_exchange import environment, exchange, truth

pytestmark = pytest.mark.process

py7zr = pytest.importorskip("py7zr")

EXAMPLES = PROJECT / "scripts" / "examples"


def run_example(name: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(EXAMPLES / name), str(folder)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(PROJECT), **variables},
        check=False,
        timeout=240,
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What the first program fetched and resampled; its 5m candles were held against the truth."""
    folder = tmp_path_factory.mktemp("data")
    with exchange() as server:
        variables = environment(server.url)
        done = run_example(
            "fetch_and_resample.py",
            folder,
            ALPHAQCM_EXCHANGE=server.url,
            ALPHAQCM_TEST_CLOCK=variables["ALPHAQCM_TEST_CLOCK"],
            HISTORY_DAYS="2",
        )
        assert done.returncode == 0, done.stderr
        for trade_type, market in (("usdt_futures", "um"), ("spot", "spot")):
            files = sorted((folder / f"{trade_type}_5m").glob("*.parquet"))
            assert len(files) >= 4
            for file in files:
                frame = pd.read_parquet(file)
                assert len(frame) == 2 * 288
                begins = frame["candle_begin_time"].astype("datetime64[ms, UTC]").astype("int64")
                told = truth(server, market, file.stem, begins.iloc[0], begins.iloc[-1] + 1)
                assert frame["close"].tolist() == told["close"].to_list()
                assert frame["volume"].tolist() == told["volume"].to_list()
    yield folder


def test_the_first_program_makes_hours_at_every_offset(made: Path) -> None:
    hours = made / "usdt_futures_1h_resample"
    assert sorted(path.name for path in hours.iterdir()) == sorted(f"{5 * n}m" for n in range(12))
    frame = pd.read_parquet(hours / "35m" / "BTCUSDT.parquet")
    assert (frame.index - frame["candle_begin_time"] == pd.Timedelta("1h")).all()
    assert len(frame) == 47


def test_the_second_program_compares_with_another_source(made: Path) -> None:
    def hours(kind: str, offset: str) -> bytes:
        folder = made / f"{'spot' if kind == 'spot' else 'usdt_futures'}_1h_resample" / offset
        frames = [
            pd.read_parquet(path).tail(2).assign(symbol=path.stem, tag="NoSwap")
            for path in sorted(folder.glob("*.parquet"))
        ]
        table = pd.concat(frames)
        table["candle_begin_time"] = table["candle_begin_time"].dt.tz_convert(None)
        stream = io.BytesIO()
        with py7zr.SevenZipFile(stream, "w") as archive:
            archive.writestr(table.to_csv(index=False), f"{kind}.csv")
        return stream.getvalue()

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if request.path.endswith(".7z"):
            kind, offset = request.path.strip("/").removesuffix(".7z").split("-")
            return web.Response(body=hours(kind, offset))
        base, offset = f"http://{request.host}", request.query["offset"]
        data = {
            "spot": f"{base}/spot-{offset}.7z",
            "swap": f"{base}/swap-{offset}.7z",
            "ts": "202603101200",
        }
        return web.json_response({"data": data})

    ready, loop = threading.Event(), asyncio.new_event_loop()
    port = []

    async def serve() -> None:
        runner = web.ServerRunner(web.Server(answer))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port.append(runner.addresses[0][1])
        ready.set()

    loop.call_soon(lambda: loop.create_task(serve()))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    assert ready.wait(20)
    try:
        done = run_example(
            "compare_with_quantclass.py",
            made,
            QUANTCLASS_API_KEY="key",
            QUANTCLASS_UUID="uuid",
            QUANTCLASS_BASE=f"http://127.0.0.1:{port[0]}",
        )
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
    assert done.returncode == 0, done.stderr
    assert "spot: largest relative differences" in done.stdout
    differences = [float(line.split()[-1]) for line in done.stdout.splitlines() if " 0.0" in line]
    assert len(differences) == 18
    assert max(differences) == 0.0
