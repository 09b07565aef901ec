"""The main job, as users call it: real processes, a real HTTP server, real files."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
import zipfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from alphaqcm.data_collection._bootstrap import NEEDED
from alphaqcm.data_collection.simulation.mirror import Mirror
from alphaqcm.data_collection.simulation.sample import SampleSpec, universe, write_sample
from alphaqcm.pipeline.domain.registry import Market
from alphaqcm.pipeline.features.columns import COLUMNS
from alphaqcm.pipeline.storage.artifact import read_fingerprint
from tests.conftest import PROJECT
from tests.helpers.command import alphaqcm

pytestmark = pytest.mark.process

SYMBOLS = "BTCUSDT,ETHUSDT,SOLUSDT"
DAYS = ("2024-02-27", "2024-02-29")


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    write_sample(folder, SampleSpec(symbols=universe(3), trades_per_day=4_000))
    return folder


def road(source: object, root: Path, *more: object, days: tuple[str, str] = DAYS) -> list[object]:
    words = ["run", "--symbols", SYMBOLS, "--start", days[0], "--end", days[1]]
    return [*words, "--source", source, "--data-root", root, *more]


def files_below(folder: Path) -> dict[str, str]:
    """Every result of a data root with its SHA-256; times of creation left out of markers."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if not path.is_file() or name.startswith("_tmp") or name.endswith(".manifest.json"):
            continue  # working files, and a catalogue that tells source and time
        data = path.read_bytes()
        if name.endswith(".meta.json"):
            meta = json.loads(data)
            del meta["created_at_utc"], meta["digest"]
            data = json.dumps(meta).encode()
        if name.endswith(".manifest.json"):
            told = json.loads(data)
            del told["created_at"], told["source"]
            data = json.dumps(told).encode()
        found[name] = hashlib.sha256(data).hexdigest()
    return found


