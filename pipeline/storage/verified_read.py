"""Verify a file's digest before it is read, and read frames and records of verified files.

Rows and records are taken from proven bytes only: nothing opens a file that does not hold. Polars
and DuckDB verify nothing by themselves.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from alphaqcm.pipeline.errors import DamagedFile, LayerError, layer_error
from alphaqcm.pipeline.storage.adopted_digests import kept_digests
from alphaqcm.pipeline.storage.checksum import xxh3_of, xxh3_of_bytes, xxh3_of_stream
from alphaqcm.pipeline.storage.file_digest import (
    Proof,
    footer_of,
    open_json,
    proof_of,
    proof_of_stream,
    told_digest,
)
from alphaqcm.pipeline.storage.file_store import LOCAL, FileStore
from alphaqcm.pipeline.storage.fingerprint import Fingerprint
from alphaqcm.pipeline.storage.proven_versions import lately_proven

FOOTER_KEY = "alphaqcm"
CSV_DIGEST = "xxh3_128"
"""Entry of a sidecar: the digest of its CSV."""
SIDECAR_SUFFIX = ".meta.json"

_IN_MEMORY = 1 << 25  # bytes: a larger parquet is proven piece by piece
_REMEMBERED = 4096  # files; a run asks for a symbol's month files three times in a row


@dataclass(frozen=True, slots=True)
class Record:
    """What a file of a layer tells of itself: what it was made of, and what was met on the way."""

    fingerprint: Fingerprint
    report: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Examined:
    """What was found at a path: `proof` is None where there is no file."""

    proof: Proof | None
    record: Record | None
    digest: str = ""  # that it carries itself, proven; empty where it carries none

    @property
    def is_usable(self) -> bool:
        """Whether it is a file of ours that may be read."""
        return self.record is not None and self.proof is not Proof.DAMAGED


_NOTHING = Examined(None, None)
_DAMAGED = Examined(Proof.DAMAGED, None)


def examine(path: Path, store: FileStore = LOCAL) -> Examined:
    """Read the whole file and hold it against its digest; its record where it has one.

    What was found is remembered by this process until the file is written again. In a `trusting`
    block what was proven lately and not touched since counts as whole: rows are never taken so, see
    `require_whole`. Raises `LayerError` where it cannot be read for another reason than its bytes.
    """
    lately = lately_proven() if store is LOCAL else None
    stat = store.stat(path) if lately is not None else None
    if lately is None or stat is None or path.suffix == ".csv":
        return _look(path, store)
    known = lately.digest_of(path, stat)
    if known and (seen := _glance(path, stat.version, known)) is not None:
        return seen
    found = _look(path, store)
    if found.proof is Proof.WHOLE and found.digest:
        lately.add(path, stat, found.digest)
    return found


def _look(path: Path, store: FileStore) -> Examined:
    stat = store.stat(path)
    if stat is None:
        return _NOTHING
    if path.suffix == ".csv":
        beside = store.stat(sidecar_path(path))
        return _NOTHING if beside is None else _examine(path, stat.version + beside.version, store)
    sent = _SENT.get((path, store))
    if sent is not None and sent[0] == stat.version:
        return sent[1]
    return _examine(path, stat.version, store)


_SENT: dict[tuple[Path, FileStore], tuple[tuple[int, ...], Examined]] = {}
"""The tables that this process sent to a store, which need not be read back to be known."""


@lru_cache(_REMEMBERED)
def _glance(path: Path, _version: tuple[int, ...], digest: str) -> Examined | None:
    """What a parquet of this digest tells of itself, by its footer alone; None where it cannot."""
    try:
        with path.open("rb") as stream:
            footer = footer_of(stream)
        if footer is None or told_digest(footer) != digest:
            return None
        record = _record_of(footer)
    except (OSError, ValueError, IndexError):
        return None
    return None if record is None else Examined(Proof.WHOLE, record, digest)


@lru_cache(_REMEMBERED)
def _examine(path: Path, _version: tuple[int, ...], store: FileStore) -> Examined:
    return _KINDS.get(path.suffix, _examine_parquet)(path, store)


def remember_written(path: Path, store: FileStore, record: Record) -> None:
    """Take what was just sealed for examined, where the store knows that it is there as sent."""
    told, stat = store.written(path), store.stat(path)
    if told is not None and stat is not None:
        _SENT[path, store] = stat.version, Examined(Proof.WHOLE, record, told.digest)


def forget_examined() -> None:
    """Look at every file again: what is kept of files without a digest has changed."""
    _examine.cache_clear()
    _glance.cache_clear()


def _examine_parquet(path: Path, store: FileStore) -> Examined:
    stat = store.stat(path)
    if stat is None:
        return _NOTHING
    try:
        if stat.size > _IN_MEMORY:
            with store.open(path) as stream:
                own, told = proof_of_stream(stream)
                proof = _with_kept(path, own, lambda: _xxh3_of(path, store), store)
                return _read(proof, lambda: record_in(pq.read_metadata(stream)), told)
        data = store.read(path) or b""
        own = proof_of(data)
        proof = _with_kept(path, own, lambda: xxh3_of_bytes(data), store)
        return _read(proof, lambda: _record_of(data), told_digest(data))
    except OSError as error:
        raise layer_error(path, error) from error


def _read(proof: Proof, read: Callable[[], Record | None], digest: str) -> Examined:
    if proof is Proof.DAMAGED:
        return _DAMAGED
    try:
        record = read()
    except (OSError, ValueError, IndexError):  # pyarrow's words for what is no parquet
        return _DAMAGED
    return Examined(proof, record, digest)


_ENTRY = bytes([0x18, len(FOOTER_KEY)]) + FOOTER_KEY.encode() + b"\x18"
"""The key of a parquet's entry and the head of its value, in Thrift's compact protocol."""


def _record_of(data: bytes) -> Record | None:
    """`record_in` of a whole file that is proven: its footer need not be decoded for that."""
    at = data.rfind(_ENTRY)
    if at < 0:
        return record_in(pq.read_metadata(pa.BufferReader(data)))
    at += len(_ENTRY)
    length = shift = 0
    while True:
        byte = data[at]
        at += 1
        length |= (byte & 0x7F) << shift
        if byte < 0x80:
            return _record(data[at : at + length])
        shift += 7


def _record(text: bytes) -> Record | None:
    try:
        told = orjson.loads(text)
        return Record(Fingerprint.from_dict(told["fingerprint"]), dict(told["report"]))
    except (KeyError, TypeError, ValueError):
        return None


def _examine_csv(path: Path, store: FileStore) -> Examined:
    """A CSV by its sidecar: damaged where either of them is not what was written."""
    beside, stat = store.read(sidecar_path(path)), store.stat(path)
    if beside is None or stat is None:
        return _NOTHING
    told = open_json(beside)
    try:
        if told is None or stat.size != told["bytes"]:
            return _DAMAGED
        record = Record(Fingerprint.from_dict(told["fingerprint"]), told)
    except (KeyError, TypeError, ValueError):
        return _DAMAGED
    proof = glance_at_csv(path, told.get(CSV_DIGEST), store)
    return _DAMAGED if proof is Proof.DAMAGED else Examined(proof, record)


_KINDS: dict[str, Callable[[Path, FileStore], Examined]] = {".csv": _examine_csv}


def prove(path: Path, data: bytes, store: FileStore = LOCAL) -> Proof:
    """Whether the file at `path`, whose bytes are `data`, is as it was written."""
    return _with_kept(path, proof_of(data), lambda: xxh3_of_bytes(data), store)


def prove_csv(path: Path, digest: str | None, store: FileStore = LOCAL) -> Proof:
    """Whether a CSV has this digest, or that which was kept of it; raises `LayerError`."""
    try:
        if digest is None:
            return _with_kept(path, Proof.UNSEALED, lambda: _xxh3_of(path, store), store)
        return Proof.WHOLE if _xxh3_of(path, store) == digest else Proof.DAMAGED
    except FileNotFoundError:
        return Proof.DAMAGED
    except OSError as error:
        raise layer_error(path, error) from error


def glance_at_csv(path: Path, digest: str | None, store: FileStore = LOCAL) -> Proof:
    """`prove_csv` for whoever takes no rows from it: see `trusting`."""
    lately = lately_proven() if store is LOCAL and digest else None
    stat = store.stat(path) if lately is not None else None
    if lately is None or stat is None or not digest:
        return prove_csv(path, digest, store)
    if lately.digest_of(path, stat) == digest:
        return Proof.WHOLE
    proof = prove_csv(path, digest, store)
    if proof is Proof.WHOLE:
        lately.add(path, stat, digest)
    return proof


def _xxh3_of(path: Path, store: FileStore) -> str:
    if store is LOCAL:
        return xxh3_of(path)  # without a buffer between
    if store.stat(path) is None:
        raise FileNotFoundError(path)
    with store.open(path) as stream:
        return xxh3_of_stream(stream)


def _with_kept(
    path: Path, proof: Proof, digest: Callable[[], str], store: FileStore = LOCAL
) -> Proof:
    """The proof, by the digest that was kept of the file where it carries none itself."""
    if proof is not Proof.UNSEALED:
        return proof
    kept = kept_digests(path.parent, store)
    if kept is None:
        return Proof.UNSEALED  # nothing here was adopted yet
    return Proof.WHOLE if kept.get(path.name) == digest() else Proof.DAMAGED


def read_proven(path: Path, store: FileStore = LOCAL) -> bytes:
    """A parquet's bytes; raises `DamagedFile`, and `LayerError` where there is none."""
    data = store.read(path)
    if data is None:
        raise LayerError(
            path,
            expected="a layer's file",
            found="none",
            next_step="run the same command again: it is made anew",
        )
    if prove(path, data, store) is Proof.DAMAGED:
        raise damaged(path)
    return data


