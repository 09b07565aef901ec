"""Help is cheap and complete, and the scripts are thin."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from alphaqcm.data_collection.commands.catalogue import COMMANDS
from alphaqcm.data_collection.commands.lab.declarations import TRAPS
from alphaqcm.data_collection.commands.options import COMMON, Kind
from alphaqcm.data_collection.commands.script_actions import SCRIPTS
from alphaqcm.data_collection.commands.use.declarations import GROUPS
from alphaqcm.data_collection.simulation.sample import Flaw
from alphaqcm.data_collection.simulation.sample.defect_parser import TRAPS as KINDS
from alphaqcm.data_collection.simulation.sample.defect_parser import usage
from alphaqcm.pipeline.features.columns import Group
from tests.conftest import PROJECT

HEAVY = ("polars", "pyarrow", "numba", "numpy", "duckdb", "requests", "rich", "orjson", "tqdm")
FILES = sorted(path for path in (PROJECT / "data_collection").glob("*.py"))

PROGRAM = """
import sys
from alphaqcm.data_collection.commands.main import main
from alphaqcm.data_collection.commands.script_actions import main as script
name, is_script = sys.argv[1], sys.argv[2] == "script"
sys.argv = [name, "--help"]
try:
    script(name) if is_script else main([name, "--help"])
except SystemExit as end:
    print(end.code, *sys.modules, file=sys.stderr)
"""


@pytest.mark.process
@pytest.mark.parametrize("name", [*COMMANDS, *SCRIPTS])
def test_help_imports_no_library(name: str) -> None:
    kind = "script" if name in SCRIPTS else "command"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, name, kind],
        cwd=PROJECT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    code, *modules = done.stderr.split()
    assert code == "0"
    assert "examples:" in done.stdout
    assert [name for name in HEAVY if name in modules] == []


@pytest.mark.parametrize("name", [*COMMANDS, *SCRIPTS])
def test_every_command_and_script_has_two_examples(name: str) -> None:
    command = COMMANDS.get(name) or SCRIPTS[name].command
    assert len(command.examples) == 2


@pytest.mark.parametrize("name", [*COMMANDS, *SCRIPTS])
def test_one_spelling_stands_for_one_option(name: str) -> None:
    command = COMMANDS.get(name) or SCRIPTS[name].command
    spelled = [s for one in command.all_options for s in (one.name, *one.also, *one.hidden)]
    assert len(spelled) == len(set(spelled))


def test_an_option_means_the_same_in_every_command() -> None:
    """Its values are read by one rule, unless it is a word of one command's own."""
    rules: dict[str, set[object]] = {}
    for command in COMMANDS.values():
        for one in command.options:
            if one.configurable:
                rules.setdefault(one.name, set()).add((one.parse, one.kind, one.choices))
    assert {name: rule for name, rule in rules.items() if len(rule) > 1} == {}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_script_has_twenty_lines_and_a_row_in_the_table(path) -> None:
    if path.name.startswith("_") or path.stem in ("errors", "extras"):
        return
    assert len(path.read_text().splitlines()) <= 20
    assert path.stem in (*SCRIPTS, "cli")


def test_the_scripts_are_imported_by_nobody() -> None:
    names = "|".join([*SCRIPTS, "cli"])
    imports = re.compile(rf"data_collection(?:\.| import )({names})\b")
    found = [
        str(path.relative_to(PROJECT))
        for folder in ("data_collection", "pipeline", "scripts")
        for path in (PROJECT / folder).rglob("*.py")
        if imports.search(path.read_text())
    ]
    assert found == []


def test_what_the_help_lists_is_what_the_libraries_have() -> None:
    """Spelled out in the declarations, which import no library."""
    assert tuple(Group) == GROUPS
    assert "\n".join(f"  {name} {usage(kind)}" for name, kind in KINDS.items()) in TRAPS
    assert TRAPS.endswith("flaws of a file-trap: " + ", ".join(Flaw))


def test_switches_of_every_command_are_off_by_default() -> None:
    assert [
        one.name for one in COMMON if one.kind is Kind.SWITCH and one.default is not False
    ] == []