@pytest.fixture(scope="module")
def built(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root built over HTTP, once for the tests that only look."""
    root = tmp_path_factory.mktemp("root")
    with Mirror(sample) as mirror:
        done = alphaqcm(*road(mirror.url, root))
    assert done.returncode == 0, done.stdout + done.stderr
    return root


def test_the_table_has_every_column_and_hour(built: Path) -> None:
    table = pl.read_parquet(built / "final_dataset_all.parquet")
    assert tuple(table.columns) == COLUMNS
    assert table.height == 3 * 3 * 24
    assert table.select("symbol", "datetime").equals(
        table.select("symbol", "datetime").sort("symbol", "datetime")
    )
    assert table["funding_rate"].null_count() == 0
    assert table["oi_open_interest"].null_count() == 0


def test_the_order_flow_agrees_with_the_bars(built: Path) -> None:
    """Both are made from the same trades, by different roads."""
    table = pl.read_parquet(built / "final_dataset_all.parquet")
    off = (table["at_base_volume"] / table["volume"] - 1).abs().max()
    assert isinstance(off, float)
    assert off < 1e-12
    traded = table.filter(pl.col("n_minutes_kept") == 60)
    assert traded.filter(pl.col("at_price_close") != pl.col("close")).is_empty()


def test_every_layer_is_where_the_data_root_page_says(built: Path) -> None:
    for name in (
        "binance_klines_1m_parquet/BTCUSDT/2024-02.parquet",
        "binance_aggTrades_1m_parquet/BTCUSDT/2024-02.parquet",
        *(
            f"binance_{kind}/BTCUSDT_{kind.removesuffix('_1h')}.csv"
            for kind in (
                "aggTrades",
                "klines_1h",
                "markPriceKlines_1h",
                "indexPriceKlines_1h",
                "premiumIndexKlines_1h",
                "fundingRate",
                "metrics",
            )
        ),
        "crypto_hourly_basic/BTC_USDT:USDT_hourly.csv",
        "crypto_hourly_full/BTC_USDT:USDT_hourly_full.csv",
        "crypto_hourly_cleaned/BTC_USDT:USDT_cleaned.csv",
        "crypto_hourly_momentum/BTC_USDT:USDT_momentum.csv",
        "crypto_hourly_volatility/BTC_USDT:USDT_volatility.csv",
        "final_dataset/BTC_USDT:USDT_final.csv",
        "final_dataset/dataset_summary.csv",
    ):
        assert (built / name).is_file(), name


def test_the_hourly_marker_tells_what_was_asked_and_made(built: Path) -> None:
    path = built / "binance_metrics" / "ETHUSDT_metrics.csv"
    meta = json.loads(path.with_name(path.name + ".meta.json").read_text())
    rows = pl.read_csv(path)
    assert meta["status"] == "ok"
    assert (meta["symbol"], meta["data_type"], meta["market"]) == ("ETHUSDT", "metrics", "um")
    assert meta["interval"] is None
    assert (meta["requested_start"], meta["requested_end"]) == DAYS
    assert meta["rows"] == rows.height == 72
    assert meta["min_ts"] == "2024-02-27T00:00:00+00:00"
    assert rows["create_time"][0] == "2024-02-27 00:00:00+00:00"


def test_a_parquet_names_its_inputs_and_their_checksums(built: Path, sample: Path) -> None:
    path = built / "binance_aggTrades_1m_parquet" / "SOLUSDT" / "2024-02.parquet"
    fingerprint = read_fingerprint(path)
    assert fingerprint is not None
    assert fingerprint.inputs
    for item in fingerprint.inputs:
        assert hashlib.sha256((sample / item.key).read_bytes()).hexdigest() == item.sha256


def test_every_archive_file_behind_the_table_is_named(built: Path, sample: Path) -> None:
    done = alphaqcm("info", "--files", "--data-root", built)
    assert done.returncode == 0, done.stderr
    rows = [line.split(",") for line in done.stdout.splitlines()[1:]]
    assert {row[0] for row in rows} == {"BTC_USDT:USDT", "ETH_USDT:USDT", "SOL_USDT:USDT"}
    types = {key.split("/")[4] for _, key, _ in rows}
    assert types == {
        *("aggTrades", "fundingRate", "indexPriceKlines", "klines", "markPriceKlines"),
        *("metrics", "premiumIndexKlines"),
    }
    for _, key, sha256 in rows:
        assert hashlib.sha256((sample / key).read_bytes()).hexdigest() == sha256


def test_a_second_run_downloads_and_builds_nothing(sample: Path, built: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in built.rglob("*.parquet")}
    with Mirror(sample) as mirror:
        done = alphaqcm(*road(mirror.url, built))
        zips = [served for served in mirror.log if ".zip" in served.key]
    assert done.returncode == 0
    assert "everything is current" in done.stdout
    assert zips == []
    assert {path: path.stat().st_mtime_ns for path in built.rglob("*.parquet")} == before


def test_a_directory_gives_the_same_bytes_as_http(
    sample: Path, built: Path, tmp_path: Path
) -> None:
    done = alphaqcm(*road(sample, tmp_path, "--workers", 1))
    assert done.returncode == 0, done.stderr
    assert files_below(tmp_path) == files_below(built)


def test_a_replaced_file_rebuilds_what_depends_on_it(sample: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    write_sample(source, SampleSpec(symbols=universe(2), trades_per_day=2_000))
    words = ["run", "--symbols", "BTCUSDT,ETHUSDT", "--start", DAYS[0], "--end", DAYS[1]]
    words += ["--source", str(source), "--data-root", str(tmp_path / "root")]
    assert alphaqcm(*words).returncode == 0
    before = files_below(tmp_path / "root")
    other = tmp_path / "other"
    write_sample(other, SampleSpec(symbols=universe(2), trades_per_day=2_500))
    changed = "data/futures/um/daily/metrics/ETHUSDT/ETHUSDT-metrics-2024-02-28.zip"
    for name in (changed, f"{changed}.CHECKSUM"):
        (source / name).write_bytes((other / name).read_bytes())
    done = alphaqcm(*words)
    assert done.returncode == 0, done.stderr
    after = files_below(tmp_path / "root")
    assert {name for name in after if after[name] != before[name]} == {
        "binance_metrics/ETHUSDT_metrics.csv",
        "binance_metrics/ETHUSDT_metrics.csv.meta.json",
        "final_dataset/ETH_USDT:USDT_final.csv",
        "final_dataset_all.parquet",
    }


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_run_goes_on_where_it_stopped(
    sample: Path, built: Path, tmp_path: Path, stop: signal.Signals
) -> None:
    command = [
        sys.executable,
        "-m",
        "alphaqcm",
        *map(str, road(sample, tmp_path)),
    ]
    process = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.DEVNULL)
    give_up = time.monotonic() + 120
    while not list(tmp_path.rglob("*.parquet")) and time.monotonic() < give_up:
        time.sleep(0.01)
    process.send_signal(stop)
    assert process.wait(60) != 0
    done = alphaqcm(*road(sample, tmp_path))
    assert done.returncode == 0, done.stderr
    assert files_below(tmp_path) == files_below(built)
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_second_run_says_who_holds_the_root(sample: Path, tmp_path: Path) -> None:
    holder = (
        "import sys,time,pathlib;from alphaqcm.data_collection.process.root_lock import hold_root\n"
    )
    holder += f"with hold_root(pathlib.Path({str(tmp_path / '_tmp')!r}), exclusive=True):\n"
    holder += " print('held', flush=True); time.sleep(60)"
    with subprocess.Popen(
        [sys.executable, "-c", holder], cwd=PROJECT, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        done = alphaqcm(*road(sample, tmp_path))
        process.kill()
    assert done.returncode == 1
    assert "RootBusy" in done.stderr
    assert not (tmp_path / "final_dataset_all.parquet").exists()


BAD_WORDS = {
    "start after end": (["--start", "2024-02-29", "--end", "2024-02-28"], "not after the end"),
    "a day to come": (
        ["--end", f"{datetime.now(UTC).date() + timedelta(days=2)}"],
        "a day that has begun",
    ),
    "no date": (["--start", "2024-02-31"], "YYYY-MM-DD"),
    "unknown symbol": (["--symbols", "NOSUCHUSDT"], "NOSUCHUSDT"),
    "no symbol": (["--symbols", "BTC/USDT:USDC"], "um symbol"),
    "no such directory": (["--source", "/no/such/place"], "directory"),
}


@pytest.mark.parametrize("case", BAD_WORDS)
def test_bad_words_are_told_and_change_nothing(case: str, sample: Path, built: Path) -> None:
    before = files_below(built)
    words, expected = BAD_WORDS[case]
    done = alphaqcm(*road(sample, built), *words)
    assert done.returncode == 2
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    assert files_below(built) == before


def test_a_symbols_file_that_is_not_there(sample: Path, tmp_path: Path) -> None:
    words = ["run", "--symbols-file", "nowhere.txt", "--start", DAYS[0], "--end", DAYS[1]]
    done = alphaqcm(*words, "--source", sample, "--data-root", tmp_path)
    assert done.returncode == 2
    assert "top100_perp_symbols.txt" in done.stderr


def test_a_symbols_file_that_is_no_text(sample: Path, tmp_path: Path) -> None:
    (tmp_path / "symbols.txt").write_bytes(b"BTCUSDT\n\xff\xfe\n")
    words = [
        "run",
        "--symbols-file",
        tmp_path / "symbols.txt",
        "--start",
        DAYS[0],
        "--end",
        DAYS[1],
    ]
    done = alphaqcm(*words, "--source", sample, "--data-root", tmp_path)
    assert done.returncode == 2
    assert "UTF-8" in done.stderr


def test_a_worker_names_an_unknown_symbol(sample: Path, tmp_path: Path) -> None:
    words = ["worker", "--id", "A", "--symbols", "NOSUCHUSDT", "--start", DAYS[0], "--end", DAYS[1]]
    done = alphaqcm(*words, "--source", sample, "--data-root", tmp_path)
    assert done.returncode == 2
    assert "NOSUCHUSDT" in done.stderr


def test_a_copied_root_is_the_one_that_is_worked_on(built: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(built, copy)
    (copy / "final_dataset_all.parquet").unlink()
    before = files_below(built)
    done = alphaqcm("build", "--data-root", copy)
    assert done.returncode == 0, done.stderr
    assert f"{copy / 'final_dataset_all.parquet'}" in done.stdout
    assert files_below(copy) == files_below(built) == before


def test_another_market_leaves_the_settings_of_this_one(sample: Path, tmp_path: Path) -> None:
    spot = tmp_path / "spot"
    write_sample(spot, SampleSpec(market=Market.SPOT, symbols=universe(1), trades_per_day=500))
    root = tmp_path / "root"
    assert alphaqcm(*road(sample, root)).returncode == 0
    words = ["--start", DAYS[0], "--end", DAYS[1], "--source", spot, "--data-root", root]
    done = alphaqcm("run", "--market", "spot", "--symbols", "BTCUSDT", *words)
    assert done.returncode == 0, done.stderr
    assert "3 symbols, current" in alphaqcm("build", "--data-root", root).stdout
    assert "spot ends" in alphaqcm("build", "--market", "spot", "--data-root", root).stdout


def test_a_root_that_cannot_be_written(sample: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = alphaqcm(*road(sample, tmp_path / "file" / "root"))
    assert done.returncode == 1
    assert "LayerError" in done.stderr


def test_a_listing_that_is_not_xml(tmp_path: Path) -> None:
    page = "import http.server as h\nclass H(h.BaseHTTPRequestHandler):\n"
    page += " def do_GET(self):\n  self.send_response(200);b=b'<html><p>hello';"
    page += (
        "self.send_header('Content-Length',str(len(b)));self.end_headers();self.wfile.write(b)\n"
    )
    page += " def log_message(self,*a):pass\n"
    page += "s=h.ThreadingHTTPServer(('127.0.0.1',0),H);print(s.server_address[1],flush=True)\n"
    page += "s.serve_forever()"
    with subprocess.Popen([sys.executable, "-c", page], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        done = alphaqcm(*road(f"http://127.0.0.1:{port}", tmp_path))
        server.kill()
    assert done.returncode == 1
    assert "BadListing" in done.stderr


def test_a_source_that_does_not_answer(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        done = alphaqcm(*road(f"http://127.0.0.1:{taken.getsockname()[1]}", tmp_path))
    assert done.returncode == 1
    assert "Unreachable" in done.stderr
    assert "next: check the network and --source" in done.stderr


def test_a_wrong_checksum_is_told_by_the_exit_code_and_keeps_the_rest(tmp_path: Path) -> None:
    source = tmp_path / "source"
    write_sample(source, SampleSpec(symbols=universe(2), trades_per_day=2_000))
    key = "data/futures/um/daily/metrics/ETHUSDT/ETHUSDT-metrics-2024-02-28.zip.CHECKSUM"
    (source / key).write_text("0" * 64 + "  ETHUSDT-metrics-2024-02-28.zip\n")
    words = ["run", "--symbols", "BTCUSDT,ETHUSDT", "--start", DAYS[0], "--end", DAYS[1]]
    words += ["--source", str(source), "--data-root", str(tmp_path / "root")]
    done = alphaqcm(*words)
    assert done.returncode == 3
    assert "ETHUSDT-metrics-2024-02-28.zip" in done.stdout
    table = pl.read_parquet(tmp_path / "root" / "final_dataset_all.parquet")
    eth = table.filter(pl.col("symbol") == "ETH_USDT:USDT")
    unknown = eth.filter(pl.col("oi_open_interest").is_null())["datetime"].dt.date().unique()
    assert unknown.to_list() == [date(2024, 2, 28)]
    assert alphaqcm(*words).returncode == 3  # it stays told, though nothing is built again
    for known in ("ETHUSDT-metrics-2024-02-28.zip", "*/ETHUSDT-metrics-2024-02-*"):
        assert alphaqcm(*words, "--accept-corrupt", f"other.zip,{known}").returncode == 0
    assert alphaqcm(*words, "--accept-corrupt", "BTCUSDT-*").returncode == 3
    work = ["worker", "--id", "W1", "--types", "metrics", *words[1:-1]]
    done = alphaqcm(*work, str(tmp_path / "of a worker"))
    assert done.returncode == 3, done.stdout
    assert "ETHUSDT-metrics-2024-02-28.zip" in done.stdout


@pytest.mark.parametrize("bad", ["aggTrades", "klines/BTCUSDT/1m"])
def test_a_file_that_cannot_be_read_is_named_and_fails_the_run(bad: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    write_sample(source, SampleSpec(symbols=universe(1), trades_per_day=2_000))
    for path in source.rglob("*.zip"):
        if bad in str(path):
            with zipfile.ZipFile(path, "a") as archive:
                archive.writestr("second.csv", "1,2,3\n")
            path.with_name(path.name + ".CHECKSUM").unlink()
    words = ["run", "--symbols", "BTCUSDT", "--start", DAYS[0], "--end", DAYS[1]]
    words += ["--source", str(source), "--data-root", str(tmp_path / "root")]
    for _ in range(2):
        done = alphaqcm(*words)
        # without its 1m klines the only symbol has no table
        assert done.returncode == (1 if bad.startswith("klines") else 3)
        assert "second.csv" in done.stdout.partition("CORRUPT at the source")[2]
        assert f"{bad.partition('/')[0]} 2024-02" not in done.stdout  # not called absent


def test_outputs_that_were_deleted_or_cut_are_written_again(
    sample: Path, built: Path, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    shutil.copytree(built, root)
    whole = files_below(root)
    assert alphaqcm(*road(sample, root)).returncode == 0
    (root / "final_dataset" / "dataset_summary.csv").unlink()
    for name in (
        "binance_metrics/BTCUSDT_metrics.csv",
        "crypto_hourly_basic/ETH_USDT:USDT_hourly.csv",
        "final_dataset/SOL_USDT:USDT_final.csv",
        "final_dataset_all.parquet",
    ):
        path = root / name
        path.write_bytes(path.read_bytes()[:-100])
    assert alphaqcm(*road(sample, root)).returncode == 0
    assert files_below(root) == whole


def test_markets_without_a_wide_table_say_so(sample: Path, tmp_path: Path) -> None:
    done = alphaqcm(*road(sample, tmp_path, "--market", "spot", "--complete", "metrics"))
    assert done.returncode == 1
    assert "wide table of spot" in done.stderr


def test_build_makes_a_variant_without_the_source(
    sample: Path, built: Path, tmp_path: Path
) -> None:
    assert alphaqcm(*road(sample, tmp_path)).returncode == 0
    table = tmp_path / "final_dataset_all.parquet"
    whole = table.read_bytes()
    table.unlink()
    done = alphaqcm(
        "build", "--complete", "metrics", "--name", "metrics85", "--data-root", tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert table.read_bytes() == whole
    assert (tmp_path / "final_dataset_metrics85_all.parquet").exists()


def test_the_global_table_script_works_by_path(built: Path, tmp_path: Path) -> None:
    script = PROJECT / "data_collection" / "build_global_final_table.py"
    output = tmp_path / "all.parquet"
    command = [sys.executable, str(script), "--input-dir", str(built / "final_dataset")]
    done = subprocess.run(
        [*command, "--output", str(output)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
    )
    assert done.returncode == 0, done.stderr
    assert pl.read_parquet(output).equals(pl.read_parquet(built / "final_dataset_all.parquet"))


def test_every_package_of_the_project_is_looked_for_by_the_scripts() -> None:
    with (PROJECT / "pyproject.toml").open("rb") as stream:
        wanted = tomllib.load(stream)["project"]["dependencies"]
    names = {re.split(r"[<>=]", text)[0].replace("pyyaml", "yaml") for text in wanted}
    assert set(NEEDED) == names


def test_scripts_name_the_command_when_packages_are_missing(tmp_path: Path) -> None:
    script = PROJECT / "data_collection" / "build_global_final_table.py"
    done = subprocess.run(
        [sys.executable, "-S", "-E", str(script), "--help"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "run: make" in done.stderr
