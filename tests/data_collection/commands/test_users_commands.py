"""The command lines that users have in their notes, word by word, and one cache under all of them.

In a folder that holds the checkout `AlphaQCM`, and a link `AlphaQCM_data` to its data root. Only
the source is another one: a mirror, named by a variable, that counts what it is asked for.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

from alphaqcm.data_collection.commands.main import main
from alphaqcm.data_collection.simulation.mirror import Mirror
from alphaqcm.data_collection.simulation.sample import SampleSpec, write_sample
from tests.conftest import PROJECT, need_tool
from tests.data_collection.queue.test_storms import until

pytestmark = pytest.mark.process

SPEC = SampleSpec(symbols=("BTCUSDT", "ETHUSDT"), days=2, trades_per_day=400, compression=1)
SPAN = f"--start {SPEC.first} --end {SPEC.last}"
WORKER = f"""python3 AlphaQCM/data_collection/run_aggtrades_queue.py --worker-id {{name}} \
--symbols-file AlphaQCM/symbols/two.txt --market um {SPAN} \
--state AlphaQCM_data/_tmp/aggTrades_queue_state.json \
--aggtrades-1m-dir AlphaQCM_data/binance_aggTrades_1m_parquet \
--output-dir AlphaQCM_data/binance_aggTrades \
--temp-dir AlphaQCM_data/_tmp/binance_vision --skip-existing \
2>&1 | tee -a AlphaQCM_data/_tmp/logs/worker_{{name}}.log"""
MONITORS = (
    "python3 AlphaQCM/data_collection/monitor_aggtrades_progress.py --interval 15 --once "
    "--state AlphaQCM_data/_tmp/aggTrades_queue_state.json --stall-warn-sec 900 "
    "--root AlphaQCM_data",
    "python3 AlphaQCM/data_collection/monitor_volatility_progress.py --interval 15 --once",
)
FETCHES = (
    f"python3 AlphaQCM/data_collection/fetch_1min_data.py --symbols-file two.txt {SPAN}",
    f"python3 AlphaQCM/data_collection/fetch_derivatives_data.py --symbols-file two.txt {SPAN}",
    "python3 AlphaQCM/data_collection/download_all_binance_archive.py --symbols-file two.txt "
    f"{SPAN} --market um --data-types klines:1h,metrics,fundingRate,aggTrades --skip-existing",
)
RUN = f"python3 AlphaQCM/data_collection/run_full_pipeline.py --symbols-file two.txt {SPAN}"
STAGES = (
    "python3 AlphaQCM/data_collection/aggregate_hourly_basic.py",
    "python3 AlphaQCM/data_collection/add_funding_features.py",
    "python3 AlphaQCM/data_collection/clean_one_symbol.py BTC_USDT:USDT",
)
TABLE = (
    "python3 AlphaQCM/data_collection/build_global_final_table.py "
    "--input-dir AlphaQCM_data/final_dataset --output AlphaQCM_data/final_dataset_all.parquet "
    "--compression zstd --row-group-size 100000"
)


@dataclass(frozen=True)
class Home:
    """The folder a user stands in."""

    folder: Path
    mirror: Mirror
    environment: dict[str, str]

    @property
    def root(self) -> Path:
        return self.folder / "AlphaQCM" / "AlphaQCM_data"

    def type(self, line: str) -> str:
        """A line at the shell's prompt; what it printed."""
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", line], cwd=self.folder, env=self.environment,
            capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, line + "\n" + done.stdout + done.stderr
        return done.stdout

    def asked(self) -> Counter[str]:
        """How often each ZIP of trades was asked for."""
        keys = [one.key for one in self.mirror.log]
        return Counter(key for key in keys if "aggTrades" in key and key.endswith(".zip"))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    folder = tmp_path_factory.mktemp("home")
    write_sample(folder / "archive", SPEC)
    checkout = folder / "AlphaQCM"
    checkout.mkdir()
    for name in ("alphaqcm", "pipeline", "data_collection", "scripts"):
        (checkout / name).symlink_to(PROJECT / name)
    shutil.copytree(PROJECT / "symbols", checkout / "symbols")
    (checkout / "symbols" / "two.txt").write_text("BTC/USDT:USDT\nETH/USDT:USDT # second\n")
    (folder / "two.txt").write_text("BTCUSDT\nETHUSDT\n")
    (checkout / "AlphaQCM_data" / "_tmp" / "logs").mkdir(parents=True)
    (folder / "AlphaQCM_data").symlink_to("AlphaQCM/AlphaQCM_data")
    sockets = folder / "tmux"
    sockets.mkdir(mode=0o700)
    with Mirror(folder / "archive") as mirror:
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("ALPHAQCM_")},
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "ALPHAQCM_SOURCE": mirror.url,
            "TMUX_TMPDIR": str(sockets),
            "TMUX": "",
        }
        environment.pop("PYTHONPATH", None)
        yield Home(folder, mirror, environment)
        subprocess.run(["tmux", "kill-server"], env=environment, capture_output=True)