def require_whole(path: Path, store: FileStore = LOCAL) -> None:
    """Raise `DamagedFile` where the file's bytes are not those that were written."""
    if _look(path, store).proof is Proof.DAMAGED:
        raise damaged(path)


def damaged(path: Path) -> DamagedFile:
    """The error that tells of it."""
    return DamagedFile(
        path,
        expected="the bytes that were written",
        found="others: it was damaged on the disk",
        next_step="alphaqcm run makes it again from what it was made of",
    )


def read_frame(
    path: Path, columns: Sequence[str] | None = None, store: FileStore = LOCAL
) -> pl.DataFrame:
    """A layer's parquet, or some of its columns; raises `DamagedFile`, `LayerError`."""
    data = read_proven(path, store)
    try:
        wanted = None if columns is None else list(columns)
        return pl.read_parquet(io.BytesIO(data), columns=wanted)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise LayerError(
            path,
            expected="a layer's file" + ("" if columns is None else " with " + ", ".join(columns)),
            found=str(error).splitlines()[0],
            next_step="remove it and run the same command again: it is made anew",
        ) from error


def read_record(path: Path, store: FileStore = LOCAL) -> Record | None:
    """What the file at `path` tells of itself; None where it is absent, damaged or none of ours."""
    try:
        found = examine(path, store)
    except LayerError:
        return None
    return found.record if found.is_usable else None


def record_in(metadata: pq.FileMetaData) -> Record | None:
    """The record in a parquet's footer that is read already; None where it has none of ours."""
    return _record((metadata.metadata or {}).get(FOOTER_KEY.encode(), b""))


def read_fingerprint(path: Path, store: FileStore = LOCAL) -> Fingerprint | None:
    """What the file at `path` says that it was made of, None when it says nothing."""
    record = read_record(path, store)
    return None if record is None else record.fingerprint


def sidecar_path(path: Path) -> Path:
    """Where the record of a CSV lies."""
    return path.with_name(path.name + SIDECAR_SUFFIX)


def read_json(path: Path, store: FileStore = LOCAL) -> dict[str, Any] | None:
    """A small JSON file of ours, None when it is not there, torn or damaged."""
    try:
        data = store.read(path)
    except LayerError:
        return None
    if data is None or prove(path, data, store) is Proof.DAMAGED:
        return None
    return open_json(data)
