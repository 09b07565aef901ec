"""What a file was made of, carried by the file itself, and whether it is still current."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pyarrow.parquet as pq

from alphaqcm.pipeline.errors import LayerError, layer_error
from alphaqcm.pipeline.storage.atomic_write import CommitHook
from alphaqcm.pipeline.storage.csv_file import write_csv
from alphaqcm.pipeline.storage.file_store import LOCAL, Batch, FileStore

FOOTER_KEY = "alphaqcm"
SIDECAR_SUFFIX = ".meta.json"


@dataclass(frozen=True, slots=True, order=True)
class Input:
    """One thing a file was made from: an archive key or a layer's file, and its SHA-256."""

    key: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a layer's file is made of; equal fingerprints mean equal bytes, times aside."""

    layer: str
    version: int
    inputs: tuple[Input, ...]
    parameters: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        """Keep parameters in one order: files carry them sorted."""
        object.__setattr__(self, "parameters", tuple(sorted(self.parameters)))

    def to_dict(self) -> dict[str, Any]:
        """The JSON form that files carry."""
        return {
            "layer": self.layer,
            "version": self.version,
            "inputs": [[item.key, item.sha256] for item in self.inputs],
            "parameters": dict(self.parameters),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Fingerprint:
        """Read the JSON form."""
        return cls(
            layer=str(data["layer"]),
            version=int(data["version"]),
            inputs=tuple(Input(str(key), str(sha)) for key, sha in data["inputs"]),
            parameters=tuple((str(k), str(v)) for k, v in data.get("parameters", {}).items()),
        )

    @property
    def digest(self) -> str:
        """SHA-256 of the fingerprint: names the content of the file that carries it."""
        return hashlib.sha256(orjson.dumps(self.to_dict(), option=orjson.OPT_SORT_KEYS)).hexdigest()


@dataclass(frozen=True, slots=True)
class Record:
    """What a file of a layer tells of itself: what it was made of, and what was met on the way."""

    fingerprint: Fingerprint
    report: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Artifact:
    """A layer's file as it should be: where it lies, and what it is made of.

    A parquet carries its record in its footer, a CSV in a sidecar `{name}.meta.json` beside it: two
    encodings of one thing. A file is current when the fingerprint that it carries is the one that
    it should have, never because it exists.
    """

    path: Path
    fingerprint: Fingerprint
    store: FileStore = field(default=LOCAL, repr=False)

    def current(self) -> Record | None:
        """The record of the file that lies there, where it is this very one; else None."""
        record = read_record(self.path, self.store)
        return record if record is not None and record.fingerprint == self.fingerprint else None

    def is_current(self) -> bool:
        """Whether the file that lies there is this very one."""
        return self.current() is not None

    def footer(self, report: Mapping[str, Any]) -> dict[str, str]:
        """The entries of a parquet's footer that say what it is: its record."""
        told = {"fingerprint": self.fingerprint.to_dict(), "report": dict(report)}
        return {FOOTER_KEY: orjson.dumps(told, option=orjson.OPT_SORT_KEYS).decode()}

    def write(
        self,
        frame: pl.DataFrame,
        report: Mapping[str, Any],
        hook: CommitHook = contextlib.nullcontext,
    ) -> None:
        """Write the file and its record; `hook` is entered around their appearance.

        Raises `LayerError`, `DiskFull`.
        """
        with self.store.batch() as batch:
            self.add_to(batch, frame, report)
            batch.commit(hook)

    def add_to(self, batch: Batch, frame: pl.DataFrame, report: Mapping[str, Any]) -> None:
        """Write the file and its record into a batch: a parquet is zstd and one row group."""
        temp = batch.add(self.path)
        if self.path.suffix == ".csv":
            write_csv(frame, temp)
            self.add_sidecar(batch, temp, report)
            return
        try:
            frame.write_parquet(
                temp,
                compression="zstd",
                row_group_size=max(1, frame.height),
                metadata=dict(self.footer(report)),
            )
        except pl.exceptions.PolarsError as error:
            raise layer_error(self.path, error, "a frame that parquet can hold") from error

    def add_sidecar(self, batch: Batch, written: Path, report: Mapping[str, Any]) -> None:
        """Add the record of a CSV, which lies in `written` for now, after it."""
        told = {
            **report,
            "bytes": written.stat().st_size,
            "fingerprint": self.fingerprint.to_dict(),
        }
        batch.add(sidecar_path(self.path)).write_bytes(
            orjson.dumps(told, option=orjson.OPT_INDENT_2)
        )


def read_record(path: Path, store: FileStore = LOCAL) -> Record | None:
    """What the file at `path` tells of itself; None where it is absent, torn or none of ours."""
    return _ENCODINGS.get(path.suffix, _read_footer)(path, store)


def _read_footer(path: Path, store: FileStore) -> Record | None:
    try:
        with store.open(path) as stream:
            return record_in(pq.read_metadata(stream))
    except (LayerError, OSError, ValueError):
        return None  # absent, torn or foreign: not current, so it is made again


def _read_sidecar(path: Path, store: FileStore) -> Record | None:
    try:
        told = dict(orjson.loads(store.read(sidecar_path(path)) or b""))
        found = store.stat(path)
        if found is None or found.size != told["bytes"]:
            return None
        return Record(Fingerprint.from_dict(told["fingerprint"]), told)
    except (LayerError, KeyError, TypeError, ValueError):
        return None


_ENCODINGS: dict[str, Callable[[Path, FileStore], Record | None]] = {".csv": _read_sidecar}


def record_in(metadata: pq.FileMetaData) -> Record | None:
    """The record in a parquet's footer that is read already; None where it has none of ours."""
    try:
        told = orjson.loads((metadata.metadata or {})[FOOTER_KEY.encode()])
        return Record(Fingerprint.from_dict(told["fingerprint"]), dict(told["report"]))
    except (KeyError, TypeError, ValueError):
        return None


def read_fingerprint(path: Path) -> Fingerprint | None:
    """What the file at `path` says that it was made of, None when it says nothing."""
    record = read_record(path)
    return None if record is None else record.fingerprint


def layer_inputs(paths: Iterable[tuple[str, Path]]) -> tuple[Input, ...]:
    """Inputs that are layer files: each is known by the digest of its own fingerprint."""
    inputs = []
    for key, path in paths:
        fingerprint = read_fingerprint(path)
        if fingerprint is None:
            raise LayerError(
                path,
                expected="a layer's file with its fingerprint",
                found="none" if LOCAL.stat(path) is None else "a torn or foreign file",
                next_step="run the same command again: it is rebuilt from the cache",
            )
        inputs.append(Input(key, fingerprint.digest))
    return tuple(inputs)


def sidecar_path(path: Path) -> Path:
    """Where the record of a CSV lies."""
    return path.with_name(path.name + SIDECAR_SUFFIX)


def read_json(path: Path, store: FileStore = LOCAL) -> dict[str, Any] | None:
    """A small JSON file of ours, None when it is not there or torn."""
    try:
        return dict(orjson.loads(store.read(path) or b""))
    except (LayerError, ValueError, TypeError):
        return None
