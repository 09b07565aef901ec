"""A data root with single bits flipped, and what the commands make of it afterwards."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import polars as pl

from alphaqcm.data_collection.build.damaged_files import adopt_once
from alphaqcm.data_collection.build.last_run import load_settings, save_settings
from alphaqcm.data_collection.build.publish import publish
from alphaqcm.data_collection.build.run.progress import RunProgress
from alphaqcm.data_collection.build.run.run_tasks import find_pending
from alphaqcm.data_collection.build.settings import RunSettings
from alphaqcm.data_collection.build.stages.perform import no_gate
from alphaqcm.data_collection.build.stages.task_runner import open_task_runner
from alphaqcm.data_collection.build.update.update import update
from alphaqcm.data_collection.commands.build.build import ANY_AGE
from alphaqcm.data_collection.errors import CollectionError
from alphaqcm.data_collection.process.root_lock import hold_root
from alphaqcm.data_collection.simulation.sample import SampleSpec, write_sample
from alphaqcm.pipeline.domain.date_range import DateRange
from alphaqcm.pipeline.errors import PipelineError
from tests.helpers.built_root import settings_of

DAYS = 3
SPEC = SampleSpec(
    symbols=("BTCUSDT", "SOLUSDT"), start=date(2024, 2, 27), days=DAYS, trades_per_day=300
)


def kind_of(name: str) -> str:
    """The kind of file, so that each is flipped as often as the others, few and small or not."""
    parts = Path(name).parts
    if parts[0] != "_tmp":
        folder = parts[0] if len(parts) > 1 else "table"
        return f"{folder}{''.join(Path(name).suffixes[-2:]) if len(parts) == 1 else ''}"
    if parts[1] in ("months", "symbol_tables"):
        return "/".join(parts[1:4] if parts[1] == "months" else parts[1:2])
    return "zip" if name.endswith(".zip") else parts[-1]


@dataclass(frozen=True, slots=True)
class FlippedRoots:
    """A data root through the second last day of its source, and the right tables of it."""

    source: Path
    clean: Path
    tables: dict[date, pl.DataFrame]  # by last day
    files: dict[str, list[str]]  # kind -> names below the root

    @classmethod
    def make(cls, folder: Path) -> FlippedRoots:
        """Build it, and once more with a day more."""
        source, clean = folder / "source", folder / "clean"
        write_sample(source, SPEC)
        ends = (SPEC.last - timedelta(days=1), SPEC.last)
        tables = {}
        for end, root in zip(ends, (clean, folder / "later"), strict=True):
            settings = settings_of(SPEC, source, root, end)
            run(settings)
            tables[end] = pl.read_parquet(settings.layout.final_table())
        settings = settings_of(SPEC, source, clean, ends[0])
        with hold_root(settings.layout.temp, exclusive=True) as lock:
            update(settings, 1, lock)  # keeps its marks
        files: dict[str, list[str]] = {}
        for path in sorted(clean.rglob("*")):
            name = path.relative_to(clean).as_posix()
            if path.is_file() and path.stat().st_size and not name.startswith("_tmp/logs"):
                files.setdefault(kind_of(name), []).append(name)
        return cls(source, clean, tables, files)

    def flip(self, seed: int, root: Path) -> str:
        """Copy the clean root to `root` with one bit flipped; gives the place."""
        rng = random.Random(seed)
        if root.exists():
            shutil.rmtree(root)
        shutil.copytree(self.clean, root)
        kinds = sorted(self.files)
        name = rng.choice(self.files[kinds[seed % len(kinds)]])
        path = root / name
        data = bytearray(path.read_bytes())
        bit = rng.randrange(8 * len(data))
        data[bit // 8] ^= 1 << bit % 8
        before = path.stat()
        path.write_bytes(data)
        if rng.random() < 0.7:  # what a disk does to a file leaves its times alone
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        return f"seed {seed}: bit {bit} of {name}"

    def check(self, seed: int, root: Path) -> str:
        """Flip, then do one of the commands' work; what is wrong then, empty where nothing is."""
        place = self.flip(seed, root)
        rng = random.Random(-1 - seed)
        end = rng.choice(sorted(self.tables))
        work = rng.choice(WORKS)
        settings = settings_of(SPEC, self.source, root, end)
        try:
            end = work(settings)
        except (PipelineError, CollectionError) as error:
            return "" if str(error) else f"{place}: refused without a word"
        found = pl.read_parquet(settings.layout.final_table())
        return "" if found.equals(self.tables[end]) else f"{place}: {work.__name__} gave others"


def run(settings: RunSettings) -> date:
    """What `alphaqcm run` does, in this process."""
    with (
        hold_root(settings.layout.temp, exclusive=True),
        open_task_runner(settings) as runner,
    ):
        save_settings(settings)
        adopt_once(settings.layout)
        progress, left = find_pending(runner)
        for task in left:
            progress.outcomes[task] = runner.perform(task, no_gate)
        publish(settings, progress)
    _require_no_problems(progress)
    return settings.span.end


def bring_up_to_date(settings: RunSettings) -> date:
    """What `alphaqcm update` does."""
    kept = load_settings(settings.layout.temp)
    settings = replace(kept, span=DateRange(kept.span.start, settings.span.end))
    with hold_root(settings.layout.temp, exclusive=True) as lock:
        done = update(settings, 1, lock)
    _require_no_problems(done.progress)
    return settings.span.end


def build(settings: RunSettings) -> date:
    """What `alphaqcm build` does, in this process."""
    settings = load_settings(settings.layout.temp)
    settings = replace(settings, fetch={**settings.fetch, "listing_age": ANY_AGE})
    with (
        hold_root(settings.layout.temp, exclusive=True),
        open_task_runner(settings) as runner,
    ):
        progress, left = find_pending(runner, offline=True)
        for task in left:
            progress.outcomes[task] = runner.perform(task, no_gate)
        publish(settings, progress)
    _require_no_problems(progress)
    return settings.span.end


def _require_no_problems(progress: RunProgress) -> None:
    if progress.problems:
        raise PipelineError("the run", found="; ".join(progress.problems))


WORKS: tuple[Callable[[RunSettings], date], ...] = (run, bring_up_to_date, run, build)
