"""`alphaqcm marketstore start` as users start it, and what it says of a configuration."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pymarketstore as pymkts
import pytest

from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.marketstore.config import (
    FeederConfig,
    MarketstoreConfig,
    Sink,
    StreamType,
    read_config,
)
from alphaqcm.data_collection.marketstore.marketstore import addresses_of
from alphaqcm.pipeline.domain.registry import Market
from tests.conftest import PROJECT

DOCUMENT = """
root_directory: {root}
listen_port: {port}
log_level: info
queryable: true
stop_grace_period: 0
wal_rotate_interval: 5
timezone: "UTC"
bgworkers:
  - module: binancefeederv2.so
    name: BinanceFeederV2
    config:
      api_key: "the-secret-key-of-mine"
      secret_key: "and-the-other-one"
      testnet: false
      symbols: [BTCUSDT, ETHUSDT]
      timeframe: 1Min
      backfill:
        enabled: false
        start_time: "2024-01-01T00:00:00Z"
        end_time: "2024-01-05"
        batch_size: 1000
        parallelism: 5
        interval: 100ms
      realtime:
        enabled: false
        stream_type: kline
        update_freq: 1s
        buffer_size: 1000
        max_retries: 3
        retry_delay: 5s
      log_level: info
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "mkts.yml"
    path.write_text(text, encoding="utf-8")
    return path


def start(path: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "alphaqcm", "marketstore", "start", "--config", str(path)]
    return subprocess.Popen(
        [*command, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=PROJECT
    )


@contextlib.contextmanager
def running(path: Path, *words: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    process = start(path, *words)
    try:
        assert process.stdout
        yield process.stdout.readline().split()[0], process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.process
def test_the_documents_file_is_served_and_a_signal_ends_it(tmp_path: Path, month: Path) -> None:
    path = written(tmp_path, DOCUMENT.format(root=month, port=0))
    with running(path) as (rpc, process):
        client = pymkts.Client(rpc)
        assert client.query(pymkts.Params("ETHUSDT", "1D", "OHLCV")).first().array.size == 31
        second = start(path)
        assert f"process {process.pid} " in second.communicate(timeout=60)[1]
        assert second.returncode == 1
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 0
    (line,) = told.splitlines()
    assert set(line.removeprefix("not used here: ").split(", ")) == {
        "log_level", "queryable", "stop_grace_period", "wal_rotate_interval"
    }  # fmt: skip


@pytest.mark.process
def test_a_port_in_use_and_an_address_beyond_this_machine_are_told(
    tmp_path: Path, month: Path
) -> None:
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = taken.getsockname()[1]
        text = f"root_directory: {month}\nlisten_host: 0.0.0.0\nlisten_port: {port}\n"
        process = start(written(tmp_path, text))
        _, told = process.communicate(timeout=60)
    assert process.returncode == 2
    warning, error = told.strip().splitlines()
    assert "0.0.0.0 is not loopback, and the protocol has no authentication" in warning
    assert f"listen_port {port}" in error
    assert "in use" in error


@pytest.mark.process
def test_the_data_root_of_the_command_line_comes_first(tmp_path: Path, month: Path) -> None:
    path = written(tmp_path, DOCUMENT.format(root=tmp_path / "nowhere", port=0))
    process = start(path)
    assert "nowhere" in process.communicate(timeout=60)[1]
    assert process.returncode == 2
    with running(path, "--data-root", str(month)) as (rpc, _):
        assert "BTCUSDT" in pymkts.Client(rpc).list_symbols()


def test_every_value_of_the_document_is_read(tmp_path: Path) -> None:
    config = read_config(written(tmp_path, DOCUMENT.format(root="data", port='"5993"')))
    assert config.root_directory == Path("data")
    assert (config.listen_host, config.listen_port) == ("127.0.0.1", 5993)
    (feeder,) = config.feeders
    assert feeder.symbols == ("BTCUSDT", "ETHUSDT")
    assert (feeder.market, feeder.sink) == (Market.UM, Sink.ENDPOINT)
    assert feeder.backfill.start_ms == 1_704_067_200_000
    assert feeder.backfill.end_ms == 1_704_412_800_000
    assert feeder.realtime.streams == (StreamType.KLINE,)
    assert feeder.realtime.update_freq == 1.0
    assert "secret" not in repr(config)


def test_an_empty_file_is_all_defaults(tmp_path: Path) -> None:
    assert read_config(written(tmp_path, "")) == MarketstoreConfig()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("listen_port", "listen_prot"), "listen_prot; .*did you mean listen_port"),
        (("backfill:", "backfil:"), r"config\.backfil; .*did you mean backfill"),
        (("batch_size", "batchsize"), r"backfill\.batchsize; .*did you mean batch_size"),
        (("stream_type: kline", "stream_type: klines"), "stream_type; expected kline, trade"),
        (("timeframe: 1Min", "timeframe: 7Min"), "timeframe; expected 1Min"),
        (("[BTCUSDT, ETHUSDT]", "[BTC USDT]"), "symbols; expected a um symbol"),
        (('"2024-01-05"', '"2023-01-05"'), "end_time; expected a time after start_time"),
        (("parallelism: 5", "parallelism: many"), "parallelism; expected a whole number"),
        (("testnet: false", "testnet: maybe"), "testnet; expected true or false"),
        (('timezone: "UTC"', 'timezone: "Nowhere/City"'), "timezone; expected the name"),
        (("retry_delay: 5s", "retry_delay: 5 parsecs"), "retry_delay; expected a length of time"),
        (("bgworkers:", "bgworkers: 7\nx:"), "x; |bgworkers"),
        (("      testnet: false", "      market: moon"), "market; expected um, spot or cm"),
        (("      testnet: false", "      sink: marketstore"), "server; expected with sink"),
        (("  - module", " - - module"), "expected keys and values|expected MarketStore's YAML"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, change: tuple[str, str], told: str) -> None:
    text = DOCUMENT.format(root="data", port=0)
    assert change[0] in text
    with pytest.raises(UsageError, match=told):
        read_config(written(tmp_path, text.replace(*change)))


@pytest.mark.parametrize(
    "line",
    ['      api_key: "the-secret', "      api_key: [the-secret", "      api_key: @the-secret"],
)
def test_a_torn_file_does_not_tell_its_keys(tmp_path: Path, line: str) -> None:
    text = DOCUMENT.replace('      api_key: "the-secret-key-of-mine"', line)
    try:
        told = repr(read_config(written(tmp_path, text.format(root="data", port=0))))
    except UsageError as error:
        told = f"{error}"
    assert "the-secret" not in told


def test_testnet_selects_the_test_hosts_unless_an_exchange_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("ALPHAQCM_EXCHANGE", raising=False)
    real, test = (addresses_of(FeederConfig(testnet=on), None) for on in (False, True))
    assert real.um == "https://fapi.binance.com"
    for name in ("spot", "um", "cm", "spot_ws", "um_ws", "cm_ws"):
        assert getattr(test, name) != getattr(real, name)
    assert "testnet" in test.um
    named = addresses_of(FeederConfig(testnet=True), "http://127.0.0.1:8100")
    assert named.um == "http://127.0.0.1:8100"
