"""Answers and frames have the names and types of those that were recorded of the real exchange."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.data_collection.simulation.exchange.conftest import Client
from tests.data_collection.simulation.exchange.frames import listen
from tests.data_collection.simulation.exchange.shapes import missing_in, shape

ADDED = {"markPrice", "rateType", "nq"}
"""Names that the exchange has added since the recordings."""


def recorded(real: Path, name: str) -> Any:
    text = (real / "rest" / name).read_text()
    if name.startswith("capture_"):
        text = text.partition(": ")[2].splitlines()[0]
    return json.loads(text)


@pytest.mark.parametrize(
    ("name", "path", "params"),
    [
        ("api_v3_klines.BTCUSDT.1h.20221231-20230108.json", "/api/v3/klines", {"interval": "1h"}),
        ("fapi_v1_klines.LTCUSDT.5m.20201014-20201016.json", "/fapi/v1/klines", {"interval": "5m"}),
    ],
)
def test_klines_have_the_recorded_row(
    real: Path, client: Client, name: str, path: str, params: dict[str, str]
) -> None:
    ours = client.json(path, symbol="BTCUSDT", **params)
    theirs = recorded(real, name)
    assert [type(cell) for cell in ours[0]] == [type(cell) for cell in theirs[0]]
    steps = {row[6] - row[0] for row in theirs}
    assert {row[6] - row[0] for row in ours} == steps


def test_spot_klines_have_eight_decimals_as_recorded(real: Path, client: Client) -> None:
    theirs = recorded(real, "api_v3_klines.BTCUSDT.1h.20221231-20230108.json")
    ours = client.json("/api/v3/klines", symbol="BTCUSDT", interval="1h")
    for rows in (theirs, ours):
        texts = [cell for row in rows for cell in row[:11] if isinstance(cell, str)]
        assert {len(text.partition(".")[2]) for text in texts} == {8}


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("api_v3_aggTrades.BTCUSDT.fromId202790190.json", "/api/v3/aggTrades"),
        ("fapi_v1_aggTrades.LTCUSDT.20201016.json", "/fapi/v1/aggTrades"),
    ],
)
def test_agg_trades_have_the_recorded_names(
    real: Path, client: Client, name: str, path: str
) -> None:
    ours = shape(client.json(path, symbol="BTCUSDT"))
    assert ours == shape(recorded(real, name))


@pytest.mark.parametrize(
    ("name", "path", "params"),
    [
        ("fapi_v1_fundingRate.BTCUSDT.202009-202010.json", "/fapi/v1/fundingRate", {}),
        (
            "futures_data_openInterestHist.LTCUSDT.1d.json",
            "/futures/data/openInterestHist",
            {"period": "1d"},
        ),
    ],
)
def test_derivatives_have_the_recorded_names(
    real: Path, client: Client, name: str, path: str, params: dict[str, str]
) -> None:
    ours = shape(client.json(path, symbol="BTCUSDT", **params))[0]
    theirs = shape(recorded(real, name))[0]
    assert not missing_in(ours, theirs)
    assert set(ours) - set(theirs) <= ADDED


@pytest.mark.parametrize(
    ("name", "path", "gone"),
    [
        ("fapi_v1_exchangeInfo.json", "/fapi/v1/exchangeInfo", set()),
        ("capture_exchangeInfo.um.json", "/fapi/v1/exchangeInfo", {"settlePlan"}),
        ("capture_exchangeInfo.cm.json", "/dapi/v1/exchangeInfo", set()),
        ("capture_exchangeInfo.spot.json", "/api/v3/exchangeInfo", set()),
    ],
)
def test_exchange_info_has_every_recorded_name(
    real: Path, client: Client, name: str, path: str, gone: set[str]
) -> None:
    ours, theirs = client.json(path), recorded(real, name)
    symbols, their_symbols = ours.pop("symbols"), theirs.pop("symbols")
    assert set(missing_in(shape(ours), shape(theirs))) <= {"exchangeFilters"}
    mine, yours = shape(symbols[0]), shape(their_symbols[0])
    lists = {"filters", "underlyingSubType", "permissions", "permissionSets"}
    assert set(missing_in(mine, yours)) - lists <= gone
    filters = {row["filterType"]: shape(row) for row in symbols[0]["filters"]}
    for row in their_symbols[0]["filters"]:
        if row["filterType"] in filters:
            assert not missing_in(filters[row["filterType"]], shape(row))
    wanted = {"PRICE_FILTER", "LOT_SIZE"}
    assert wanted <= set(filters)


def frames_of(real: Path) -> Iterator[dict[str, Any]]:
    lines = (real / "ws" / "um.aggTrade+kline.2021-07-22.capture").read_text().splitlines()
    for line in lines[1:]:
        if line:
            yield json.loads(line.partition(": ")[2])


def test_um_frames_have_the_recorded_names(real: Path, client: Client) -> None:
    theirs: dict[str, Any] = {}
    for row in frames_of(real):
        if all(row["data"].get(side, ["-"]) for side in ("a", "b")):
            theirs.setdefault(row["stream"].partition("@")[2], shape(row["data"]))
    assert set(theirs) == {"kline_1m", "aggTrade", "depth@100ms", "bookTicker"}
    market = ["btcusdt@kline_1m", "btcusdt@aggTrade"]
    public = ["btcusdt@depth@100ms", "btcusdt@bookTicker"]
    ours: dict[str, Any] = {}
    for route, names in (("market", market), ("public", public)):
        path = f"/um-ws/{route}/stream?streams={'/'.join(names)}"
        for frame in asyncio.run(listen(client, path, advance=90)):
            ours.setdefault(frame["stream"].partition("@")[2], shape(frame["data"]))
    assert set(ours) == set(theirs)
    for kind, recorded_shape in theirs.items():
        assert not missing_in(ours[kind], recorded_shape), kind
        assert set(ours[kind]) - set(recorded_shape) <= ADDED, kind
