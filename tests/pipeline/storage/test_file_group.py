"""Groups of small files: whole or not at all, also where the disk is full or the process dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from alphaqcm.pipeline.errors import DiskFull, LayerError
from alphaqcm.pipeline.storage.atomic_write import clean_temps
from alphaqcm.pipeline.storage.file_group import FileGroup, sync_file_system
from tests.conftest import PROJECT


def test_files_appear_with_the_commit_and_not_before(tmp_path: Path) -> None:
    with FileGroup() as group:
        group.write(f"{tmp_path}/one", [b"a", memoryview(b"bc")])
        group.write(f"{tmp_path}/two", [b""])
        assert not (tmp_path / "one").exists()
        group.commit()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "one": b"abc",
        "two": b"",
    }


def test_what_is_not_committed_leaves_no_trace(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"old")
    with FileGroup() as group:
        group.write(f"{tmp_path}/one", [b"new"])
    assert [path.name for path in tmp_path.iterdir()] == ["one"]
    assert (tmp_path / "one").read_bytes() == b"old"


def test_of_a_path_that_is_written_twice_the_later_one_counts(tmp_path: Path) -> None:
    with FileGroup() as group:
        group.write(f"{tmp_path}/one", [b"first"])
        group.write(f"{tmp_path}/one", [b"2nd"])
        group.commit()
    assert (tmp_path / "one").read_bytes() == b"2nd"


def test_a_folder_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    with FileGroup() as group, pytest.raises(LayerError):
        group.write(f"{tmp_path}/no/one", [b"a"])


@pytest.mark.process
def test_a_full_disk_is_told_and_leaves_the_old_files(tmp_path: Path) -> None:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("a small file system needs the right to mount one")
    try:
        (tmp_path / "one").write_bytes(b"old")
        with FileGroup() as group, pytest.raises(DiskFull):
            group.write(f"{tmp_path}/one", [b"x" * 10_000, b"y" * 100_000])  # a part fits
        assert [path.name for path in tmp_path.iterdir()] == ["one"]
        assert (tmp_path / "one").read_bytes() == b"old"
    finally:
        subprocess.run(["umount", str(tmp_path)], check=False, capture_output=True)


@pytest.mark.process
def test_the_leftovers_of_a_killed_process_are_cleaned(tmp_path: Path) -> None:
    code = f"""
import os, signal
from alphaqcm.pipeline.storage.file_group import FileGroup
with FileGroup() as group:
    group.write({f"{tmp_path}/one"!r}, [b"a"])
    os.kill(os.getpid(), signal.SIGKILL)
"""
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    killed = subprocess.run([sys.executable, "-c", code], env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert clean_temps(tmp_path) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.process
def test_files_are_synced_before_any_is_renamed(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    code = f"""
from alphaqcm.pipeline.storage.file_group import FileGroup
with FileGroup() as group:
    group.write({f"{tmp_path}/one"!r}, [b"a"])
    group.commit()
"""
    if subprocess.run(["which", "strace"], capture_output=True, check=False).returncode:
        pytest.skip("needs strace")
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    words = ["strace", "-f", "-o", str(trace), "-e", "trace=syncfs,rename,renameat2,writev"]
    done = subprocess.run(
        [*words, sys.executable, "-c", code], env=environment, check=False, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    calls = [
        name
        for line in trace.read_text().splitlines()
        for name in ("writev", "syncfs", "rename")
        if f" {name}" in line and (name != "rename" or "/one" in line)
    ]
    assert calls == ["writev", "syncfs", "rename"]


def test_a_folder_that_is_gone_cannot_be_synced(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        sync_file_system(f"{tmp_path}/gone")
