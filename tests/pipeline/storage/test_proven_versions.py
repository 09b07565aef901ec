"""A large file that nobody touched is not read to know that it is current; for rows it is."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from alphaqcm.pipeline.errors import DamagedFile
from alphaqcm.pipeline.storage import proven_versions, verified_read
from alphaqcm.pipeline.storage.artifact import Artifact, Fingerprint, Input
from alphaqcm.pipeline.storage.checksum import xxh3_of
from alphaqcm.pipeline.storage.file_digest import Proof
from alphaqcm.pipeline.storage.file_store import LOCAL, FileStat
from alphaqcm.pipeline.storage.proven_versions import ProvenVersions, trusting
from alphaqcm.pipeline.storage.verified_read import (
    examine,
    forget_examined,
    glance_at_csv,
    read_frame,
    require_whole,
)

TODAY = 739_000
FINGERPRINT = Fingerprint("test", 1, (Input("a", "b"),))


@pytest.fixture(autouse=True)
def nothing_remembered() -> Iterator[None]:
    """As a new process begins."""
    forget_examined()
    yield
    forget_examined()


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "layer" / "2024-02.parquet"
    noise = np.random.default_rng(1).random(20_000)
    Artifact(path, FINGERPRINT).write(pl.DataFrame({"a": noise}), {"rows": 20_000})
    assert path.stat().st_size > proven_versions.LEAST_BYTES
    return path


def opened(path: Path, today: int = TODAY, later: float = 10.0) -> ProvenVersions:
    """What the next run finds, so many seconds after the files were written."""
    root = path.parent.parent
    now = time.time_ns() + int(later * 1e9)
    proven = ProvenVersions(root / "proven.txt", root, today, now)
    proven.load()
    return proven


def prove(path: Path, **when: float) -> None:
    proven = opened(path, **when)  # type: ignore[arg-type]
    with trusting(proven):
        assert examine(path).proof is Proof.WHOLE
    proven.save()
    forget_examined()


def flip(path: Path, at: int = 5_000) -> None:
    with path.open("r+b") as stream:
        stream.seek(at)
        byte = stream.read(1)[0]
        stream.seek(at)
        stream.write(bytes([byte ^ 1]))


@contextmanager
def a_disk_that_flips(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A bit flips and no time of the file tells: what a disk does by itself."""
    before, stat = LOCAL.stat(path), type(LOCAL).stat
    assert before is not None

    def told(store: object, asked: Path) -> FileStat | None:
        return before if asked == path else stat(store, asked)  # type: ignore[arg-type]

    flip(path)
    monkeypatch.setattr(type(LOCAL), "stat", told)
    yield


def test_what_was_proven_and_not_touched_is_not_read_again(
    large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prove(large)
    with a_disk_that_flips(large, monkeypatch), trusting(opened(large)):
        found = examine(large)
        assert found.proof is Proof.WHOLE
        assert found.record is not None
        assert found.record.fingerprint == FINGERPRINT
        assert Artifact(large, FINGERPRINT).is_current()


def test_whoever_takes_rows_reads_and_proves_all_the_same(
    large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prove(large)
    with a_disk_that_flips(large, monkeypatch), trusting(opened(large)):
        assert examine(large).proof is Proof.WHOLE
        with pytest.raises(DamagedFile):
            require_whole(large)
        with pytest.raises(DamagedFile):
            read_frame(large)


def test_without_trust_everything_is_read(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prove(large)
    with a_disk_that_flips(large, monkeypatch):
        assert examine(large).proof is Proof.DAMAGED


def test_damage_under_the_old_time_of_content_is_seen(large: Path) -> None:
    before = large.stat()
    prove(large)
    flip(large)
    os.utime(large, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert large.stat().st_mtime_ns == before.st_mtime_ns
    with trusting(opened(large)):
        assert examine(large).proof is Proof.DAMAGED


def test_a_copy_is_read(large: Path) -> None:
    prove(large)
    data = large.read_bytes()
    large.unlink()
    large.write_bytes(data[:5_000] + bytes([data[5_000] ^ 1]) + data[5_001:])
    with trusting(opened(large)):
        assert examine(large).proof is Proof.DAMAGED


@pytest.mark.parametrize(
    ("when", "again"),
    [({}, True), ({"today": TODAY + 6}, True), ({"today": TODAY + 7}, False)],
    ids=["today", "six days later", "a week later"],
)
def test_it_is_good_for_a_week(large: Path, when: dict[str, int], again: bool) -> None:
    prove(large)
    stat = LOCAL.stat(large)
    assert stat is not None
    assert bool(opened(large, **when).digest_of(large, stat)) is again


def test_a_file_written_just_before_is_not_kept(large: Path) -> None:
    prove(large, later=1.0)
    stat = LOCAL.stat(large)
    assert stat is not None
    assert not opened(large).digest_of(large, stat)


def test_what_is_published_is_read_each_time(large: Path) -> None:
    proven = replace(opened(large), published=large.parent)
    with trusting(proven):
        assert examine(large).proof is Proof.WHOLE
    stat = LOCAL.stat(large)
    assert stat is not None
    assert not proven.digest_of(large, stat)


def test_a_small_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "layer" / "small.parquet"
    Artifact(path, FINGERPRINT).write(pl.DataFrame({"a": [1.5]}), {"rows": 1})
    prove(path)
    assert not (tmp_path / "proven.txt").exists()


def test_a_flipped_bit_of_what_is_kept_costs_that_entry(large: Path) -> None:
    prove(large)
    kept = large.parent.parent / "proven.txt"
    data = kept.read_bytes()
    stat = LOCAL.stat(large)
    assert stat is not None
    for bit in range(8 * len(data) - 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        kept.write_bytes(flipped)
        assert not opened(large).digest_of(large, stat), bit
    kept.write_bytes(data)
    assert opened(large).digest_of(large, stat)


def test_a_csv_is_known_by_version_and_digest(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = large.with_name("hours.csv")
    path.write_bytes(b"1,2,3\n" * 20_000)
    digest = xxh3_of(path)
    proven = opened(large)
    with trusting(proven):
        assert glance_at_csv(path, digest) is Proof.WHOLE
        assert glance_at_csv(path, "0" * 32) is Proof.DAMAGED
    proven.save()
    with a_disk_that_flips(path, monkeypatch):
        with trusting(opened(large)):
            assert glance_at_csv(path, digest) is Proof.WHOLE
        assert verified_read.prove_csv(path, digest) is Proof.DAMAGED


def test_after_a_failure_nothing_is_kept(large: Path) -> None:
    prove(large)
    opened(large).forget()
    stat = LOCAL.stat(large)
    assert stat is not None
    assert not opened(large).digest_of(large, replace(stat))
