"""A `training-set` that was killed leaves nothing that the next one does not remove."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from alphaqcm.data_collection.commands.main import main
from tests.helpers.root_of_a_day import root_of_a_day

pytestmark = pytest.mark.process

DIES = """
import os, signal, sys
from pathlib import Path
from alphaqcm.pipeline.storage.atomic_write import atomic_write
with atomic_write(Path(sys.argv[1]) / "training_all.parquet") as temp:
    temp.write_bytes(b"half of it")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_temp_file_of_a_killed_training_set_goes_with_the_next(tmp_path: Path) -> None:
    root = root_of_a_day(tmp_path)
    folder = root / "training"
    folder.mkdir()
    subprocess.run([sys.executable, "-c", DIES, str(folder)], check=False)
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")]
    assert main(["training-set", "--data-root", str(root)]) == 0
    assert not [path.name for path in folder.iterdir() if path.name.startswith(".")]
    assert pl.read_parquet(folder / "training_all.parquet").height
