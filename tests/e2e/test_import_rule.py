"""The core never reaches for the shell, the network, the terminal, the clock or the environment."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.conftest import PROJECT

CORE = sorted((PROJECT / "pipeline").rglob("*.py"))
FORBIDDEN = {
    "alphaqcm.data_collection", "aria2p", "argparse", "asyncio", "getpass", "http", "os.environ",
    "os.getenv", "random", "requests", "rich", "socket", "ssl", "subprocess", "sys", "time",
    "tqdm", "urllib.request", "urllib3",
}  # fmt: skip
FORBIDDEN_CALLS = {
    "os.environ", "os.getenv", "datetime.now", "datetime.today", "datetime.utcnow", "date.today",
}  # fmt: skip


def broken_rules(source: str) -> list[str]:
    """What in a core module's source the house does not allow."""
    found = []
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            parts = name.split(".")
            if any(".".join(parts[: n + 1]) in FORBIDDEN for n in range(len(parts))):
                found.append(f"import {name}")
        if isinstance(node, ast.Attribute):
            call = ast.unparse(node)
            found += [call for rule in FORBIDDEN_CALLS if call.endswith(rule)]
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"print", "input"}:
            found.append(ast.unparse(node.func))
    return found


@pytest.mark.parametrize("module", CORE, ids=lambda p: str(p.relative_to(PROJECT)))
def test_core_module_keeps_the_rule(module: Path) -> None:
    assert broken_rules(module.read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        "import alphaqcm.data_collection.commands.main",
        "from alphaqcm.data_collection import cli",
        "import requests",
        "import os\nos.environ['X']",
        "from os import environ",
        "from urllib import request",
        "from datetime import datetime\ndatetime.now()",
        "print('x')",
        "import urllib.request",
    ],
)
def test_rule_sees_a_breach(source: str) -> None:
    assert broken_rules(source)
