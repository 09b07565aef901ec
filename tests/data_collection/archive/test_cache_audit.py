"""The cache against ledger, disk and source: problems found, and mended where they can be."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from alphaqcm.data_collection.archive.archive import Archive, FetchOptions
from alphaqcm.data_collection.archive.cache_audit import Problem, audit, repair
from alphaqcm.data_collection.archive.download import PART_SUFFIX
from alphaqcm.data_collection.simulation.mirror import Mirror
from tests.helpers.archive_tree import KLINES, days, digests, publish, publish_all, zip_bytes

HASTY = FetchOptions(connections=2, backoff=0.01, retries=0)
FILES = days(KLINES, "2024-01-01", 8)
STRAY = f"{FILES[5].key}{PART_SUFFIX}"
FOREIGN = "data/somebody's own.zip"


def planted(source: Path, cache: Path) -> dict[str, Problem]:
    """One problem of each kind, in the cache or at the source; by key."""
    (cache / FILES[0].key).unlink()
    (cache / FILES[1].key).write_bytes(b"other bytes")
    publish(source, FILES[2], zip_bytes(FILES[2], 3000, seed=1))
    (source / FILES[3].checksum_key).write_text("0" * 64 + f"  {FILES[3].name}\n")
    (source / FILES[4].key).unlink()
    (source / FILES[4].checksum_key).unlink()
    (cache / STRAY).write_bytes(b"half of it")
    shutil.copy(source / FILES[6].key, cache / FILES[6].key)
    (cache / FOREIGN).write_bytes(b"a file of the user")
    return {
        FILES[0].key: Problem.GONE,
        FILES[1].key: Problem.CHANGED,
        FILES[2].key: Problem.REPLACED,
        FILES[3].key: Problem.CHECKSUM,
        FILES[4].key: Problem.REMOVED,
        STRAY: Problem.STRAY,
        FILES[6].key: Problem.UNKNOWN,
        FOREIGN: Problem.UNKNOWN,
    }


@pytest.mark.parametrize("deep", [False, True])
def test_every_problem_is_named_and_mended_where_it_can_be(tmp_path: Path, deep: bool) -> None:
    source, cache = tmp_path / "source", tmp_path / "cache"
    publish_all(source, FILES)
    with Mirror(source) as mirror:
        with Archive.open(mirror.url, cache=cache, options=HASTY) as archive:
            archive.fetch([*FILES[:6], FILES[7]])
            assert list(audit(archive, deep=True)) == []
        problems = planted(source, cache)
        with Archive.open(mirror.url, cache=cache, options=HASTY) as archive:
            found = list(audit(archive, deep=deep))
            assert {one.key: one.problem for one in found} == problems
            left = repair(archive, found)
    assert {one.key for one in left} == {FILES[3].key, FILES[4].key, FOREIGN}
    assert not (cache / STRAY).exists()
    assert (cache / FOREIGN).read_bytes() == b"a file of the user"
    held = digests(cache)
    assert {key: held[key] for key in digests(source)} == digests(source)
    with Mirror(source) as mirror, Archive.open(mirror.url, cache=cache, options=HASTY) as archive:
        again = {one.key for one in audit(archive, deep=deep)}
    assert again == {one.key for one in left}
