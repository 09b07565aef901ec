"""The worker scripts as users start them, on a simulated archive."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from alphaqcm.data_collection.queue.shared_queue import Queue
from alphaqcm.data_collection.queue.state import TaskState
from alphaqcm.data_collection.simulation.sample import SampleSpec, write_sample
from tests.conftest import PROJECT, SOAK, need_tool
from tests.data_collection.queue.test_storms import until

pytestmark = pytest.mark.process

SCRIPT = PROJECT / "data_collection" / "run_aggtrades_queue.py"
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
KILLS = 15 if SOAK else 5
SPAN = ("--start", "2024-01-30", "--end", "2024-02-02")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four days around the end of a month, of three symbols."""
    root = tmp_path_factory.mktemp("archive")
    write_sample(root, SampleSpec(SYMBOLS, days=34, seed=5, trades_per_day=1_500))
    return root


class Place:
    """A folder to run workers in, with everything at the documented places."""

    def __init__(self, folder: Path, archive: Path) -> None:
        self.folder = folder
        self.archive = archive
        self.root = folder / "AlphaQCM_data"
        self.state = self.root / "_tmp" / "aggTrades_queue_state.json"
        folder.mkdir(exist_ok=True)
        (folder / "symbols.txt").write_text("BTC/USDT:USDT\nETH_USDT:USDT # two\n\nSOLUSDT\n")

    def words(self, worker: str, *more: str, span: tuple[str, ...] = SPAN) -> list[str]:
        words = ["--worker-id", worker, "--symbols-file", "symbols.txt", "--market", "um", *span]
        return [sys.executable, str(SCRIPT), *words, "--source", str(self.archive), *more]

    def start(self, worker: str, *more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.words(worker, *more),
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, worker: str, *more: str, **named: tuple[str, ...]) -> tuple[int, str]:
        done = subprocess.run(
            self.words(worker, *more, **named),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=240,
        )
        return done.returncode, done.stdout + done.stderr

    def tables(self) -> dict[str, bytes]:
        """Every parquet and CSV; what tells when it was made is left out."""
        found = [*self.root.rglob("*.parquet"), *self.root.rglob("*.csv")]
        return {str(path.relative_to(self.root)): path.read_bytes() for path in found}


@pytest.fixture
def place(tmp_path: Path, archive: Path) -> Place:
    return Place(tmp_path, archive)


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory, archive: Path) -> dict[str, bytes]:
    """The tables of one undisturbed worker."""
    alone = Place(tmp_path_factory.mktemp("calm"), archive)
    code, log = alone.run("A", "--skip-existing")
    assert code == 0, log
    return alone.tables()


def test_one_worker_makes_every_month_and_hourly_file(calm):
    assert sorted(calm) == sorted(
        [f"binance_aggTrades/{symbol}_aggTrades.csv" for symbol in SYMBOLS]
        + [
            f"binance_aggTrades_1m_parquet/{symbol}/{month}.parquet"
            for symbol in SYMBOLS
            for month in ("2024-01", "2024-02")
        ]
    )
    assert all(data.count(b"\n") == 1 + 96 for name, data in calm.items() if name.endswith("csv"))


def test_workers_killed_at_random_make_the_same_tables(place: Place, calm):
    chance = random.Random()
    crew = {name: place.start(name, "--skip-existing") for name in "AB"}
    until(place.state.exists)
    queue = Queue.open(place.state)
    for _ in range(KILLS):
        name = chance.choice("AB")
        time.sleep(chance.uniform(0, 0.4))
        crew[name].kill()
        crew[name].communicate()
        crew[name] = place.start(name, "--skip-existing")
    ends = [process.communicate(timeout=240) for process in crew.values()]
    assert [process.returncode for process in crew.values()] == [0, 0], ends
    assert queue.snapshot().counts()[TaskState.DONE] == 9
    assert place.tables() == calm


def test_a_second_run_keeps_what_is_done_and_a_longer_one_adds_to_it(place: Place):
    assert place.run("A", "--skip-existing")[0] == 0
    code, log = place.run("A", "--skip-existing")
    assert code == 0
    assert "9 tasks kept" in log
    assert "event=claim" not in log
    longer = ("--start", "2024-01-30", "--end", "2024-02-03")
    code, log = place.run("A", "--skip-existing", span=longer)
    assert code == 0
    assert "3 tasks kept, 6 to be looked at again" in log
    assert "2024-02-02 -> 2024-02-03" in log


