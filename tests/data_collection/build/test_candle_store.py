"""The candle store and the fetch that fills it: what is kept, moved aside, put away and refused."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import polars as pl
import pyarrow.parquet as pq
import pytest

from alphaqcm.data_collection.build.candles import store as stores
from alphaqcm.data_collection.build.candles.fetch import FetchJob, fetch_jobs, plan_symbols
from alphaqcm.data_collection.build.candles.request import CandleRequest, choose_symbols
from alphaqcm.data_collection.build.candles.resample import StoreSource
from alphaqcm.data_collection.build.candles.store import CandleStore, Covered
from alphaqcm.data_collection.errors import BadSymbol
from alphaqcm.data_collection.exchange.answers import SymbolInfo
from alphaqcm.data_collection.exchange.client import RestClient
from alphaqcm.data_collection.exchange.fetcher import BinanceFetcher
from alphaqcm.pipeline.candles.schema import CANDLE_SCHEMA, PRICES, QUANTITIES
from alphaqcm.pipeline.domain.registry import Market
from alphaqcm.pipeline.errors import BadName, LayerError
from tests.helpers.scripted_exchange import NOON, Script, answer, play

STEP = 300_000
BEGIN = int(NOON * 1000) - 100 * STEP


def candles(numbers: list[int], price: float = 2.0) -> pl.DataFrame:
    """Five-minute candles by their number since `BEGIN`."""
    begins = [datetime.fromtimestamp((BEGIN + n * STEP) / 1000, UTC) for n in numbers]
    columns = {
        "candle_end_time": [one + timedelta(minutes=5) for one in begins],
        "candle_begin_time": begins,
        **{name: [price] * len(numbers) for name in (*PRICES, *QUANTITIES)},
    }
    return pl.DataFrame(columns).select(pl.col(n).cast(t) for n, t in CANDLE_SCHEMA.items())


def covered(first: int, stop: int) -> Covered:
    return Covered(BEGIN + first * STEP, BEGIN + stop * STEP, "rest", "2026-02-25T12:00:00Z")


@pytest.fixture
def store(tmp_path: Path) -> CandleStore:
    one = CandleStore(tmp_path, "usdt_futures", "5m")
    one.add("BTCUSDT", [candles([0, 1, 2])], [covered(0, 3)])
    return one


def rows(store: CandleStore) -> pl.DataFrame:
    found = store.read("BTCUSDT")
    assert found is not None
    return found.candles


def test_of_a_candle_twice_the_one_that_was_there_stays(store: CandleStore) -> None:
    store.add("BTCUSDT", [candles([2, 3], price=7.0)], [covered(2, 4)])
    assert rows(store)["close"].to_list() == [2.0, 2.0, 2.0, 7.0]


def test_rows_are_in_order_of_time_however_they_came(store: CandleStore) -> None:
    store.add("BTCUSDT", [candles([5, 4]), candles([3])], [covered(3, 6)])
    assert rows(store)["candle_begin_time"].is_sorted()
    assert rows(store).height == 6


def test_a_gap_is_told_where_time_was_asked_for_and_only_there(store: CandleStore) -> None:
    report = store.add("BTCUSDT", [candles([4, 9])], [covered(3, 5), covered(9, 10)])
    assert [gap[0][11:16] for gap in report["gaps"]] == ["03:55"]


@pytest.mark.parametrize("keep", [0, 4, 100, -9, -1])
def test_a_file_that_was_cut_is_refused_by_every_reader_and_never_written_over(
    store: CandleStore, keep: int
) -> None:
    path = store.path("BTCUSDT")
    cut = path.read_bytes()[:keep]
    path.write_bytes(cut)
    assert store.covered("BTCUSDT") == ()
    with pytest.raises(LayerError):
        store.read("BTCUSDT")
    with pytest.raises(LayerError):
        store.add("BTCUSDT", [candles([3])], [covered(3, 4)])
    with pytest.raises(LayerError, match="candles fetch moves it aside"):
        StoreSource(store).load("BTCUSDT")
    assert path.read_bytes() == cut


def test_a_flipped_bit_is_noticed_by_who_resamples(store: CandleStore) -> None:
    path = store.path("BTCUSDT")
    torn = bytearray(path.read_bytes())
    torn[40] ^= 1
    path.write_bytes(torn)
    with pytest.raises(LayerError, match="damaged"):
        StoreSource(store).load("BTCUSDT")


def test_rows_that_are_not_those_of_the_footer_are_noticed_without_a_digest(
    store: CandleStore,
) -> None:
    path = store.path("BTCUSDT")
    told = json.loads(pq.read_metadata(path).metadata[b"alphaqcm"])
    del told["digest"]
    candles([0, 1, 2], price=3.0).write_parquet(path, metadata={"alphaqcm": json.dumps(told)})
    with pytest.raises(LayerError, match="rows that are not those"):
        store.read("BTCUSDT")


def test_each_damaged_file_is_kept_under_a_name_of_its_own(store: CandleStore) -> None:
    path = store.path("BTCUSDT")
    for number in (1, 2):
        path.write_bytes(b"torn %d" % number)
        moved = store.set_aside("BTCUSDT")
        assert moved == path.with_name(f"BTCUSDT.parquet.damaged-{number}")
        assert moved.read_bytes() == b"torn %d" % number
    assert store.symbols() == []
    assert store.set_aside("BTCUSDT") is None


def test_what_another_version_asked_for_is_asked_for_again(
    store: CandleStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert store.covered("BTCUSDT") == (covered(0, 3),)
    monkeypatch.setattr(stores, "VERSION", stores.VERSION + 1)
    assert store.covered("BTCUSDT") == ()


def line(number: int, high: str = "4", shift: int = 0) -> list[object]:
    """A row as the exchange sends it."""
    begin = BEGIN + number * STEP + shift
    return [begin, "2", high, "1", "3", "5", begin + STEP - 1, "6", 7, "1", "1", "0"]


def fetch(tmp_path: Path, script: Script, count: int, newest_end_ms: int = 0) -> CandleStore:
    store = CandleStore(tmp_path, "usdt_futures", "5m")

    async def body(client: RestClient) -> None:
        fetcher = BinanceFetcher("usdt_futures", client=client)
        plans = plan_symbols(fetcher, store, [("BTCUSDT", (BEGIN, BEGIN + count * STEP))])
        await fetch_jobs([FetchJob(fetcher, store, plans, newest_end_ms)], lambda _: None)

    play(script, body)
    return store


def test_rows_that_cannot_be_candles_are_put_away_with_their_reason(tmp_path: Path) -> None:
    bad = [line(0), line(1, shift=7), line(2, high="2.5"), line(3)]
    store = fetch(tmp_path, Script([answer(200, msgspec.json.encode(bad))]), 4)
    fetch(tmp_path, Script([answer(200, msgspec.json.encode([line(4), line(5, high="1")]))]), 6)
    assert rows(store).height == 3
    kept = (store.folder / "quarantine" / "BTCUSDT.jsonl").read_text().splitlines()
    assert [json.loads(one)["reason"] for one in kept] == [
        "off the grid", "high below another price", "high below another price",
    ]  # fmt: skip
    assert json.loads(kept[0])["row"][0] == BEGIN + STEP + 7


def test_an_empty_page_is_an_answer_and_not_asked_for_again(tmp_path: Path) -> None:
    script = Script([answer()])
    store = fetch(tmp_path, script, 4)
    assert len(script.asked) == 1
    assert store.covered("BTCUSDT")[0].stretch == (BEGIN, BEGIN + 4 * STEP)
    again = Script([answer()])
    fetch(tmp_path, again, 4)
    assert again.asked == []


def test_what_was_answered_is_kept_when_the_fetch_is_cancelled(tmp_path: Path) -> None:
    store = CandleStore(tmp_path, "usdt_futures", "5m")
    page = msgspec.json.encode([line(n) for n in range(8)])  # whichever is asked for first
    script = Script([answer(200, page), answer(429, Retry_After="86400")])

    async def body(client: RestClient) -> None:
        fetcher = BinanceFetcher("usdt_futures", client=client)
        first = plan_symbols(fetcher, store, [("BTCUSDT", (BEGIN, BEGIN + 4 * STEP))])[0]
        later = plan_symbols(fetcher, store, [("BTCUSDT", (BEGIN + 4 * STEP, BEGIN + 8 * STEP))])[0]
        both = type(first)(first.symbol, first.pages + later.pages, first.span)
        running = asyncio.create_task(
            fetch_jobs([FetchJob(fetcher, store, (both,), 0)], lambda _: None)
        )
        while len(script.asked) < 2:
            await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    play(script, body)
    assert rows(store).height == 4
    (kept,) = store.covered("BTCUSDT")
    assert kept.end_ms - kept.begin_ms == 4 * STEP


def test_the_newest_candle_is_asked_for_ten_seconds_after_its_close(tmp_path: Path) -> None:
    script = Script([answer()])
    close = int(NOON * 1000) + 12 * STEP  # an hour from now, by the server's clock
    fetch(tmp_path, script, 112, newest_end_ms=close)
    assert script.asked[0] >= close / 1000 + 10


@pytest.mark.parametrize("name", ["../BTCUSDT", "a/b", "..", ".x", "", "a\0b", "x" * 200, "A B"])
def test_a_symbol_never_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadName):
        CandleStore(tmp_path, "spot", "5m").path(name)


def test_the_names_that_there_are_name_files(tmp_path: Path) -> None:
    for name in ("BTCUSDT", "BTCUSD_PERP", "币安人生USDT", "1000SATSUSDT", "SP0_BTCUSDT"):
        assert CandleStore(tmp_path, "spot", "5m").path(name).name == f"{name}.parquet"


def info(symbol: str, status: str) -> bytes:
    one = {"symbol": symbol, "baseAsset": "BTC", "quoteAsset": "USDT", "status": status}
    return msgspec.json.encode({"symbols": [one]})


def test_a_refused_symbol_that_is_traded_is_an_error(tmp_path: Path) -> None:
    script = Script([answer(400, b'{"code":-1121}'), answer(200, info("BTCUSDT", "TRADING"))])
    with pytest.raises(BadSymbol):
        fetch(tmp_path, script, 4)


def test_a_symbol_with_the_name_of_another_folder_is_not_fetched() -> None:
    known = [
        SymbolInfo(name, "BTC", "USDT", status="TRADING") for name in ("../../evil", "BTCUSDT")
    ]
    request = CandleRequest((Market.SPOT,), "USDT", "5m", 1, None, None)
    (chosen,) = choose_symbols({Market.SPOT: known}, request).values()
    assert [one.symbol for one in chosen] == ["BTCUSDT"]
