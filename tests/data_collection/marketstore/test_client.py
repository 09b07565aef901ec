"""The client with the short form of a query, held against the real one."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pandas as pd
import pymarketstore as pymkts
import pytest

from alphaqcm import marketstore
from alphaqcm.errors import UsageError
from tests.conftest import PROJECT
from tests.helpers.marketstore_server import Served


@pytest.fixture
def short(endpoint: Served) -> marketstore.Client:
    return marketstore.Client(endpoint.rpc)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2024-01-05", "2024-01-06"),
        (1_704_412_800, 1_704_499_200),
        (date(2024, 1, 5), date(2024, 1, 6)),
        (datetime(2024, 1, 5, tzinfo=UTC), datetime(2024, 1, 6, tzinfo=UTC)),
        (pd.Timestamp("2024-01-05 08:00", tz="Asia/Hong_Kong"), "2024-01-06T00:00:00Z"),
    ],
)
def test_a_key_and_times_ask_what_params_ask(
    short: marketstore.Client, client: pymkts.Client, start: Any, end: Any
) -> None:
    with pytest.raises(Exception):  # noqa: B017 - the real client has no such form
        client.query("ETHUSDT/1m/OHLCV")
    expected = client.query(
        pymkts.Params("ETHUSDT", "1Min", "OHLCV", start="2024-01-05", end="2024-01-06")
    )
    reply = short.query("ETHUSDT/1m/OHLCV", start=start, end=end)
    assert np.array_equal(reply.first().array, expected.first().array)
    assert reply.df().equals(expected.first().df())
    assert len(reply.df()) == 1441


def test_every_other_word_and_the_real_form_work_too(
    short: marketstore.Client, client: pymkts.Client
) -> None:
    params = pymkts.Params("BTCUSDT", "1H", "OHLCV", limit=3, columns=["Close"])
    expected = client.query(params).first().df()
    assert short.query("BTCUSDT/1h/OHLCV", limit=3, columns=["Close"]).df().equals(expected)
    assert short.query(params).first().df().equals(expected)
    several = short.query("BTCUSDT,ETHUSDT/1D/OHLCV", limit=1)
    assert set(several.by_symbols()) == {"BTCUSDT", "ETHUSDT"}
    assert short.list_symbols() == client.list_symbols()


def test_what_is_no_key_is_told(short: marketstore.Client) -> None:
    with pytest.raises(UsageError, match="SYMBOL/TIMEFRAME/GROUP"):
        short.query("BTCUSDT")
    with pytest.raises(UsageError, match="an instant"):
        short.query("BTCUSDT/1m/OHLCV", start="yesterday-ish")
    with pytest.raises(UsageError, match="inside of Params"):
        short.query(pymkts.Params("BTCUSDT", "1H", "OHLCV"), limit=3)


@pytest.mark.process
def test_without_the_library_one_line_tells_the_extra() -> None:
    code = (
        "import sys; sys.modules['pymarketstore'] = None\n"
        "from importlib import util; find = util.find_spec\n"
        "util.find_spec = lambda name, *p: None if name == 'pymarketstore' else find(name, *p)\n"
        "from alphaqcm import marketstore"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert "pip install 'alphaqcm-data[marketstore]'" in done.stderr.splitlines()[-1]