def test_without_skip_existing_everything_is_looked_at_and_nothing_rebuilt(place: Place):
    assert place.run("A")[0] == 0
    before = place.tables()
    code, log = place.run("A")
    assert code == 0
    assert log.count("event=done") == log.count("built=no") == 9
    assert place.tables() == before


def test_every_place_can_be_named(place: Place, calm):
    folders = [place.folder / name for name in ("state", "minutes", "hours", "temp")]
    code, log = place.run(
        "A",
        *("--state", str(folders[0] / "s.json"), "--aggtrades-1m-dir", str(folders[1])),
        *("--output-dir", str(folders[2]), "--temp-dir", str(folders[3])),
        *("--max-symbols", "1", "--skip-existing", "--stale-hours", "2"),
    )
    assert code == 0, log
    assert (folders[0] / "s.json").is_file()
    minutes, hours = "binance_aggTrades_1m_parquet/BTCUSDT/2024-01.parquet", "BTCUSDT_aggTrades.csv"
    assert (folders[1] / "BTCUSDT" / "2024-01.parquet").read_bytes() == calm[minutes]
    assert (folders[2] / hours).read_bytes() == calm[f"binance_aggTrades/{hours}"]
    assert list((folders[3] / "data").rglob("BTCUSDT-aggTrades-*.zip"))
    assert sorted(path.name for path in place.root.iterdir()) == ["_tmp"]
    assert (place.root / "_tmp" / "binance_vision" / "ledger.sqlite").is_file()
    assert (place.root / "_tmp" / "root.lock").is_file()


def test_a_symbol_that_the_source_does_not_have_is_absent_and_no_failure(place: Place):
    (place.folder / "symbols.txt").write_text("BTCUSDT\nNOSUCHUSDT\n")
    code, _ = place.run("A", "--skip-existing")
    assert code == 0
    counts = Queue.open(place.state).snapshot().counts()
    assert (counts[TaskState.DONE], counts[TaskState.ABSENT]) == (3, 3)


def test_a_file_that_cannot_be_used_ends_non_zero_and_is_told(place: Place, tmp_path: Path):
    place.archive = tmp_path / "broken"
    sample = SampleSpec(("BTCUSDT",), days=34, seed=5, trades_per_day=1_500)
    write_sample(place.archive, sample)
    bad = next(place.archive.rglob("monthly/aggTrades/BTCUSDT/BTCUSDT-aggTrades-2024-02.zip"))
    bad.write_bytes(bad.read_bytes()[:-100])
    (place.folder / "symbols.txt").write_text("BTCUSDT\n")
    code, log = place.run("A", "--skip-existing")
    assert code == 3
    assert "BTCUSDT-aggTrades-2024-02.zip" in log


