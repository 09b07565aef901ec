"""The release as users get it: wheel and sdist, each kind of installation, fresh environments."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import polars as pl
import pytest

import alphaqcm
from tests.conftest import PROJECT
from tests.helpers.fresh_venv import FreshVenv, project_table

pytestmark = [pytest.mark.process, pytest.mark.timeout(900)]

FOREIGN = ("pipeline", "data_collection")
"""Names of folders of the checkout that other packages of the index have too."""


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that is built from the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(PROJECT)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def only(folder: Path, pattern: str) -> Path:
    """The one file of that kind."""
    (path,) = folder.glob(pattern)
    return path


def foreign_wheel(folder: Path, name: str) -> Path:
    """A wheel of another author, whose package has the name of a folder of ours."""
    path = folder / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}/__init__.py", "OWNER = 'another author'\n")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", f"{name}/__init__.py,,\n")
    return path


def plain_venv(folder: Path, *more: str) -> FreshVenv:
    """An environment with the core's libraries: no extra, no tool of developers."""
    return FreshVenv.make(folder, [*project_table()["dependencies"], *more])


@pytest.fixture(scope="module")
def from_wheel(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> FreshVenv:
    """The wheel in an environment of its own."""
    venv = plain_venv(tmp_path_factory.mktemp("wheel"))
    venv.pip_install(only(dist, "*.whl"))
    venv.take_compiled_kernels()
    return venv


@pytest.fixture(scope="module", params=[(), ("-e",)], ids=["plain", "editable"])
def from_checkout(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> FreshVenv:
    """`pip install .` and `pip install -e .`, then the packages that share our folders' names."""
    # what pip itself would download for an editable installation by hatchling
    more = ["editables"] if "-e" in request.param else []
    venv = plain_venv(tmp_path_factory.mktemp("checkout"), *more)
    venv.pip_install(*request.param, PROJECT)
    if not more:
        venv.take_compiled_kernels()
    venv.pip_install(*(foreign_wheel(venv.home, name) for name in FOREIGN))
    return venv


def make_table(venv: FreshVenv, **environment: str) -> pl.DataFrame:
    """A sample archive and a run over it with two workers: the table."""
    sample = venv.run(
        "alphaqcm", "sample", "archive", "--symbols", "2", "--days", "2", "--seed", "7",
        "--trades-per-day", "500", **environment,
    )  # fmt: skip
    assert sample.returncode == 0, sample.stdout + sample.stderr
    run = venv.run(
        "alphaqcm", "run", "--symbols", "BTCUSDT,ETHUSDT", "--start", "2024-02-28",
        "--end", "2024-02-29", "--source", "archive", "--data-root", "root", "--workers", "2",
        **environment,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    return pl.read_parquet(venv.home / "root" / "final_dataset_all.parquet")


def test_the_wheel_has_two_top_level_names(dist: Path) -> None:
    with zipfile.ZipFile(only(dist, "*.whl")) as wheel:
        tops = {name.split("/")[0] for name in wheel.namelist()}
    assert tops == {"alphaqcm", "bmac_kit.py", f"alphaqcm_data-{alphaqcm.__version__}.dist-info"}


def test_the_wheel_has_what_the_checkout_has_and_nothing_else(dist: Path) -> None:
    """Modules, pages and universes: none lost at a link, no cache and no result taken along."""
    folders = {
        "alphaqcm": "",
        "pipeline": "pipeline/",
        "data_collection": "data_collection/",
        "docs": "data_collection/_docs/",
        "symbols": "data_collection/_symbols/",
    }
    wanted = {
        f"alphaqcm/{inside}{path.relative_to(PROJECT / folder)}"
        for folder, inside in folders.items()
        for path in (PROJECT / folder).rglob("*")
        if path.is_file() and path.parent.name != "__pycache__"
    }
    with zipfile.ZipFile(only(dist, "*.whl")) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert names == wanted | {"bmac_kit.py"}


def test_the_sdist_has_what_builds_it_and_no_data(dist: Path) -> None:
    with tarfile.open(only(dist, "*.tar.gz")) as sdist:
        tops = {name.split("/")[1] for name in sdist.getnames()}
    assert {"alphaqcm", "pyproject.toml", "LICENSE", "README.md", "CHANGELOG.md"} <= tops
    assert not tops & {"AlphaQCM_data", "tests", *FOREIGN}


def test_the_description_has_no_link_that_only_the_checkout_can_follow(dist: Path) -> None:
    with zipfile.ZipFile(only(dist, "*.whl")) as wheel:
        (name,) = (name for name in wheel.namelist() if name.endswith("/METADATA"))
        metadata = HeaderParser().parsestr(wheel.read(name).decode())
    page = metadata.get_payload()
    assert isinstance(page, str)
    targets = [part.split(")")[0] for part in page.split("](")[1:]]
    assert len(targets) > 5
    assert [target for target in targets if not target.startswith(("https://", "#"))] == []


def test_the_installed_command_knows_its_version(from_wheel: FreshVenv) -> None:
    done = from_wheel.run("alphaqcm", "--version")
    assert done.stdout == f"alphaqcm {alphaqcm.__version__}\n"


def test_the_wheel_makes_a_table(from_wheel: FreshVenv) -> None:
    table = make_table(from_wheel)
    assert table["symbol"].unique().sort().to_list() == ["BTC_USDT:USDT", "ETH_USDT:USDT"]


KIT = (
    "from bmac_kit import BmacAllMarketCalculator, BmacSingleSymbolCalculator, CandleFileReader\n"
    "from bmac_kit import convert_interval_to_timedelta, next_run_time, now_time\n"
    "from bmac_kit import sleep_until_run_time\n"
    "print(CandleFileReader('folder', 'parquet').format_data_file_path('BTCUSDT'))"
)


def test_strategies_import_bmac_kit(from_wheel: FreshVenv) -> None:
    done = from_wheel.run("python", "-c", KIT)
    assert done.stdout == "folder/BTCUSDT.pqt\n", done.stderr


def test_strategies_import_bmac_kit_of_a_checkout(from_checkout: FreshVenv) -> None:
    done = from_checkout.run("python", "-c", KIT)
    assert done.stdout == "folder/BTCUSDT.pqt\n", done.stderr


def test_the_wheel_prints_its_pages(from_wheel: FreshVenv) -> None:
    done = from_wheel.run("alphaqcm", "docs", "sql")
    assert done.stdout == (PROJECT / "docs" / "sql.md").read_text(encoding="utf-8")


def test_every_command_explains_itself_in_a_plain_installation(from_wheel: FreshVenv) -> None:
    """No command needs an extra before it is asked for what the extra is for."""
    program = (
        "from alphaqcm.data_collection.commands.main import COMMANDS, parser_of\n"
        "for name, command in COMMANDS.items():\n"
        "    parser_of(name).format_help()\n"
        "    command.load()\n"
    )
    done = from_wheel.run("python", "-c", program)
    assert done.returncode == 0, done.stderr


def test_a_missing_extra_is_one_line_with_the_pip_command(from_wheel: FreshVenv) -> None:
    done = from_wheel.run("alphaqcm", "check", "--data-root", "root", "--html", "page.html")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.endswith("pip install 'alphaqcm-data[report]'")


def test_foreign_packages_of_the_folders_names_change_nothing(from_checkout: FreshVenv) -> None:
    """First on PYTHONPATH and installed beside us: the run and its workers meet only ours."""
    folder = from_checkout.home / "foreign"
    for name in FOREIGN:
        package = folder / name
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("OWNER = 'the user'\n")
    table = make_table(from_checkout, PYTHONPATH=str(folder))
    assert table.height == 2 * 2 * 24
    for path, owner in ((str(folder), "the user"), ("", "another author")):
        for name in FOREIGN:
            program = (
                "import alphaqcm, alphaqcm.data_collection.commands.main\n"
                f"import {name}\nprint({name}.OWNER)"
            )
            done = from_checkout.run("python", "-c", program, PYTHONPATH=path)
            assert done.stdout == f"{owner}\n", done.stderr


@pytest.mark.parametrize("name", ["pipeline.errors", "data_collection.errors"])
def test_a_module_under_a_second_name_is_refused(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import {name}"],
        cwd=PROJECT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    top = name.partition(".")[0]
    assert f"ImportError: this package is alphaqcm.{top}, not {top}" in done.stderr
