"""Download speed beside curl --parallel, aria2c -i and one requests.Session in sequence.

One mirror process of this project on loopback serves all contenders, with 40 ms of round trip added
to every connect and every request. Each contender fetches the same zips and .CHECKSUMs into an
empty folder; only ours also proves (SHA-256, zip test), syncs and records them. Contenders take
turns; medians are printed. Then: the plan of 20,000 keys, the time per file of proof and
ledger, and the memory of a download by number and size of files.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import orjson
import requests

from alphaqcm.data_collection.archive.archive import Archive, FetchOptions
from alphaqcm.data_collection.archive.file_record import FileRecord, FileState, RemoteFile
from alphaqcm.data_collection.archive.ledger import Ledger
from alphaqcm.data_collection.archive.plan import wanted_files
from alphaqcm.data_collection.archive.sources import HttpSource
from alphaqcm.data_collection.archive.verify import zip_defect
from alphaqcm.pipeline.domain.archive_file import ArchiveFile, Series
from alphaqcm.pipeline.domain.date_range import DateRange
from alphaqcm.pipeline.domain.period import Period
from alphaqcm.pipeline.domain.registry import DataType, Market
from alphaqcm.pipeline.storage.checksum import sha256_of

CONNECTIONS = 32
LATENCY_MS = 40
ROUNDS = 3
FILES = 200
FIRST_DAY = date(2023, 1, 1)


@dataclass(frozen=True)
class Load:
    """A tree to download."""

    name: str
    root: Path
    files: list[ArchiveFile]
    goal: float  # times faster than the sequence

    @property
    def keys(self) -> list[str]:
        """What a contender fetches: every zip and its .CHECKSUM."""
        return [key for file in self.files for key in (file.key, file.checksum_key)]


def csv_text(size: int, seed: int) -> bytes:
    """About `size` bytes of 1m klines of a random walk."""
    chance = random.Random(seed)
    lines, total, price, at = [], 0, 2000.0, 1_672_531_200_000
    while total < size:
        price = max(1.0, price + chance.gauss(0, 1))
        volume = chance.expovariate(0.02)
        line = (
            f"{at},{price:.2f},{price + 0.7:.2f},{price - 0.6:.2f},{price + 0.1:.2f},{volume:.3f},"
            f"{at + 59_999},{volume * price:.5f},{chance.randrange(900)},{volume / 2:.3f},"
            f"{volume * price / 2:.5f},0\n"
        )
        lines.append(line)
        total += len(line)
        at += 60_000
    return "".join(lines).encode()


def make_load(root: Path, name: str, sizes: list[int], goal: float) -> Load:
    """FILES zips of klines, of the sizes in turn (bytes, zipped)."""
    series = Series(Market.UM, DataType.KLINES, "BTCUSDT", "1m")
    files = [series.file(Period.day(FIRST_DAY + timedelta(days=n))) for n in range(FILES)]
    masters: list[bytes] = []
    for seed, size in enumerate(sizes):
        path = root / "master.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("klines.csv", csv_text(int(size * 2.15), seed))
        masters.append(path.read_bytes())
        path.unlink()
    for number, file in enumerate(files):
        data = masters[number % len(masters)]
        path = root / file.key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        line = f"{hashlib.sha256(data).hexdigest()}  {file.name}\n"
        (root / file.checksum_key).write_text(line)
    return Load(name, root, files, goal)


@contextmanager
def serving(root: Path, work: Path) -> Iterator[str]:
    """A mirror of `root` in a process of its own; yields its address."""
    faults = work / "latency.yml"
    faults.write_text(f"latency_ms: {LATENCY_MS}\n")
    command = [
        sys.executable,
        "-m",
        "alphaqcm",
        "mirror",
        str(root),
        "--port",
        "0",
    ]
    process = subprocess.Popen(
        [*command, "--fault", str(faults)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().split()[0]
    finally:
        process.terminate()
        process.wait()


def ours(downloader: str) -> Callable[[str, Load, Path], float]:
    """Our own fetch; the series was listed before, as planning is measured apart."""

    def fetch(url: str, load: Load, place: Path) -> float:
        options = FetchOptions(connections=CONNECTIONS, downloader=downloader)
        with Archive.open(url, cache=place, options=options) as archive:
            archive.periods(load.files[0].series)
            began = time.perf_counter()
            archive.fetch(load.files)
            return time.perf_counter() - began

    return fetch


def sequence(url: str, load: Load, place: Path) -> float:
    """One Session, one file after another, as simple scripts do."""
    source = HttpSource(url)
    began = time.perf_counter()
    with requests.Session() as session:
        for key in load.keys:
            (place / Path(key).name).write_bytes(session.get(source.url(key), timeout=60).content)
    return time.perf_counter() - began


def curl(url: str, load: Load, place: Path) -> float:
    """All with `curl --parallel`."""
    source = HttpSource(url)
    words = "".join(
        f'url = "{source.url(key)}"\noutput = "{place / Path(key).name}"\n' for key in load.keys
    )
    options = ["--parallel", "--parallel-immediate", "--parallel-max", str(CONNECTIONS)]
    return run_peer(["curl", "--silent", "--fail", *options, "--config", "-"], words)


def aria2c(url: str, load: Load, place: Path) -> float:
    """All with `aria2c -i`."""
    source = HttpSource(url)
    words = "".join(f"{source.url(key)}\n" for key in load.keys)
    options = ["-j", str(CONNECTIONS), "-x", "1", "-s", "1", "--file-allocation=none", "-d"]
    return run_peer(["aria2c", "--quiet", "--no-conf", *options, str(place), "-i", "-"], words)


def run_peer(command: list[str], words: str) -> float:
    """Run a peer's program; seconds."""
    began = time.perf_counter()
    subprocess.run(
        command,
        input=words,
        text=True,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return time.perf_counter() - began


def race(load: Load, work: Path) -> None:
    """All contenders in turns over one load."""
    peers = {"curl --parallel": curl, "aria2c -i": aria2c}
    contenders = {
        "ours (requests)": ours("requests"),
        "ours (aria2)": ours("aria2"),
        **{name: run for name, run in peers.items() if shutil.which(name.split()[0])},
    }
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    size = sum((load.root / file.key).stat().st_size for file in load.files)
    with serving(load.root, work) as url:

        def once(run: Callable[[str, Load, Path], float]) -> float:
            place = work / "place"
            place.mkdir()
            try:
                return run(url, load, place)
            finally:
                shutil.rmtree(place)

        alone = once(sequence)
        for _ in range(ROUNDS):
            for name, run in contenders.items():
                seconds[name].append(once(run))
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    best = min((medians[name] for name in peers if name in medians), default=float("nan"))
    print(f"\n{load.name}: {len(load.files)} zips, {size / 1e6:.0f} MB, {CONNECTIONS} connections")
    print(f"  {'one Session in sequence':<26}{alone:8.2f} s")
    for name, median in medians.items():
        spread = f"{min(seconds[name]):.2f}..{max(seconds[name]):.2f}"
        print(
            f"  {name:<26}{median:8.2f} s  ({spread})  {alone / median:5.1f} x the sequence, "
            f"{median / best:4.2f} of the best peer"
        )
    print(f"  goal: ours at least {load.goal:g} x the sequence, at most 1.25 of the best peer")


def plan_20000(work: Path) -> None:
    """Plan 20,000 keys of 750 symbols from kept listings."""
    months = [Period.parse(f"{2021 + n // 12}-{n % 12 + 1:02}") for n in range(27)]
    names = [f"SYM{n:03}USDT" for n in range(750)]
    series = [Series(Market.UM, DataType.KLINES, name, "1m") for name in names]
    span = DateRange(months[0].start, months[-1].last)
    place = work / "plan"
    moment = time.time()
    with Ledger(place) as ledger:
        for one in series:
            for partition in ("monthly", "daily"):
                prefix = f"data/futures/um/{partition}/klines/{one.symbol}/1m/"
                rows = []
                for month in months if partition == "monthly" else ():
                    name = one.file(month).name
                    rows += [[name, 1_000_000, "e" * 32, "2024-01-01T00:00:00.000Z"]]
                    rows += [[f"{name}.CHECKSUM", 90, "c" * 32, "2024-01-01T00:00:00.000Z"]]
                ledger.put_listing("http://archive.invalid", prefix, moment, orjson.dumps(rows))
        half = (one.file(month) for one in series[::2] for month in months)
        ledger.put(FileRecord(file.key, FileState.CORRUPT) for file in half)
    seconds = []
    for _ in range(5):
        options = FetchOptions(listing_age=1e9)
        with Archive.open("http://archive.invalid", cache=place, options=options) as archive:
            began = time.perf_counter()
            listing = archive.list_many(series)
            files = [
                file
                for one, periods in listing.items()
                for file in wanted_files(one, months, periods, {}, span)
            ]
            plan = archive.plan(files)
            seconds.append(time.perf_counter() - began)
    median = statistics.median(seconds)
    print(
        f"\nplan of {len(plan.steps):,} keys from kept listings: {median:.2f} s (goal: at most 1 s)"
    )


def overhead(work: Path, load: Load) -> None:
    """Seconds a small file of proof (SHA-256, zip test) and of its record in the ledger."""
    paths = [load.root / file.key for file in load.files]
    began = time.perf_counter()
    for path in paths:
        sha256_of(path)
        if zip_defect(path, inflate=False):
            raise SystemExit(f"{path} is broken")
    proof = (time.perf_counter() - began) / len(paths)
    listed = RemoteFile(1, "e" * 32, "2024-01-01T00:00:00.000Z")
    with Ledger(work / "overhead") as ledger:
        began = time.perf_counter()
        for file in load.files:
            ledger.get(file.key)
            ledger.put([FileRecord(file.key, FileState.OK, size=listed.size, sha256="f" * 64)])
        record = (time.perf_counter() - began) / len(paths)
    print(
        f"per file of 20 KB: proof {proof * 1e3:.2f} ms, ledger {record * 1e3:.2f} ms "
        "(goal: at most 1 ms together)"
    )


_MEMORY = """
import sys
from pathlib import Path
from alphaqcm.data_collection.archive.archive import Archive, FetchOptions
from alphaqcm.pipeline.domain.archive_file import Series
from alphaqcm.pipeline.domain.registry import DataType, Market
url, place, count = sys.argv[1:]
with Archive.open(url, cache=Path(place), options=FetchOptions(connections=32)) as archive:
    series = Series(Market.UM, DataType.KLINES, "BTCUSDT", "1m")
    files = [series.file(period) for period in archive.periods(series)]
    archive.fetch(files[: int(count)])
status = Path("/proc/self/status").read_text().splitlines()
print(next(line.split()[1] for line in status if line.startswith("VmHWM")))
"""


def memory(load: Load, work: Path, counts: tuple[int, ...]) -> None:
    """Peak memory of a process that fetches a part of a load."""
    for count in counts:
        with serving(load.root, work) as url:
            place = work / "memory"
            here = Path(__file__).resolve().parent.parent
            done = subprocess.run(
                [sys.executable, "-c", _MEMORY, url, str(place), str(count)],
                capture_output=True,
                text=True,
                check=True,
                env={**os.environ, "PYTHONPATH": str(here)},
            )
            shutil.rmtree(place)
        print(f"peak memory for {count:>3} files of {load.name}: {int(done.stdout) / 1024:.0f} MB")


def main() -> None:
    """Run everything."""
    with tempfile.TemporaryDirectory(prefix="bench-download-") as name:
        work = Path(name)
        for folder in ("small", "large"):
            (work / folder).mkdir()
        small = make_load(work / "small", "20 KB", [20_000], 12)
        large = make_load(work / "large", "1-5 MB", [n * 1_000_000 for n in range(1, 6)], 7)
        race(small, work)
        race(large, work)
        plan_20000(work)
        overhead(work, small)
        memory(small, work, (20, 200))
        memory(large, work, (20, 200))


if __name__ == "__main__":
    main()
