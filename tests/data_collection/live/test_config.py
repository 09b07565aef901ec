from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.live.config import (
    KEYS,
    AlertKind,
    ExtraStream,
    SaveType,
    load_config,
    parse_config,
)
from alphaqcm.pipeline.domain.registry import Market
from tests.conftest import PROJECT

LEAST = {"interval": "1m", "trade_type": "usdt_perp"}


def test_two_keys_are_enough_and_the_rest_has_bmacs_defaults() -> None:
    config = parse_config(LEAST)
    told = (
        config.num_candles, config.funding_rate, config.http_timeout_sec,
        config.candle_close_timeout_sec, config.keep_symbols, config.save_type,
        config.num_rest_fetchers, config.num_socket_listeners, config.alerts, config.fsync,
    )  # fmt: skip
    assert told == (1500, False, 5.0, 15.0, None, SaveType.PARQUET, 8, 8, (), False)
    assert config.warnings == ()


@pytest.mark.parametrize(
    ("name", "market", "folder"),
    [
        ("usdt_spot", Market.SPOT, "usdt_spot"), ("usdc_spot", Market.SPOT, "usdc_spot"),
        ("btc_spot", Market.SPOT, "btc_spot"), ("usdt_perp", Market.UM, "usdt_perp"),
        ("usdc_perp", Market.UM, "usdc_perp"), ("btc_perp", Market.UM, "btc_perp"),
        ("usdt_deli", Market.UM, "usdt_deli"), ("coin_perp", Market.CM, "coin_perp"),
        ("coin_deli", Market.CM, "coin_deli"), ("usdt_swap", Market.UM, "usdt_perp"),
        ("coin_swap", Market.CM, "coin_perp"),
    ],
)  # fmt: skip
def test_every_trade_type_and_alias(name: str, market: Market, folder: str) -> None:
    config = parse_config(LEAST | {"trade_type": name})
    assert (config.trade_type.market, config.trade_type.name) == (market, folder)
    assert config.alias == ("" if name == folder else name)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"interval": "7m"}, "interval; expected one of 1m, 3m"),
        ({"trade_type": "spot"}, "trade_type; expected one of usdt_spot"),
        ({"num_candles": 10_001}, "from 1 to 10000; found 10001"),
        ({"num_candles": True}, "from 1 to 10000; found True"),
        ({"funding_rate": "yes"}, "true or false"),
        ({"http_timeout_sec": 0}, "seconds above 0"),
        ({"keep_symbols": "BTCUSDT"}, "null or a list of symbols"),
        ({"save_type": "csv"}, "one of parquet, feather; found 'csv'"),
        ({"streams": ["depth"]}, "a list of aggTrade, markPrice, forceOrder"),
        ({"zmq": {"pub": "x"}}, "ipc://"),
        ({"bases": {"um": "ftp://h"}}, "http://"),
        ({"archive_dir": "/no/such/place"}, "a directory that is there"),
        ({"alerts": [{"type": "pigeon"}]}, "dingding, wechat_work, webhook, log"),
        ({"dingding": {"error": {"secret": "SEC0"}}}, "access_token"),
    ],
)
def test_a_bad_value_is_one_line_that_says_what_is_allowed(
    words: dict[str, Any], says: str
) -> None:
    with pytest.raises(UsageError) as caught:
        parse_config(LEAST | words)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_key_or_file_or_json_is_told(tmp_path: Path) -> None:
    for text in (None, "{", "[]", '{"interval": "1m"}'):
        if text is not None:
            (tmp_path / "config.json").write_text(text)
        with pytest.raises(UsageError, match=r"config\.json"):
            load_config(tmp_path)


def test_an_unknown_key_is_named_with_the_nearest_and_ignored(tmp_path: Path) -> None:
    words = LEAST | {"keep_symbol": ["BTCUSDT"], "num_candle": 3, "zzzzzzzzzzzzzzzz": 1}
    (tmp_path / "config.json").write_text(json.dumps(words))
    config = load_config(tmp_path)
    assert config.keep_symbols is None and config.num_candles == 1500
    first, second, third = config.warnings
    assert "'keep_symbol'" in first and first.endswith("nearest known one is keep_symbols")
    assert second.endswith("nearest known one is num_candles")
    assert third.endswith("is ignored")


def test_secrets_are_neither_in_errors_nor_in_what_is_printed() -> None:
    secret = "SECdeadbeefdeadbeef"
    words = LEAST | {"dingding": {"error": {"access_token": "token123", "secret": secret}}}
    config = parse_config(words)
    assert config.alerts[0].kind is AlertKind.DINGDING
    assert config.alerts[0].settings["secret"] == secret
    assert secret not in repr(config) and "token123" not in repr(config)
    with pytest.raises(UsageError) as caught:
        parse_config(LEAST | {"alerts": [{"type": "dingding", "secret": secret}]})
    assert secret not in str(caught.value)


def test_alerts_of_all_three_keys_come_together() -> None:
    config = parse_config(
        LEAST
        | {
            "dingding": {"error": {"access_token": "a", "secret": "b"}},
            "msg_sender": "log",
            "alerts": [{"type": "webhook", "url": "http://127.0.0.1/x"}],
            "streams": ["aggTrade"],
        }
    )
    assert [one.kind for one in config.alerts] == ["dingding", "log", "webhook"]
    assert config.streams == {ExtraStream.AGG_TRADE}


def test_the_page_tells_every_key() -> None:
    page = (PROJECT / "docs" / "live.md").read_text(encoding="utf-8")
    assert [key for key in KEYS if f"\n| `{key}` |" not in page] == []
