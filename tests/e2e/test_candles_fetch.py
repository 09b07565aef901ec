"""`alphaqcm candles fetch` against the simulated exchange: real sockets, real processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from alphaqcm.data_collection.simulation.exchange import Exchange
from tests.helpers.simulated_exchange import (
    START_MS,
    assert_stored_equals_truth,
    candles,
    exchange,
    footer,
    plant,
    repeated_kline_pages,
    stats,
    stored,
    truth,
)

pytestmark = pytest.mark.process

_DAY = 86_400_000
UM, SPOT = "usdt_futures_5m", "spot_5m"


@pytest.fixture
def server() -> Iterator[Exchange]:
    with exchange() as running:
        yield running


def symbols(root: Path, folder: str) -> list[str]:
    return sorted(path.stem for path in (root / "candles" / folder).glob("*.parquet"))


def test_two_markets_are_fetched_and_every_cell_is_the_exchanges(
    server: Exchange, tmp_path: Path
) -> None:
    done = candles(server, tmp_path, "fetch", "--days", 4)
    assert done.returncode == 0, done.stderr
    for folder, market in ((UM, "um"), (SPOT, "spot")):
        assert len(symbols(tmp_path, folder)) >= 3
        for symbol in symbols(tmp_path, folder):
            assert_stored_equals_truth(server, tmp_path, folder, market, symbol)


def test_a_clean_fetch_asks_each_page_once_and_stays_below_the_limit(
    server: Exchange, tmp_path: Path
) -> None:
    candles(server, tmp_path, "fetch", "--days", 4)
    found = stats(server)
    assert repeated_kline_pages(server) == {}
    assert found["refused"] == 0
    assert all(window["used"] <= window["limit"] for window in found["windows"])


def test_the_documents_filter_decides_which_symbols_are_fetched(
    server: Exchange, tmp_path: Path
) -> None:
    candles(server, tmp_path, "fetch", "--days", 1, "--market", "um")
    kept = symbols(tmp_path, UM)
    assert "币安人生USDT" in kept  # not ASCII
    assert "NEWUSDT" in kept
    left_out = ("TSLAUSDT", "XAUUSDT", "OLDUSDT", "SOONUSDT", "BTCUSDC", "ETHBTC")
    assert not set(kept) & set(left_out)
    assert not [name for name in kept if "_" in name]  # delivery contracts


def test_a_young_symbol_is_asked_for_from_its_listing_on(server: Exchange, tmp_path: Path) -> None:
    candles(server, tmp_path, "fetch", "--days", 10, "--symbols", "NEWUSDT", "--market", "um")
    told = footer(tmp_path, UM, "NEWUSDT")
    assert told["covered"][0]["begin_ms"] == START_MS // _DAY * _DAY - 3 * _DAY
    assert told["gaps"] == []


def test_a_young_spot_symbol_has_no_gap_before_its_first_candle(
    server: Exchange, tmp_path: Path
) -> None:
    candles(server, tmp_path, "fetch", "--days", 10, "--symbols", "NEWUSDT", "--market", "spot")
    told = footer(tmp_path, SPOT, "NEWUSDT")
    assert told["rows"] > 3 * 288
    assert told["gaps"] == []


def test_a_hole_in_the_exchanges_history_is_told_and_not_asked_for_again(
    server: Exchange, tmp_path: Path
) -> None:
    hole = START_MS // _DAY * _DAY - _DAY
    plant(server, "hole", market="um", symbol="BTCUSDT", start=hole, seconds=3600)
    words = (
        "--market",
        "um",
        "--symbols",
        "BTCUSDT",
        "--start",
        "2026-03-08",
        "--end",
        "2026-03-10",
    )
    done = candles(server, tmp_path, "fetch", *words)
    assert footer(tmp_path, UM, "BTCUSDT")["gaps"] == [
        ["2026-03-09T00:00:00Z", "2026-03-09T01:00:00Z"]
    ]
    assert "gaps in the exchange's history: 1" in done.stdout
    candles(server, tmp_path, "fetch", *words)
    assert repeated_kline_pages(server) == {}
    assert_stored_equals_truth(server, tmp_path, UM, "um", "BTCUSDT")


def test_a_rerun_asks_for_the_missing_range_only(server: Exchange, tmp_path: Path) -> None:
    one = ("--market", "um", "--symbols", "BTCUSDT")
    candles(server, tmp_path, "fetch", *one, "--start", "2026-03-05", "--end", "2026-03-07")
    candles(server, tmp_path, "fetch", *one, "--start", "2026-03-04", "--end", "2026-03-08")
    asked = [page for page in stats(server)["pages"] if "/klines" in page]
    assert sum(int(page.split("limit=")[1].split("&")[0]) for page in asked) == 4 * 288
    assert_stored_equals_truth(server, tmp_path, UM, "um", "BTCUSDT")


def test_the_newest_candle_is_the_final_one_though_the_exchange_corrects_it(
    tmp_path: Path,
) -> None:
    # the clock stands 3 s after a close; for 5 s the exchange gives that candle wrongly
    with exchange(start_ms=START_MS // 300_000 * 300_000 + 3_000, speed=3.0) as server:
        plant(server, "wrong-last")
        candles(server, tmp_path, "fetch", "--days", 1, "--market", "um", "--symbols", "BTCUSDT")
        assert_stored_equals_truth(server, tmp_path, UM, "um", "BTCUSDT")


def test_time_is_the_exchanges_where_the_machines_clock_is_wrong(tmp_path: Path) -> None:
    with exchange() as server:
        plant(server, "clock-skew", value=3 * _DAY)
        candles(server, tmp_path, "fetch", "--days", 1, "--market", "um", "--symbols", "BTCUSDT")
        last = footer(tmp_path, UM, "BTCUSDT")["covered"][-1]["end_ms"]
    assert last > START_MS + 2 * _DAY


def test_a_dry_run_tells_the_plan_and_asks_for_no_candle(server: Exchange, tmp_path: Path) -> None:
    done = candles(server, tmp_path, "fetch", "--days", 2, "--dry-run")
    assert done.returncode == 0
    assert "pages of weight" in done.stdout
    assert not [page for page in stats(server)["pages"] if "klines" in page]
    assert not (tmp_path / "candles").exists()


def test_coin_margined_contracts_are_paged_within_200_days(tmp_path: Path) -> None:
    with exchange() as server:
        words = ("--market", "cm", "--quote", "USD", "--interval", "1d", "--symbols", "BTCUSD_PERP")
        done = candles(server, tmp_path, "fetch", *words, "--days", 300)
        assert done.returncode == 0, done.stderr
        rows = stored(tmp_path, "coin_futures_1d", "BTCUSD_PERP")
        first = int(rows["candle_begin_time"].dt.epoch("ms")[0])
        end = int(rows["candle_begin_time"].dt.epoch("ms")[-1]) + _DAY
        assert rows.equals(
            truth(server, "cm", "BTCUSD_PERP", first, end, "1d").select(rows.columns)
        )
