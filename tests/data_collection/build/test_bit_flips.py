"""Bits that flip on the disk: no run, update or build ends well with a wrong table."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.helpers.bit_flips import FlippedRoots

FLIPS = 300
SOAK = 9_500  # and 500 through the command line: tests/e2e/test_integrity.py
GROUPS = 20
FIRST_SEED = int(os.environ.get("ALPHAQCM_SEED", "0"))


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> FlippedRoots:
    return FlippedRoots.make(tmp_path_factory.mktemp("flips"))


def flip_all(roots: FlippedRoots, seeds: range, root: Path) -> list[str]:
    return [wrong for seed in seeds if (wrong := roots.check(FIRST_SEED + seed, root))]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("group", range(GROUPS))
def test_no_flipped_bit_ends_in_a_wrong_table(
    roots: FlippedRoots, tmp_path: Path, group: int
) -> None:
    seeds = range(group * FLIPS // GROUPS, (group + 1) * FLIPS // GROUPS)
    wrong = flip_all(roots, seeds, tmp_path / "root")
    assert wrong == [], f"ALPHAQCM_SEED={FIRST_SEED}"


@pytest.mark.soak
@pytest.mark.skipif(os.environ.get("ALPHAQCM_SOAK") != "1", reason="ALPHAQCM_SOAK=1 asks for it")
@pytest.mark.timeout(0)
def test_no_bit_of_thousands_ends_in_a_wrong_table(roots: FlippedRoots, tmp_path: Path) -> None:
    wrong = flip_all(roots, range(FLIPS, FLIPS + SOAK), tmp_path / "root")
    assert wrong == [], f"ALPHAQCM_SEED={FIRST_SEED}"
