"""What a file was made of, carried by the file itself, and whether it is still current."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pyarrow.parquet as pq

from alphaqcm.pipeline.errors import LayerError, layer_error
from alphaqcm.pipeline.storage.atomic_write import CommitHook, atomic_write

FOOTER_KEY = "alphaqcm"


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


def write_parquet(
    frame: pl.DataFrame,
    path: Path,
    fingerprint: Fingerprint,
    report: Mapping[str, Any],
    gate: CommitHook = contextlib.nullcontext,
) -> None:
    """Write a layer's file: zstd, one row group, fingerprint and report in the footer."""
    with atomic_write(path, gate) as temp:
        try:
            frame.write_parquet(
                temp,
                compression="zstd",
                row_group_size=max(1, frame.height),
                metadata={FOOTER_KEY: footer_of(fingerprint, report)},
            )
        except pl.exceptions.PolarsError as error:
            raise layer_error(path, error, "a frame that parquet can hold") from error


def footer_of(fingerprint: Fingerprint, report: Mapping[str, Any]) -> str:
    """The JSON text that a layer's file carries."""
    return orjson.dumps(
        {"fingerprint": fingerprint.to_dict(), "report": dict(report)},
        option=orjson.OPT_SORT_KEYS,
    ).decode()


def read_footer(path: Path) -> dict[str, Any] | None:
    """`{"fingerprint": …, "report": …}` of a layer's parquet; None when it is none of ours."""
    try:
        return footer_in(pq.read_metadata(path))
    except (OSError, ValueError):
        return None  # absent, torn or foreign: not current, so it is made again


def footer_in(metadata: pq.FileMetaData) -> dict[str, Any] | None:
    """`read_footer` of a file whose metadata are read; raises `ValueError` for a damaged one."""
    text = (metadata.metadata or {}).get(FOOTER_KEY.encode())
    return None if text is None else dict(orjson.loads(text))


def read_fingerprint(path: Path) -> Fingerprint | None:
    """The fingerprint a layer's parquet carries, None when there is none."""
    footer = read_footer(path)
    try:
        return None if footer is None else Fingerprint.from_dict(footer["fingerprint"])
    except (KeyError, TypeError, ValueError):
        return None


def is_current(path: Path, fingerprint: Fingerprint) -> bool:
    """Whether `path` is the file that `fingerprint` describes."""
    return read_fingerprint(path) == fingerprint


def layer_inputs(paths: Iterable[tuple[str, Path]]) -> tuple[Input, ...]:
    """Inputs that are layer files: each is known by the digest of its own fingerprint."""
    inputs = []
    for key, path in paths:
        fingerprint = read_fingerprint(path)
        if fingerprint is None:
            raise LayerError(
                path,
                expected="a layer's file with its fingerprint",
                found="none" if not path.exists() else "a torn or foreign file",
                next_step="run the same command again: it is rebuilt from the cache",
            )
        inputs.append(Input(key, fingerprint.digest))
    return tuple(inputs)


def meta_path(path: Path) -> Path:
    """The completion marker of an hourly CSV."""
    return path.with_name(path.name + ".meta.json")


@dataclass(frozen=True, slots=True)
class Meta:
    """What a completion marker says of its CSV."""

    fingerprint: Fingerprint
    rows: int


def read_meta(path: Path) -> Meta | None:
    """The completion marker of the CSV at `path`; None when marker or CSV are not whole."""
    try:
        meta = orjson.loads(meta_path(path).read_bytes())
        if path.stat().st_size != meta["bytes"]:
            return None
        return Meta(Fingerprint.from_dict(meta["fingerprint"]), int(meta["rows"]))
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return None  # absent, torn or foreign: it is made again
