"""Files prove their bytes: every single bit of each kind of file."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from alphaqcm.pipeline.errors import DamagedFile
from alphaqcm.pipeline.storage.adopted_digests import NAME, keep_digests, kept_digests
from alphaqcm.pipeline.storage.artifact import Artifact, Fingerprint, Input, sidecar_path
from alphaqcm.pipeline.storage.file_digest import (
    Proof,
    open_json,
    proof_of,
    proof_of_file,
    seal,
    sealed_json,
)
from alphaqcm.pipeline.storage.verified_read import (
    examine,
    forget_examined,
    read_frame,
    read_json,
    read_record,
)

MADE_OF = Fingerprint("test", 1, (Input("a/b.zip", "0" * 64),), (("start", "2024-01-01"),))
FRAME = pl.DataFrame({"time": range(40), "value": [i / 7 for i in range(40)], "text": ["ab"] * 40})


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    path = tmp_path / "a.parquet"
    Artifact(path, MADE_OF).write(FRAME, {"rows": 40, "problems": ['says "digest" itself']})
    return path


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_a_parquet_as_written_is_whole_and_tells_its_record(parquet: Path) -> None:
    seen = examine(parquet)
    assert (seen.proof, len(seen.digest)) == (Proof.WHOLE, 32)
    assert seen.record is not None
    assert seen.record.fingerprint == MADE_OF
    assert seen.record.report == {"rows": 40, "problems": ['says "digest" itself']}
    assert read_frame(parquet).equals(FRAME)
    assert read_frame(parquet, ["value"]).equals(FRAME.select("value"))


def test_every_single_bit_of_a_parquet_counts(parquet: Path) -> None:
    data = parquet.read_bytes()
    proofs = {proof_of(flipped(data, bit)) for bit in range(8 * len(data))}
    assert proofs == {Proof.DAMAGED}


def test_a_large_parquet_is_proven_as_a_small_one(parquet: Path) -> None:
    data = parquet.read_bytes()
    assert proof_of_file(parquet)[0] is Proof.WHOLE
    for bit in range(0, 8 * len(data), 331):
        parquet.write_bytes(flipped(data, bit))
        assert proof_of_file(parquet)[0] is Proof.DAMAGED, bit


def test_a_damaged_parquet_is_not_read(parquet: Path) -> None:
    parquet.write_bytes(flipped(parquet.read_bytes(), 99))
    assert read_record(parquet) is None
    assert not Artifact(parquet, MADE_OF).is_current()
    assert Artifact(parquet, MADE_OF).is_damaged()
    with pytest.raises(DamagedFile, match=r"a\.parquet.*damaged on the disk.*alphaqcm run"):
        read_frame(parquet)


def test_what_was_seen_once_is_looked_at_again_when_the_file_changes(parquet: Path) -> None:
    whole = parquet.read_bytes()
    assert Artifact(parquet, MADE_OF).is_current()
    parquet.write_bytes(flipped(whole, 500))
    assert not Artifact(parquet, MADE_OF).is_current()
    parquet.write_bytes(whole)
    assert Artifact(parquet, MADE_OF).is_current()


def test_equal_content_gives_equal_bytes(parquet: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.parquet"
    Artifact(again, MADE_OF).write(FRAME, {"problems": ['says "digest" itself'], "rows": 40})
    assert again.read_bytes() == parquet.read_bytes()


@pytest.mark.parametrize("which", [lambda path: path, sidecar_path], ids=["csv", "sidecar"])
def test_every_bit_of_a_csv_and_of_its_sidecar_counts(
    tmp_path: Path, which: Callable[[Path], Path]
) -> None:
    path = tmp_path / "a.csv"
    artifact = Artifact(path, MADE_OF)
    artifact.write(FRAME.head(5), {"rows": 5})
    assert artifact.is_current()
    target = which(path)
    data = target.read_bytes()
    for bit in range(0, 8 * len(data), 41):
        target.write_bytes(flipped(data, bit))
        assert not artifact.is_current(), bit


@pytest.mark.parametrize("indent", [True, False])
def test_every_bit_of_a_json_file_counts(tmp_path: Path, indent: bool) -> None:
    path = tmp_path / "a.json"
    told = {"symbols": ["BTCUSDT", "ETHUSDT"], "n": 1, "nested": {"digest": "mine"}}
    data = sealed_json(told, indent=indent)
    path.write_bytes(data)
    assert read_json(path) == told
    assert [bit for bit in range(8 * len(data)) if open_json(flipped(data, bit)) is not None] == []
    path.write_bytes(flipped(data, 77))
    assert read_json(path) is None


def test_a_json_file_of_an_older_release_is_read() -> None:
    assert open_json(b'{"symbols": ["BTCUSDT"]}') == {"symbols": ["BTCUSDT"]}


def test_only_a_file_with_room_for_it_is_sealed() -> None:
    with pytest.raises(ValueError, match="no place"):
        seal(b'{"symbols": []}')


def unsealed(path: Path) -> None:
    """A parquet as release 0.1.0 wrote it."""
    stream = io.BytesIO()
    FRAME.write_parquet(stream)
    path.write_bytes(stream.getvalue())


def test_a_file_without_a_digest_is_held_against_what_was_kept_of_it(tmp_path: Path) -> None:
    path = tmp_path / "old.parquet"
    unsealed(path)
    assert examine(path).proof is Proof.UNSEALED
    keep_digests(tmp_path, {"old.parquet": "0" * 32})
    forget_examined()
    assert examine(path).proof is Proof.DAMAGED
    with pytest.raises(DamagedFile):
        read_frame(path)


def test_a_flipped_bit_among_kept_digests_costs_one_entry(tmp_path: Path) -> None:
    digests = {"a b.csv": "1" * 32, "c.csv": "2" * 32}
    keep_digests(tmp_path, digests)
    assert kept_digests(tmp_path) == digests
    data = (tmp_path / NAME).read_bytes()
    line = data.index(b"\n")
    for bit in range(0, 8 * line, 3):
        (tmp_path / NAME).write_bytes(flipped(data, bit))
        assert (kept_digests(tmp_path) or {}).items() <= {"c.csv": "2" * 32}.items(), bit
