"""A small data root with every layer and table, made once a test session and copied."""

from __future__ import annotations

import functools
import shutil
import tempfile
from datetime import date
from pathlib import Path

from alphaqcm.data_collection.simulation.sample import SampleSpec, write_sample
from tests.helpers.built_root import settings_of, walk

SPEC = SampleSpec(
    symbols=("BTCUSDT",), start=date(2024, 1, 1), days=2, trades_per_day=400, compression=1
)


@functools.cache
def _made() -> tempfile.TemporaryDirectory[str]:
    folder = tempfile.TemporaryDirectory(prefix="alphaqcm-test-")
    write_sample(Path(folder.name) / "source", SPEC)
    walk(settings_of(SPEC, Path(folder.name) / "source", Path(folder.name) / "root"))
    return folder


def root_of_a_day(folder: Path) -> Path:
    """A copy of its own at `folder`/root, its source beside it at `folder`/source."""
    for name in ("root", "source"):
        shutil.copytree(Path(_made().name) / name, folder / name)
    return folder / "root"
