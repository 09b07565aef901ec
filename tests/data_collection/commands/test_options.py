"""One grammar of options: spellings, days, where defaults come from, what is refused."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import orjson
import pytest

from alphaqcm.data_collection.commands.catalogue import COMMANDS, known_keys
from alphaqcm.data_collection.commands.grammar.parser import parse
from alphaqcm.data_collection.commands.main import main
from alphaqcm.data_collection.commands.universe import chosen_symbols
from alphaqcm.data_collection.errors import UsageError
from alphaqcm.pipeline.domain.registry import Market

TODAY = datetime.now(UTC).date()
SPAN = ("--start", "2024-01-01", "--end", "2024-01-31")
Read = Callable[..., object]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing configured, in an empty working directory."""
    monkeypatch.chdir(tmp_path)
    for name in ("ALPHAQCM_DATA_ROOT", "ALPHAQCM_SYMBOLS", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def values(command: str, *words: str, **environment: str):
    return parse(COMMANDS[command], words, "test", known_keys(), environment)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2024-02-29", date(2024, 2, 29)),
        ("yesterday", TODAY - timedelta(days=1)),
        ("today", TODAY),
        ("-30d", TODAY - timedelta(days=30)),
    ],
)
@pytest.mark.parametrize("joined", [True, False], ids=["=", "blank"])
def test_a_day_is_a_date_or_a_word(text: str, meant: date, joined: bool) -> None:
    given = [f"--start={text}"] if joined else ["--start", text]
    assert values("run", *given, "--end", "yesterday").start == meant


@pytest.mark.parametrize(
    "text", ["2024-02-30", "2024-1-1", "20240101", "-d", "-99999d", "1999-01-01", "٢٠٢٤-01-01"]
)
def test_what_is_no_day_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="a day"):
        values("run", f"--start={text}", "--end", "yesterday")


@pytest.mark.parametrize(
    ("command", "words", "attribute", "value"),
    [
        ("monitor", ["--root", "x"], "data_root", Path("x")),
        ("update", ["--through", "2024-01-31"], "end", date(2024, 1, 31)),
        ("fetch", ["--data-types", "metrics", *SPAN], "types", ("metrics",)),
        ("worker", ["--worker-id", "A"], "id", "A"),
    ],
)
def test_older_spellings_are_accepted(
    command: str, words: list[str], attribute: str, value: object
) -> None:
    assert getattr(values(command, *words), attribute) == value


def test_older_spellings_are_not_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["monitor", "--help"])
    shown = capsys.readouterr().out
    assert "--data-root" in shown
    assert "--root " not in shown


def test_a_flag_beats_a_variable_a_variable_a_file_and_a_file_the_default(elsewhere: Path) -> None:
    words = ("--symbols", "BTCUSDT", *SPAN)
    assert values("run", *words).workers == 2
    (elsewhere / "alphaqcm.toml").write_text("workers = 3\n[fetch]\nconnections = 5\n")
    assert values("run", *words).workers == 3
    assert values("run", *words, ALPHAQCM_WORKERS="4").workers == 4
    told = values("run", *words, "--workers", "5", ALPHAQCM_WORKERS="4")
    assert (told.workers, told.settings["workers"].origin) == (5, "--workers")
    assert values("run", *words).connections == 16
    assert values("fetch", *words).connections == 5


def test_a_data_root_may_set_what_is_looked_at_and_comes_last(elsewhere: Path) -> None:
    root = elsewhere / "root"
    root.mkdir()
    (root / "alphaqcm.toml").write_text(
        'symbols = ["BTCUSDT", "ETHUSDT"]\nstart = "2024-01-01"\nend = "-2d"\nworkers = 7\n'
    )
    told = values("run", "--data-root", "root", "--workers", "1")
    assert (told.symbols, told.workers) == ("BTCUSDT,ETHUSDT", 1)
    assert (told.start, told.end) == (date(2024, 1, 1), TODAY - timedelta(days=2))
    (elsewhere / "alphaqcm.toml").write_text("workers = 3\n")
    assert values("run", "--data-root", "root").workers == 3


@pytest.mark.parametrize(
    "line",
    [
        'source = "http://elsewhere.example"', 'listing = "http://elsewhere.example"',
        'data-root = "/"', 'temp_dir = "/tmp/x"', 'output-dir = "x"', 'downloader = "aria2"',
        'symbols-file = "/etc/passwd"', '[fetch]\nsource = "http://elsewhere.example"',
        'state = "s.json"', "quiet = true",
    ],
)  # fmt: skip
def test_a_file_inside_a_data_root_that_sets_more_is_refused_by_name(
    line: str, elsewhere: Path
) -> None:
    root = elsewhere / "root"
    root.mkdir()
    (root / "alphaqcm.toml").write_text(line + "\n")
    name = line.splitlines()[-1].partition(" ")[0]
    with pytest.raises(UsageError) as refused:
        values("run", "--data-root", "root", "--symbols", "BTCUSDT", *SPAN)
    assert name in refused.value.subject
    assert "inside a data root" in refused.value.expected


