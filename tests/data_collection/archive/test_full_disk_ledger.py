"""The ledger on a disk that is full to the last byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from alphaqcm.data_collection.archive.file_record import FileRecord, FileState
from alphaqcm.data_collection.archive.ledger import Ledger
from alphaqcm.pipeline.errors import DiskFull
from tests.data_collection.queue.test_state_file import fill, small_disk


@pytest.mark.process
def test_no_byte_left_is_a_full_disk_and_not_an_error_of_the_device(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    with small_disk(disk, "400k"):
        Ledger(disk).close()
        fill(disk / "filler")
        with pytest.raises(DiskFull, match="free some space"):  # noqa: SIM117
            with Ledger(disk) as ledger:
                ledger.put([FileRecord(f"data/{n}", FileState.OK) for n in range(5000)])
        (disk / "filler").unlink()
        with Ledger(disk) as ledger:
            ledger.put([FileRecord("data/1", FileState.OK)])
            assert ledger.get("data/1") is not None