@pytest.fixture(scope="module")
def worked(home: Home) -> Home:
    """Three workers in tmux, each with tee, have done the queue."""
    need_tool("tmux")
    for name in "ABC":
        line = f"set -o pipefail; {WORKER.format(name=name)}"
        words = ["tmux", "new-session", "-d", "-s", f"worker_{name}", line]
        subprocess.run(words, cwd=home.folder, env=home.environment, check=True)
    listing = ["tmux", "list-sessions"]
    until(
        lambda: subprocess.run(listing, env=home.environment, capture_output=True).returncode != 0
    )
    return home


def test_three_workers_in_tmux_do_the_queue_in_the_places_that_users_know(worked: Home) -> None:
    logs = [path.read_text() for path in (worked.root / "_tmp" / "logs").glob("worker_?.log")]
    assert len(logs) == 3
    assert all("event=finished" in log for log in logs), logs
    zips = list((worked.root / "_tmp" / "binance_vision" / "data").rglob("*aggTrades*.zip"))
    assert len(zips) == len(worked.asked())
    assert set(worked.asked().values()) == {1}
    assert not (worked.root / "_tmp" / "binance_vision" / "binance_vision").exists()
    assert (worked.root / "_tmp" / "root.lock").exists()
    assert {path.name for path in (worked.root / "binance_aggTrades").glob("*.csv")} == {
        "BTCUSDT_aggTrades.csv", "ETHUSDT_aggTrades.csv",
    }  # fmt: skip


@pytest.mark.parametrize("line", MONITORS)
def test_both_monitors_show_the_queue(worked: Home, line: str) -> None:
    assert "tasks" in worked.type(line)


def test_nothing_of_the_trades_is_fetched_again_by_any_other_command(worked: Home) -> None:
    before = worked.asked()
    for line in (*FETCHES, RUN):
        worked.type(line)
    assert worked.asked() == before
    months = worked.root / "_tmp" / "logs" / "run-1.log"
    assert "task=month/aggTrades" not in (months.read_text() if months.exists() else "")
    table = worked.root / "final_dataset_all.parquet"
    rows = pl.read_parquet(table)
    for line in STAGES:
        worked.type(line)
    assert "96 rows of 2 symbols" in worked.type(TABLE)
    assert pl.read_parquet(table).equals(rows)


def fetch(home: Home, root: Path) -> int:
    words = ["fetch", "--symbols", "BTCUSDT", "--types", "aggTrades", *SPAN.split(), "--quiet"]
    return main([*words, "--source", home.mirror.url, "--data-root", str(root)])


def as_of_0_1_0(root: Path) -> Path:
    """Move the cache to where 0.1.0 had it with `--temp-dir {root}/_tmp/binance_vision`."""
    cache = root / "_tmp" / "binance_vision"
    older = cache / "binance_vision"
    older.mkdir()
    for path in [cache / "data", *cache.glob("ledger.sqlite*")]:
        path.rename(older / path.name)
    (cache / "root.lock").write_text("")
    (cache / "logs").mkdir()
    (cache / "logs" / "worker-W1.log").write_text("what W1 did\n")
    return older


def test_a_cache_of_0_1_0_is_taken_over_and_not_fetched_again(home: Home, tmp_path: Path) -> None:
    assert fetch(home, tmp_path) == 0
    asked = home.asked()
    cache = tmp_path / "_tmp" / "binance_vision"
    before = {path.name: path.read_bytes() for path in cache.rglob("*.zip")}
    older = as_of_0_1_0(tmp_path)
    assert fetch(home, tmp_path) == 0
    assert home.asked() == asked
    assert {path.name: path.read_bytes() for path in cache.rglob("*.zip")} == before
    assert not older.exists()
    assert not (cache / "root.lock").exists()
    assert (tmp_path / "_tmp" / "logs" / "worker-W1.log").read_text() == "what W1 did\n"
    assert main(["verify", "--data-root", str(tmp_path), "--quiet"]) == 0


def test_a_file_of_it_that_is_not_what_its_ledger_says_is_fetched_anew(
    home: Home, tmp_path: Path
) -> None:
    assert fetch(home, tmp_path) == 0
    asked = home.asked()
    older = as_of_0_1_0(tmp_path)
    bad = min(older.rglob("*.zip"))
    data = bytearray(bad.read_bytes())
    data[len(data) // 2] ^= 1
    bad.write_bytes(data)
    assert fetch(home, tmp_path) == 0
    again = home.asked() - asked
    assert sum(again.values()) == 1
    assert next(iter(again)).endswith(bad.name)
    assert bad.read_bytes() == data


def test_who_was_killed_while_taking_over_goes_on_from_there(home: Home, tmp_path: Path) -> None:
    """A file was renamed, its record not yet written."""
    assert fetch(home, tmp_path) == 0
    asked = home.asked()
    older = as_of_0_1_0(tmp_path)
    moved = min(older.rglob("*.zip"))
    target = older.parent / moved.relative_to(older)
    target.parent.mkdir(parents=True)
    moved.rename(target)
    assert fetch(home, tmp_path) == 0
    assert home.asked() == asked
    assert main(["verify", "--data-root", str(tmp_path), "--quiet"]) == 0
