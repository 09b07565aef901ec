"""Where each layer lies, how its files are written, and when they are current.

A *layer* is a directory of files, one a symbol or one a symbol and month. A file is written to a
temp file beside it, synced and renamed, so that it is whole or not there. Its *fingerprint* (layer
name, version of the code that makes it, checksums of its inputs) is written into it: a file is
current when the fingerprint it carries equals the one it should have, never because it exists.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import orjson
import polars as pl
import pyarrow.parquet as pq

from alphaqcm.pipeline.domain.archive_file import Period, Symbol
from alphaqcm.pipeline.domain.registry import DataType, Market
from alphaqcm.pipeline.errors import LayerError, layer_error

FOOTER_KEY = "alphaqcm"
_TEMP_SUFFIX = ".tmp"


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


def month_name(month: Period) -> str:
    """The name of a month's file in its symbol's folder."""
    return f"{month.stamp}.parquet"


@dataclass(frozen=True, slots=True)
class Layout:
    """Every directory of a data root for one market (`docs`: AlphaQCM_data/README.md).

    `root` is the data root itself; other markets than um live in a folder of their own below it.
    `overrides` moves single month layers elsewhere, for the worker commands that name directories.
    """

    root: Path
    market: Market = Market.UM
    overrides: Mapping[str, Path] = field(default_factory=dict)

    @property
    def base(self) -> Path:
        """The market's own root."""
        return self.root if self.market is Market.UM else self.root / self.market.value

    @property
    def temp(self) -> Path:
        """Working files: cache, logs, state."""
        return self.overrides.get("temp", self.root / "_tmp")

    @property
    def cache(self) -> Path:
        """Verified archive ZIPs in the archive's own tree, all markets together."""
        return self.temp / "binance_vision"

    def months(self, data_type: DataType, interval: str = "") -> Path:
        """Directory of the month files of a type: `{EXCH}/{YYYY-MM}.parquet` below it."""
        if data_type is DataType.AGGTRADES:
            return self.overrides.get("aggtrades_1m", self.base / "binance_aggTrades_1m_parquet")
        if data_type is DataType.KLINES and interval == "1m":
            return self.base / "binance_klines_1m_parquet"
        name = f"{data_type}_{interval}" if interval else f"{data_type}"
        return self.temp / "months" / self.market.value / name

    def month_file(self, data_type: DataType, interval: str, symbol: str, month: Period) -> Path:
        """The month file of one series."""
        return self.months(data_type, interval) / symbol / month_name(month)

    def hourly(self, data_type: DataType) -> Path:
        """Directory of the hourly CSVs of an archive type."""
        if data_type is DataType.AGGTRADES:
            return self.overrides.get("aggtrades_hourly", self.base / "binance_aggTrades")
        if data_type in (DataType.FUNDING, DataType.METRICS):
            return self.base / f"binance_{data_type}"
        return self.base / f"binance_{data_type}_1h"

    def hourly_file(self, data_type: DataType, symbol: str) -> Path:
        """The hourly CSV of a symbol (exchange name)."""
        return self.hourly(data_type) / f"{symbol}_{data_type}.csv"

    def stage_file(self, stage: str, symbol: Symbol) -> Path:
        """A `crypto_*` stage's CSV; `stage` is one of STAGES."""
        return self.base / stage / f"{symbol.table}_{STAGES[stage]}.csv"

    def symbol_table(self, symbol: Symbol) -> Path:
        """The symbol's own columns of the wide table, before the cross-section (parquet)."""
        return self.temp / "symbol_tables" / f"{symbol.exchange}.parquet"

    def final_dir(self, variant: str = "") -> Path:
        """`final_dataset` or `final_dataset_{variant}`."""
        return self.base / ("final_dataset" + (f"_{variant}" if variant else ""))

    def final_file(self, symbol: Symbol, variant: str = "") -> Path:
        """A symbol's CSV of the final table."""
        return self.final_dir(variant) / f"{symbol.table}_final.csv"

    def final_table(self, variant: str = "") -> Path:
        """The one table."""
        return self.base / (self.final_dir(variant).name + "_all.parquet")

    @property
    def training(self) -> Path:
        """Training sets."""
        return self.base / "training"


STAGES = {
    "crypto_1min": "1m",
    "crypto_hourly_basic": "hourly",
    "crypto_hourly_full": "hourly_full",
    "crypto_hourly_cleaned": "cleaned",
    "crypto_hourly_momentum": "momentum",
    "crypto_hourly_volatility": "volatility",
}


CommitHook = Callable[[], AbstractContextManager[None]]
"""Entered around the renames of a commit; raising there throws the written files away."""


class AtomicBatch:
    """Files that appear together: written to temp files, synced, then renamed one after another.

    `add` gives the temp path to write; `commit` syncs and renames all; leaving the block without a
    commit removes what was written. Temp files stay locked by this process while they live, so that
    `clean_temps` can tell the leftovers of dead processes from files at work.
    Raises `LayerError` or `DiskFull`. Until the first rename all targets are untouched; a crash
    between two renames leaves new files beside old ones, so the file that says what the others are
    (a completion marker, a table's footer) is added last.
    """

    def __init__(self) -> None:
        self._files: list[tuple[int, Path, Path]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> None:
        for descriptor, temp, _target in self._files:
            with contextlib.suppress(FileNotFoundError):
                temp.unlink()
            os.close(descriptor)
        target = self._files[-1][2] if self._files else None
        self._files.clear()
        if isinstance(error, OSError) and target is not None:
            raise layer_error(target, error) from error

    def add(self, path: Path) -> Path:
        """A fresh temp path beside `path`."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            while True:
                descriptor, name = tempfile.mkstemp(
                    prefix=f".{path.name}.", suffix=_TEMP_SUFFIX, dir=path.parent
                )
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                if os.fstat(descriptor).st_nlink:
                    break
                os.close(descriptor)  # somebody cleaned it away before it was locked
            os.fchmod(descriptor, 0o644)
        except OSError as error:
            raise layer_error(path, error) from error
        self._files.append((descriptor, Path(name), path))
        return Path(name)

    def commit(self, gate: CommitHook = contextlib.nullcontext) -> None:
        """Sync every file, then rename them all inside `gate`."""
        for _, temp, _ in self._files:
            _sync(temp)
        with gate():
            for _, temp, target in self._files:
                temp.replace(target)
            for folder in {target.parent for _, _, target in self._files}:
                _sync(folder)


@contextlib.contextmanager
def atomic_write(path: Path, gate: CommitHook = contextlib.nullcontext) -> Iterator[Path]:
    """Give a temp path beside `path`; sync and rename it when the block ends well."""
    with AtomicBatch() as batch:
        yield batch.add(path)
        batch.commit(gate)


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` atomically."""
    with atomic_write(path) as temp:
        temp.write_bytes(data)


def clean_temps(directory: Path) -> int:
    """Remove the temp files that dead processes left below `directory`; return how many."""
    removed = 0
    for temp in directory.rglob(f".*{_TEMP_SUFFIX}"):
        try:
            with temp.open("rb") as stream:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                temp.unlink()
                removed += 1
        except OSError:
            continue  # at work in a live process, or gone meanwhile
    return removed


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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
