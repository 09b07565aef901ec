"""The pinned versions: uv.lock and constraints.txt pin the same, and everything that is needed."""

from __future__ import annotations

import re
import tomllib
from collections import defaultdict
from itertools import chain
from urllib.parse import urlsplit

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import PROJECT
from tests.helpers.fresh_venv import project_table

LOCK = (PROJECT / "uv.lock").read_text(encoding="utf-8")
ANEW = "make it anew: make lock"


def locked() -> dict[str, set[str]]:
    """The versions of each package in uv.lock; several where they depend on the python."""
    found = defaultdict(set)
    for package in tomllib.loads(LOCK)["package"]:
        if "registry" in package["source"]:
            found[package["name"]].add(package["version"])
    return dict(found)


def constrained() -> dict[str, set[str]]:
    """The same of constraints.txt."""
    found = defaultdict(set)
    for line in (PROJECT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        requirement = Requirement(line)
        (pin,) = requirement.specifier
        assert pin.operator == "==", line
        found[canonicalize_name(requirement.name)].add(pin.version)
    return dict(found)


def test_uv_and_pip_get_the_same_versions() -> None:
    assert locked() == constrained(), ANEW


def test_every_dependency_is_pinned_to_a_version_that_it_allows() -> None:
    table = project_table()
    needs = chain(table["dependencies"], *table["optional-dependencies"].values())
    pins = constrained()
    for requirement in map(Requirement, needs):
        name = canonicalize_name(requirement.name)
        if name != table["name"]:
            assert name in pins, ANEW
            assert all(map(requirement.specifier.contains, pins[name])), f"{name}: {ANEW}"


def test_what_decides_the_bytes_is_pinned() -> None:
    assert {"llvmlite", "numba", "numpy", "polars", "pyarrow"} <= set(constrained())


def test_the_lock_names_the_public_index_only() -> None:
    hosts = {urlsplit(url).netloc for url in re.findall(r'"(\w+://[^"]+)"', LOCK)}
    assert hosts == {"pypi.org", "files.pythonhosted.org"}
