"""The commands that serve, list, plan, fetch, show and verify, as users call them."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest
import requests

from alphaqcm.data_collection.commands import main as cli
from alphaqcm.data_collection.simulation.mirror import Mirror
from alphaqcm.pipeline.domain.archive_file import ArchiveFile, Series
from alphaqcm.pipeline.domain.period import Period
from alphaqcm.pipeline.domain.registry import DataType, Market
from tests.conftest import PROJECT
from tests.helpers.archive_tree import KLINES, days, digests, publish, publish_all, zip_bytes

GONE = Series(Market.UM, DataType.KLINES, "LUNAUSDT", "1m")
PERP = Series(Market.UM, DataType.KLINES, "ETHUSDC", "1m")
FILES = [
    KLINES.file(Period.parse("2024-01")),
    *days(KLINES, "2024-02-01", 3),
    *days(PERP, "2024-02-01", 3),
    *days(GONE, "2022-05-01", 3),
]
SPAN = ["--start", "2024-01-01", "--end", "2024-02-04"]
Command = Callable[..., tuple[int, str]]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    publish_all(tmp_path / "tree", FILES)
    return tmp_path / "tree"


@pytest.fixture
def mirror(tree: Path) -> Iterator[Mirror]:
    with Mirror(tree) as running:
        yield running


@pytest.fixture
def command(tmp_path: Path, mirror: Mirror, capfd: pytest.CaptureFixture[str]) -> Command:
    """Run a command on the mirror and a data root of its own; its exit code and output."""

    def run(name: str, *words: str) -> tuple[int, str]:
        source = [] if name == "ledger" else ["--source", mirror.url]
        code = cli.main([name, *words, *source, "--data-root", str(tmp_path / "root")])
        told = capfd.readouterr()
        return code, told.out + told.err

    return run


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "root" / "_tmp" / "binance_vision"


def fetch_btc(command: Command, *words: str) -> tuple[int, str]:
    return command("fetch", "--symbols", "BTC/USDT:USDT", "--types", "klines:1m", *SPAN, *words)


def test_fetch_brings_what_is_listed_and_names_what_is_absent(
    command: Command, cache: Path
) -> None:
    code, told = fetch_btc(command)
    assert code == 0
    assert set(digests(cache)) == {file.key for file in FILES[:4]}
    assert "download" in told.splitlines()[1]
    assert "BTCUSDT-1m-2024-02-04.zip: not in the listing" in told
    assert "4 of 5 files verified" in told


def test_fetch_with_aria2_says_what_to_install_where_it_is_not(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    code, told = fetch_btc(command, "--downloader", "aria2")
    assert code == 2
    assert "apt install aria2" in told


def test_an_unknown_symbol_is_named_with_its_neighbours(command: Command) -> None:
    code, told = command("fetch", "--symbols", "BTCUSDC", "--types", "klines:1m", *SPAN)
    assert code == 2
    assert "symbols BTCUSDC" in told
    assert "near: BTCUSDT" in told


def test_a_symbol_without_files_of_the_interval_is_not_suggested_again(command: Command) -> None:
    code, told = command("fetch", "--symbols", "BTCUSDT", "--types", "klines:4h", *SPAN)
    assert code == 2
    assert "BTCUSDT only of other intervals" in told
    assert "near:" not in told


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--max-disk", "much"], "--max-disk much"),
        (["--rate-limit", "0"], "--rate-limit 0"),
        (["--connections", "0"], "--connections 0"),
        (["--types", "candles"], "candles"),
    ],
)
def test_wrong_words_are_usage_errors(command: Command, words: list[str], named: str) -> None:
    code, told = command("fetch", "--symbols", "BTCUSDT", *SPAN, *words)
    assert code == 2
    assert named in told


def test_plan_tells_counts_and_bytes_and_moves_nothing(command: Command, mirror: Mirror) -> None:
    code, told = command("plan", "--symbols", "BTCUSDT", "--types", "klines:1m", *SPAN)
    counts = dict(line.split()[:2] for line in told.splitlines()[:4])
    assert code == 0
    assert counts == {"keep": "0", "download": "4", "replace": "0", "absent": "1"}
    assert "--refresh" in told
    assert all(served.key.startswith("?") for served in mirror.log)


def test_plan_as_json_follows_what_was_fetched_and_changed(command: Command, tree: Path) -> None:
    fetch_btc(command)
    publish(tree, FILES[1], zip_bytes(FILES[1], 2500, seed=1))
    (tree / FILES[2].key).unlink()
    code, told = command(
        "plan", "--symbols", "BTCUSDT", "--types", "klines:1m", *SPAN, "--refresh", "--json"
    )
    plan = orjson.loads(told)
    assert code == 0
    assert plan["counts"] == {"keep": 3, "download": 0, "replace": 1, "absent": 1}
    assert plan["bytes"] == (tree / FILES[1].key).stat().st_size
    actions = {item["key"]: item["action"] for item in plan["files"]}
    assert actions[FILES[1].key] == "replace"
    assert actions[FILES[2].key] == "keep"


def test_a_kept_listing_is_not_asked_for_again(command: Command, mirror: Mirror) -> None:
    words = ("plan", "--symbols", "BTCUSDT", "--types", "klines:1m", *SPAN)
    command(*words)
    before = len(mirror.log)
    command(*words)
    assert len(mirror.log) == before
    command(*words, "--refresh")
    assert len(mirror.log) > before


def symbols_in(told: str) -> list[str]:
    return [line.split()[0] for line in told.splitlines()[:-1]]


def test_symbols_are_the_living_unless_asked_otherwise(command: Command) -> None:
    _, living = command("symbols")
    _, everyone = command("symbols", "--include-delisted")
    _, then = command("symbols", "--alive-on", "2022-05-02")
    _, quoted = command("symbols", "--quote", "USDC")
    assert symbols_in(living) == ["BTCUSDT", "ETHUSDC"]
    assert symbols_in(everyone) == ["BTCUSDT", "ETHUSDC", "LUNAUSDT"]
    assert symbols_in(then) == ["LUNAUSDT"]
    assert symbols_in(quoted) == ["ETHUSDC"]


def test_symbols_have_first_and_last_day(command: Command) -> None:
    _, told = command("symbols", "--include-delisted", "--json")
    lives = {item["symbol"]: (item["first"], item["last"]) for item in orjson.loads(told)}
    assert lives == {
        "BTCUSDT": ("2024-01-01", "2024-02-03"),
        "ETHUSDC": ("2024-02-01", "2024-02-03"),
        "LUNAUSDT": ("2022-05-01", "2022-05-03"),
    }


def test_a_written_symbols_file_can_be_fetched_from(
    command: Command, tmp_path: Path, cache: Path
) -> None:
    path = tmp_path / "universe.txt"
    command("symbols", "--write", str(path))
    code, _ = command("fetch", "--symbols-file", str(path), "--types", "klines:1m", *SPAN)
    assert code == 0
    assert set(digests(cache)) == {file.key for file in FILES[:7]}


def test_the_ledger_is_shown_by_state_and_as_json(command: Command) -> None:
    fetch_btc(command)
    _, absent = command("ledger", "--state", "absent")
    _, lines = command("ledger", "--match", "*2024-02-01*", "--json")
    record = orjson.loads(lines)
    assert absent.startswith(
        "absent  data/futures/um/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-02-04"
    )
    assert (record["key"], record["state"]) == (FILES[1].key, "ok")
    assert record["sha256"] == record["published"] != ""


def test_only_what_has_a_published_checksum_is_called_verified(
    command: Command, tree: Path
) -> None:
    key = FILES[0].key
    (tree / f"{key}.CHECKSUM").unlink()
    size = (tree / key).stat().st_size
    fetch_btc(command)
    _, told = command("ledger", "--state", "ok")
    [line] = [line for line in told.splitlines() if key in line]
    assert "no published checksum" in line
    assert f", {size / 1e6:,.1f} MB without a published checksum" in told.splitlines()[-1]


def test_no_ledger_is_a_usage_error(command: Command) -> None:
    code, told = command("ledger")
    assert code == 2
    assert "alphaqcm fetch" in told


def test_verify_finds_nothing_wrong_with_a_good_cache(command: Command) -> None:
    fetch_btc(command)
    assert command("verify", "--deep") == (0, "problems: 0\n")


def damage(cache: Path, tree: Path) -> dict[str, str]:
    """One of each problem; the expected words by key."""
    gone, rotten, replaced, removed = FILES[:4]
    (cache / gone.key).unlink()
    with (cache / rotten.key).open("r+b") as stream:
        stream.seek(100)
        stream.write(b"rot")
    publish(tree, replaced, zip_bytes(replaced, 2000, seed=3))
    (tree / removed.key).unlink()
    stray = cache / (gone.key + ".part")
    stray.write_bytes(b"begun")
    extra = ArchiveFile.parse(FILES[4].key)
    publish(cache, extra, (tree / extra.key).read_bytes(), checksum=None)
    return {
        gone.key: "gone from the disk",
        rotten.key: "changed on the disk",
        replaced.key: "replaced at the source",
        removed.key: "no longer at the source",
        gone.key + ".part": "unfinished download",
        extra.key: "not in the ledger",
    }


def test_verify_names_each_problem_once(command: Command, cache: Path, tree: Path) -> None:
    fetch_btc(command)
    expected = damage(cache, tree)
    code, told = command("verify", "--deep")
    found = {}
    for line in told.splitlines()[:-1]:
        problem, _, rest = line.partition(": ")
        found[rest.split(" (")[0]] = problem
    assert code == 1
    assert found == expected


def test_repair_mends_all_but_what_the_source_removed(
    command: Command, cache: Path, tree: Path
) -> None:
    fetch_btc(command)
    damage(cache, tree)
    removed = (cache / FILES[3].key).read_bytes()
    code, told = command("verify", "--deep", "--repair")
    assert code == 1
    assert "5 mended, 1 left" in told
    assert f"{FILES[3].key}: no longer at the source" in told
    source = {key: digest for key, digest in digests(tree).items() if key in digests(cache)}
    assert source.items() <= digests(cache).items()
    assert (cache / FILES[3].key).read_bytes() == removed
    code, told = command("verify", "--deep")
    assert told.splitlines()[-1] == "problems: 1"


def test_bit_rot_is_found_by_reading_only(command: Command, cache: Path) -> None:
    fetch_btc(command)
    with (cache / FILES[1].key).open("r+b") as stream:
        stream.write(b"rot")
    assert command("verify")[0] == 0
    assert command("verify", "--deep")[0] == 1


@pytest.mark.process
def test_the_mirror_command_prints_its_address_and_ends_cleanly(tree: Path) -> None:
    words = [
        sys.executable,
        "-m",
        "alphaqcm",
        "mirror",
        str(tree),
        "--port",
        "0",
    ]
    with subprocess.Popen(words, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[0]
        answer = requests.get(f"{url}/{FILES[0].key}", timeout=10)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert answer.content == (tree / FILES[0].key).read_bytes()


def test_a_taken_port_is_explained(
    tree: Path, mirror: Mirror, capfd: pytest.CaptureFixture[str]
) -> None:
    port = mirror.url.rpartition(":")[2]
    assert cli.main(["mirror", str(tree), "--port", port]) == 2
    assert "another --port" in capfd.readouterr().err


@pytest.mark.process
def test_the_script_by_path_downloads_with_its_own_words(tree: Path, tmp_path: Path) -> None:
    universe = tmp_path / "two.txt"
    universe.write_text("BTC_USDT:USDT  # bitcoin\nETHUSDC\n")
    words = ["--symbols-file", universe, *SPAN, "--market", "um", "--data-types", "klines:1m"]
    words += ["--skip-existing", "--source", tree, "--data-root", tmp_path / "root"]
    script = PROJECT / "data_collection" / "download_all_binance_archive.py"
    done = subprocess.run(
        [sys.executable, script, *words], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    cache = tmp_path / "root" / "_tmp" / "binance_vision"
    assert set(digests(cache)) == {file.key for file in FILES[:7]}


def test_a_data_root_that_cannot_be_written_is_explained(
    tree: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["--source", str(tree), "--data-root", "/dev/null/root"]
    assert cli.main(["symbols", *words]) == 1
    assert "check the permissions" in capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [["symbols"], ["plan", "--symbols", "ETHUSDC", "--types", "klines:1m", *SPAN]]
)
def test_a_source_that_has_nothing_to_list_leaves_no_data_root_behind(
    tmp_path: Path, words: list[str]
) -> None:
    with Mirror(tmp_path) as running:
        gone = running.url + "/no/such/bucket"
    root = tmp_path / "deep" / "root"
    assert cli.main([*words, "--source", gone, "--data-root", str(root)]) != 0
    assert list(tmp_path.iterdir()) == []


def test_what_was_listed_for_a_new_data_root_is_kept(tmp_path: Path, mirror: Mirror) -> None:
    root = tmp_path / "deep" / "root"
    words = ["plan", "--symbols", "ETHUSDC", "--types", "klines:1m", *SPAN]
    assert cli.main([*words, "--source", mirror.url, "--data-root", str(root)]) == 0
    asked = len(mirror.log)
    assert cli.main([*words, "--source", mirror.url, "--data-root", str(root)]) == 0
    assert len(mirror.log) == asked