def test_a_python_without_the_dependencies_is_told_the_command_to_run():
    done = subprocess.run(
        [sys.executable, "-S", str(SCRIPT), "--worker-id", "A"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "run: make -C" in done.stderr
    assert "--worker-id A" in done.stderr


def test_a_worker_of_every_type_makes_a_queue_and_another_joins_it(place: Place):
    words = [sys.executable, "-m", "alphaqcm", "worker"]
    env = {**os.environ, "PYTHONPATH": str(PROJECT)}
    span = ("--start", "2024-02-01", "--end", "2024-02-01")
    first = subprocess.Popen(
        [*words, "--id", "A", "--symbols", "BTCUSDT", *span, "--source", str(place.archive)],
        cwd=place.folder,
        env=env,
        stdout=subprocess.PIPE,
        text=True,
    )
    until(place.state.exists)
    second = subprocess.run([*words, "--id", "B"], cwd=place.folder, env=env, timeout=240)
    log, _ = first.communicate(timeout=240)
    assert (first.returncode, second.returncode) == (0, 0), log
    kinds = {entry.id.partition("/")[0] for entry in Queue.open(place.state).snapshot().entries}
    assert kinds == {"month", "hourly", "factors"}


def test_days_without_an_end_are_refused(place: Place):
    words = [sys.executable, "-m", "alphaqcm", "worker", "--id", "A"]
    done = subprocess.run(
        [*words, "--start", "2024-02-01"],
        cwd=place.folder,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "--start and --end together" in done.stderr


@pytest.fixture
def without_tmux(tmp_path: Path) -> str:
    """A PATH with what the launcher needs, and no tmux."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("bash", "sed", "mkdir", "nohup", "dirname", "env"):
        (tools / name).symlink_to(need_tool(name))
    (tools / "python3").symlink_to(sys.executable)
    return str(tools)


def launch(
    place: Place, count: str, path: str, *others: str, **more: str
) -> subprocess.CompletedProcess[str]:
    words = ["--symbols-file", "symbols.txt", *SPAN, "--source", str(place.archive), *others]
    return subprocess.run(
        [str(PROJECT / "scripts" / "start_workers.sh"), count, *words, "--skip-existing"],
        cwd=place.folder,
        env={**os.environ, "PATH": path, **more},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_launcher_works_without_tmux(place: Place, without_tmux: str, calm):
    done = launch(place, "2", without_tmux)
    assert done.returncode == 0, done.stderr
    assert "tail -f AlphaQCM_data/_tmp/logs/worker-*.log" in done.stdout
    pids = re.search(r"stop:  kill ([\d ]+) ", done.stdout)
    assert pids is not None
    for pid in pids[1].split():
        until(lambda: not psutil.pid_exists(int(pid)))  # noqa: B023
    logs = [path.read_text() for path in (place.root / "_tmp" / "logs").glob("worker-*.log")]
    assert len(logs) == 2
    assert all("event=finished" in log for log in logs)
    assert place.tables() == calm


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A tmux server of its own."""
    need_tool("tmux")
    folder = tmp_path / "tmux"
    folder.mkdir(mode=0o700)
    env = {"TMUX_TMPDIR": str(folder), "TMUX": ""}
    yield env
    subprocess.run(["tmux", "kill-server"], env={**os.environ, **env}, capture_output=True)


def test_the_launcher_opens_a_pane_a_worker_and_one_for_the_monitor(place: Place, tmux, calm):
    done = launch(place, "2", os.environ["PATH"], **tmux)
    assert done.returncode == 0, done.stderr
    assert "tmux attach -t alphaqcm" in done.stdout
    env = {**os.environ, **tmux}

    def pane(number: int) -> str:
        words = ["tmux", "capture-pane", "-p", "-t", f"alphaqcm:0.{number}"]
        return subprocess.run(words, env=env, capture_output=True, text=True).stdout

    until(lambda: "every task is done" in pane(0))
    until(lambda: "event=finished" in pane(1) and "event=finished" in pane(2))
    assert max(map(len, pane(0).splitlines())) <= 82
    assert place.tables() == calm
    # a pane at work stands in the way of new workers, panes that have all ended do not
    split = ["tmux", "split-window", "-t", "alphaqcm:0", "-P", "-F", "#{pane_id}", "sleep 300"]
    busy = subprocess.run(split, env=env, capture_output=True, text=True, check=True).stdout.strip()
    assert launch(place, "2", os.environ["PATH"], **tmux).returncode == 1
    subprocess.run(["tmux", "kill-pane", "-t", busy], env=env, check=True)
    assert launch(place, "2", os.environ["PATH"], **tmux).returncode == 0


def test_the_launcher_refuses_words_that_do_not_fit(place: Place, tmux):
    done = launch(place, "2", os.environ["PATH"], "--no-such-word", **tmux)
    assert done.returncode == 2
    assert "--no-such-word" in done.stderr


def test_a_worker_whose_terminal_is_closed_hands_its_task_back(place: Place):
    process = place.start("A", "--skip-existing")
    assert process.stdout is not None
    for line in process.stdout:
        if "event=claim" in line:
            break
    process.send_signal(signal.SIGHUP)
    process.stdout.close()
    assert process.wait(timeout=60) in (129, 0)
    assert Queue.open(place.state).snapshot().counts()[TaskState.IN_PROGRESS] == 0
