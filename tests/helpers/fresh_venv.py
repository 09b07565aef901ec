"""Fresh environments for tests of the release: what a plain installation has, and nothing else.

The libraries are links to those of the environment that runs the tests, so that an environment
takes seconds. Only the closure of the dependencies asked for is linked: what pip would bring.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import Distribution, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import PROJECT

BUILD = ("hatchling", "hatch-fancy-pypi-readme", "editables")
"""What builds the project; pip's own isolated build would download it."""


def project_table() -> dict[str, Any]:
    """The `[project]` of pyproject.toml."""
    with (PROJECT / "pyproject.toml").open("rb") as stream:
        table: dict[str, Any] = tomllib.load(stream)["project"]
    return table


def closure(requirements: Iterable[str]) -> dict[str, Distribution]:
    """Every installed distribution that the requirements need, by its name."""
    found: dict[str, Distribution] = {}
    waiting = [(Requirement(text), "") for text in requirements]
    while waiting:
        requirement, extra = waiting.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        if name in found and not requirement.extras:
            continue
        found[name] = distribution(name)
        below = [Requirement(text) for text in found[name].requires or ()]
        waiting += [(need, one) for need in below for one in {"", *requirement.extras}]
    return found


def link_libraries(folder: Path, requirements: Iterable[str]) -> None:
    """Put links to the libraries that the requirements need into `folder`."""
    for dist in closure(requirements).values():
        site = Path(str(dist.locate_file("")))
        for top in {file.parts[0] for file in dist.files or ()} - {"..", "__pycache__"}:
            link = folder / top
            if not link.exists():
                link.symlink_to(site / top)


@dataclass(frozen=True, slots=True)
class FreshVenv:
    """An environment at `folder`; its programs start in `home`, outside of any checkout."""

    folder: Path
    home: Path

    @classmethod
    def make(cls, folder: Path, requirements: Iterable[str]) -> FreshVenv:
        """Make one in which the requirements, and what they need, are installed."""
        venv, home = folder / "venv", folder / "home"
        home.mkdir(parents=True)
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        fresh = cls(venv, home)
        link_libraries(fresh.site, requirements)
        link_libraries(fresh.build_tools, BUILD)
        return fresh

    @property
    def site(self) -> Path:
        """Its site-packages."""
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        return self.folder / "lib" / version / "site-packages"

    @property
    def build_tools(self) -> Path:
        """What builds the project, seen only while pip installs."""
        folder = self.folder / "build-tools"
        folder.mkdir(exist_ok=True)
        return folder

    def pip_install(self, *words: object) -> None:
        """`pip install`, without the network: what the metadata ask for has to be there."""
        done = self.run(
            "pip", "install", "--no-index", "--no-build-isolation",
            "--disable-pip-version-check", *words, PYTHONPATH=str(self.build_tools),
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr

    def take_compiled_kernels(self) -> None:
        """Spare the first run the compiling: numba keeps it by the source, wherever that lies."""
        for kept in (PROJECT / "pipeline").rglob("__pycache__/*.nb[ic]"):
            copy = self.site / "alphaqcm" / kept.relative_to(PROJECT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(kept, copy)

    def run(
        self, program: str, *words: object, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment to its end, as its user would."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PIP_"))}
        return subprocess.run(
            [str(self.folder / "bin" / program), *map(str, words)],
            cwd=self.home, env={**kept, **environment},
            capture_output=True, text=True, check=False, timeout=600,
        )  # fmt: skip
