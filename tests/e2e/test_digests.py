"""Whole roads, value for value: the files of five data roots against the digests recorded for them.

A change that should not change any output is held against `digests.json`. One that should is
recorded anew, and the diff of `digests.json` says what it changed:

    ALPHAQCM_RECORD=1 python -m pytest -n 0 tests/e2e/test_digests.py

Only the command line is driven. Of a parquet the decoded values of each column count, bit for bit,
and the record in its footer; of a JSON file its content without what tells of the day, the machine
(times of creation, places, versions) or of other files' bytes; all other files are taken whole.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest

from tests.helpers.command import alphaqcm

pytestmark = pytest.mark.process

HERE = Path(__file__).resolve().parent
RECORDED = HERE / "digests.json"
PLANTED = HERE / "planted_traps.txt"
RECORDING = os.environ.get("ALPHAQCM_RECORD") == "1"

LEFT_OUT = {"checked_at", "created_at", "created_at_utc", "source", "code_version", "libraries"}
OF_BYTES = {"sha256", "bytes", "digest", "digest_of_table", "xxh3_128", "stage_digests"}
"""Entries of JSON files that tell of other files' bytes, or of their own."""
WORKING_FILES = ("_tmp/months", "_tmp/symbol_tables")
"""Layers among the working files; the others there are state, with places and times."""


class Root:
    """A data root with its source beside it, and what the commands over it ended with."""

    def __init__(self, folder: Path) -> None:
        self.source, self.root = folder / "source", folder / "root"
        self.codes: list[str] = []
        self.digests: dict[str, str | dict[str, str]] = {}

    def command(self, name: str, *words: object) -> None:
        """Run a command to its end; its exit code is part of what is recorded."""
        done = alphaqcm(name, *words)
        assert done.returncode in (0, 1, 3), f"{name} {words}:\n{done.stdout}\n{done.stderr}"
        self.codes.append(f"{name}: {done.returncode}")

    def sample(self, *words: object) -> None:
        self.command("sample", self.source, *words)

    def on_root(self, name: str, *words: object) -> None:
        self.command(name, *words, "--data-root", self.root)

    def run(self, symbols: str, start: str, end: str, *words: object) -> None:
        days = ("--start", start, "--end", end)
        self.on_root("run", "--symbols", symbols, *days, "--source", self.source, *words)

    def check(self) -> None:
        """Check the root; its findings count without their wording."""
        report = self.root.with_name("check.json")
        self.on_root("check", "--json", report)
        told = ("severity", "check", "series", "symbol", "start", "end")
        findings = [
            [one[key] for key in told] for one in json.loads(report.read_text())["findings"]
        ]
        self.digests["findings of check"] = digest(json.dumps(findings).encode())

    def note(self, what: str, path: Path) -> None:
        self.digests[what] = content(path, str(self.root))

    def made(self) -> dict[str, Any]:
        """What is recorded of this root."""
        self.digests["(the source)"] = digest(json.dumps(dict(digests_below(self.source))).encode())
        self.digests.update(
            (name, made)
            for name, made in digests_below(self.root)
            if not name.startswith("_tmp/") or name.startswith(WORKING_FILES)
        )
        return {"exit_codes": self.codes, "files": dict(sorted(self.digests.items()))}


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:20]