@pytest.mark.parametrize("by", ["working directory", "--config", "marked as a root"])
def test_the_same_holds_however_a_file_inside_a_data_root_is_reached(
    by: str, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = elsewhere / "root"
    (root / "_tmp" / "binance_vision").mkdir(parents=True)
    (root / "alphaqcm.toml").write_text('source = "http://elsewhere.example"\n')
    words = ["--symbols", "BTCUSDT", *SPAN]
    if by == "--config":
        words += ["--config", "root/alphaqcm.toml"]
    else:
        monkeypatch.chdir(root)
        words += ["--data-root", "."] if by == "working directory" else []
    with pytest.raises(UsageError, match="inside a data root"):
        values("run", *words)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("workers = 0", "workers = 0"), ("workrs = 3", "workrs"), ("[fetsh]\nworkers = 3", "fetsh"),
        ("[fetch]\nhtml = 'x'", "html"), ("market = 'moon'", "market = moon"),
        ("workers = [1", "alphaqcm.toml"), ("quiet = 'perhaps'", "quiet = perhaps"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_refused_with_the_place(text: str, named: str, elsewhere: Path) -> None:
    (elsewhere / "alphaqcm.toml").write_text(text + "\n")
    with pytest.raises(UsageError) as refused:
        values("run", "--symbols", "BTCUSDT", *SPAN)
    assert named in refused.value.subject


def test_a_wrong_variable_is_named() -> None:
    with pytest.raises(UsageError, match="ALPHAQCM_WORKERS=many"):
        values("run", "--symbols", "BTCUSDT", *SPAN, ALPHAQCM_WORKERS="many")


def test_symbols_of_the_command_line_stand_before_a_file_of_a_variable() -> None:
    told = values("run", "--symbols", "BTCUSDT", *SPAN, ALPHAQCM_SYMBOLS_FILE="other.txt")
    assert (told.symbols, told.symbols_file) == ("BTCUSDT", None)
    with pytest.raises(UsageError, match="one of the two"):
        values("run", "--symbols", "BTCUSDT", "--symbols-file", "x.txt", *SPAN)


def test_what_is_required_may_come_from_the_environment() -> None:
    told = values("run", ALPHAQCM_START="-30d", ALPHAQCM_END="yesterday")
    assert told.start == TODAY - timedelta(days=30)
    with pytest.raises(SystemExit) as ended:
        values("run")
    assert ended.value.code == 2


@pytest.mark.process
def test_a_symbols_file_is_read_from_a_process_substitution(elsewhere: Path) -> None:
    program = "import sys;from alphaqcm.data_collection.commands.universe import read_symbols\n"
    program += "from alphaqcm.pipeline.domain.registry import Market\n"
    program += "print([s.exchange for s in read_symbols(sys.argv[1], Market.UM)])"
    shell = f"{sys.executable} -c '{program}' <(printf 'BTCUSDT\\n# no\\nETH/USDT:USDT\\n')"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False)
    assert done.stdout == "['BTCUSDT', 'ETHUSDT']\n", done.stderr


def test_an_endless_symbols_file_is_refused() -> None:
    told = values("run", "--symbols-file", "/dev/zero", *SPAN)
    with pytest.raises(UsageError, match="more than"):
        chosen_symbols(told, Market.UM)


def test_config_shows_every_value_and_where_it_comes_from(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (elsewhere / "alphaqcm.toml").write_text("workers = 3\n[fetch]\nconnections = 5\n")
    monkeypatch.setenv("ALPHAQCM_MARKET", "cm")
    assert main(["config", "fetch", "--data-root", "here", "--json"]) == 0
    rows = {row["option"]: row for row in orjson.loads(capsys.readouterr().out)}
    seen = {name: (rows[name]["value"], rows[name]["from"]) for name in rows}
    assert seen["--data-root"] == ("here", "--data-root")
    assert seen["--market"] == ("cm", "ALPHAQCM_MARKET")
    assert seen["--connections"] == ("5", "alphaqcm.toml")
    assert seen["--retries"] == ("8", "default")
    assert "--workers" not in seen


@pytest.mark.process
@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_completion_is_a_script_of_that_shell(
    shell: str, capsys: pytest.CaptureFixture[str], elsewhere: Path
) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "--accept-corrupt" in script
    assert "--through" in script
    assert "--worker-id" not in script.replace("--worker-ids", "")
    if shell == "bash":
        asked = "COMP_WORDS=(alphaqcm fe); COMP_CWORD=1; COMP_LINE='alphaqcm fe'; COMP_POINT=11; "
        asked += "_shtab_alphaqcm; echo ${COMPREPLY[@]}"
        done = subprocess.run(
            ["bash", "-c", script + "\n" + asked], capture_output=True, text=True, check=False
        )
        assert done.stdout.split() == ["fetch"], done.stderr