def digests_below(folder: Path) -> Iterator[tuple[str, str | dict[str, str]]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.name.startswith("."):
            yield path.relative_to(folder).as_posix(), content(path, str(folder))


def content(path: Path, place: str) -> str | dict[str, str]:
    """The digest of a file, of a parquet that of each column and of its record."""
    data = path.read_bytes()
    if path.suffix == ".json":
        return digest(json.dumps(timeless(json.loads(data))).encode())
    if path.suffix != ".parquet":
        return digest(data)
    frame = pl.read_parquet(io.BytesIO(data))
    record = (pq.read_metadata(path).metadata or {}).get(b"alphaqcm", b"{}")
    told = json.dumps(timeless(json.loads(record))).replace(place, "")
    return {column.name: values(column) for column in frame} | {"(record)": digest(told.encode())}


def values(column: pl.Series) -> str:
    """Digest of a column's type, nulls and values, each bit of them."""
    if column.dtype == pl.String:
        text = json.dumps(column.to_list()).encode()
    else:
        plain = column.to_physical()
        text = plain.is_null().to_numpy().tobytes() + plain.fill_null(0).to_numpy().tobytes()
    return digest(str(column.dtype).encode() + text)[:12]


def timeless(told: Any) -> Any:
    """JSON content, in its order, without what tells of the day and the machine."""
    if isinstance(told, dict):
        return {
            key: timeless(value) for key, value in told.items() if key not in LEFT_OUT | OF_BYTES
        }
    return [timeless(value) for value in told] if isinstance(told, list) else told


def demo(road: Root) -> None:
    """What `make demo` walks, then every export and a training set."""
    road.sample("--symbols", 3, "--days", 3, "--seed", 7)
    road.run("BTCUSDT,ETHUSDT,SOLUSDT", "2024-02-27", "2024-02-29")
    for layer in ("stages", "crypto_1min", "final"):
        road.on_root("export", layer)
    road.on_root("training-set", "--filter-quality", "--impute", "ffill")
    road.check()


def planted(road: Root) -> None:
    """Every kind of defect, the table of symbols with metrics, and the findings."""
    traps = PLANTED.read_text().splitlines()
    words = (word for trap in traps for word in trap.split())
    symbols = ",".join(sorted({word[7:] for word in words if word.startswith("symbol=")}))
    plants = (word for trap in traps for word in ("--plant", trap))
    road.sample("--symbols", symbols, "--days", 5, "--trades-per-day", 1500, *plants)
    road.run(symbols, "2024-02-25", "2024-02-29", "--retries", 0, "--complete", "metrics")
    road.on_root("export", "stages")
    road.on_root("training-set", "--name", "complete_metrics")
    road.check()


def grown(road: Root) -> None:
    """Ten daily updates over a month's end, whose monthly files come meanwhile."""
    symbols, first = "BTCUSDT,SOLUSDT", date(2024, 1, 27)
    table = road.root / "final_dataset_all.parquet"
    ahead = {5: 5, 6: 9, 10: 14}  # a source is seldom just as far as the table

    def publish(days: int) -> None:
        words = ("--days", days, "--start", first, "--trades-per-day", 800)
        road.sample("--symbols", symbols, *words)

    publish(4)
    road.run(symbols, f"{first}", "2024-01-30", "--workers", 1)
    for days in range(5, 15):
        if days in ahead:
            publish(ahead[days])
        day = first + timedelta(days=days - 1)
        road.on_root("update", "--through", day, "--workers", 1)
        road.note(f"final_dataset_all.parquet on {day}", table)
    road.on_root("export", "final")


def market(name: str, symbols: str) -> Callable[[Root], None]:
    """The layers of a market that ends there."""

    def walk(road: Root) -> None:
        words = ("--market", name)
        road.sample(*words, "--symbols", symbols, "--days", 2, "--trades-per-day", 1000)
        road.run(symbols, "2024-02-28", "2024-02-29", *words)
        road.on_root("export", "crypto_1min", *words)

    return walk


ROADS: dict[str, Callable[[Root], None]] = {
    "demo": demo,
    "planted": planted,
    "grown": grown,
    "spot": market("spot", "BTCUSDT,ETHUSDT"),
    "cm": market("cm", "BTCUSD_PERP,ETHUSD_PERP"),
}


def made_with() -> dict[str, str]:
    """What can change a byte without any change here."""
    libraries = {name: version(name) for name in ("numba", "numpy", "polars", "pyarrow")}
    return {**libraries, "machine": platform.machine()}


@pytest.mark.parametrize("name", ROADS)
def test_every_file_holds_the_recorded_values(name: str, tmp_path: Path) -> None:
    if not RECORDING and recorded()["made_with"] != made_with():
        pytest.skip(f"recorded with {recorded()['made_with']}, here is {made_with()}")
    road = Root(tmp_path)
    ROADS[name](road)
    made = road.made()
    if RECORDING:
        record(name, made)
        pytest.skip(f"recorded {len(made['files'])} digests")

    expected = recorded()["roots"][name]
    assert made["exit_codes"] == expected["exit_codes"]
    before, now = expected["files"], made["files"]
    differences = {
        "missing": sorted(before.keys() - now.keys()),
        "new": sorted(now.keys() - before.keys()),
        "changed": sorted(
            f"{key}{columns(before[key], now[key])}"
            for key in before.keys() & now.keys()
            if before[key] != now[key]
        ),
    }
    listed = [f"{what}: {key}" for what, keys in differences.items() for key in keys]
    assert not listed, "\n".join([f"{len(listed)} of {len(before)} files differ", *listed])


def columns(before: str | dict[str, str], now: str | dict[str, str]) -> str:
    """The columns of a parquet that differ."""
    if isinstance(before, str) or isinstance(now, str):
        return ""
    return (
        f": {sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))}"
    )


def recorded() -> dict[str, Any]:
    told: dict[str, Any] = json.loads(RECORDED.read_text()) if RECORDED.exists() else {}
    return told or {"made_with": made_with(), "roots": {}}


def record(name: str, made: dict[str, Any]) -> None:
    assert "PYTEST_XDIST_WORKER" not in os.environ, "record with -n 0: one file takes all roots"
    roots = {**recorded()["roots"], name: made}
    told = {"made_with": made_with(), "roots": {key: roots[key] for key in ROADS if key in roots}}
    RECORDED.write_text(json.dumps(told, indent=1) + "\n")
