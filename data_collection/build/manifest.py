"""The manifest beside a table: what it is made of, what it holds, and how to prove it.

`final_dataset_all.manifest.json` lies beside `final_dataset_all.parquet`. Every symbol carries the
digest of its own fingerprint, which names the month files, which name the archive's ZIPs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from alphaqcm._version import __version__
from alphaqcm.data_collection.build.settings import RunSettings
from alphaqcm.data_collection.errors import UsageError
from alphaqcm.pipeline.domain.date_range import DateRange
from alphaqcm.pipeline.domain.registry import parse_market
from alphaqcm.pipeline.domain.symbol import Symbol
from alphaqcm.pipeline.errors import LayerError
from alphaqcm.pipeline.features.columns import COLUMNS
from alphaqcm.pipeline.features.columns import VERSION as COLUMNS_VERSION
from alphaqcm.pipeline.storage.artifact import Input, read_fingerprint, read_json
from alphaqcm.pipeline.storage.checksum import sha256_of, sha256_of_stream
from alphaqcm.pipeline.storage.file_digest import Proof, sealed_json
from alphaqcm.pipeline.storage.file_store import LOCAL, FileStore
from alphaqcm.pipeline.storage.layout import Layout
from alphaqcm.pipeline.storage.verified_read import examine
from alphaqcm.pipeline.tables.append_rows import table_inputs
from alphaqcm.pipeline.tables.symbol_table import input_files, table_fingerprint
from alphaqcm.pipeline.tables.table_file import held_symbols

FORMAT = 1


@dataclass(frozen=True, slots=True)
class SymbolEntry:
    """One symbol of the table: its rows, and the digest of what they were made from."""

    rows: int
    first: str  # ISO 8601, start of the first hour
    last: str
    fingerprint: str = ""  # empty in a table made of another table


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `alphaqcm check` found on this very table."""

    worst: str
    counts: Mapping[str, int]
    checked_at: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything that is told of one table."""

    table: str  # file name
    sha256: str
    bytes: int
    rows: int
    columns: tuple[str, ...]
    symbols: Mapping[str, SymbolEntry]
    start: str
    end: str
    market: str
    source: str
    code_version: str
    columns_version: int
    libraries: Mapping[str, str]
    created_at: str
    checks: Verdict | None = None
    format: int = FORMAT
    digest_of_table: str = ""  # the XXH3 that the table carries; empty before 0.2.0

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Manifest:
        """Read the JSON form; raises KeyError or TypeError where it is none."""
        told = dict(data)
        told["columns"] = tuple(told["columns"])
        told["symbols"] = {name: SymbolEntry(**entry) for name, entry in told["symbols"].items()}
        told["checks"] = None if told["checks"] is None else Verdict(**told["checks"])
        return cls(**told)


def manifest_path(table: Path) -> Path:
    """Where the manifest of `table` lies."""
    return table.with_suffix(".manifest.json")


def library_versions() -> dict[str, str]:
    """The libraries whose version can change a byte of the table."""
    return {name: version(name) for name in ("numba", "numpy", "polars", "pyarrow")}


def describe(
    settings: RunSettings, table: Path, created_at: str, sha256: str | None = None
) -> Manifest:
    """Tell everything about `table`; `created_at` is ISO 8601, `sha256` its checksum if known."""
    store = settings.layout.store
    made_of = table_inputs(table, store)
    entries = {
        held.symbol: SymbolEntry(held.rows, held.first, held.last, made_of.get(held.symbol, ""))
        for held in held_symbols(table, store)
    }
    columns, size = COLUMNS, 0
    if (told := store.written(table)) is not None:
        sha256, size = told.sha256, told.size
    else:
        with store.open(table) as stream:
            columns = tuple(pq.read_schema(stream).names)
            stream.seek(0)
            sha256 = sha256 or sha256_of_stream(stream)
            size = stream.seek(0, 2)
    return Manifest(
        table=table.name,
        sha256=sha256,
        bytes=size,
        rows=sum(entry.rows for entry in entries.values()),
        columns=columns,
        symbols=entries,
        start=settings.span.start.isoformat(),
        end=settings.span.end.isoformat(),
        market=settings.market.value,
        source=settings.source,
        code_version=__version__,
        columns_version=COLUMNS_VERSION,
        libraries=library_versions(),
        created_at=created_at,
        digest_of_table=examine(table, store).digest,
    )


def write_manifest(table: Path, manifest: Manifest, store: FileStore = LOCAL) -> Path:
    """Write the manifest beside its table."""
    path = manifest_path(table)
    store.replace(path, sealed_json(asdict(manifest), indent=True))
    return path


def read_manifest(table: Path) -> Manifest:
    """The manifest beside `table`; raises `UsageError` where there is none or it is damaged."""
    path = manifest_path(table)
    found = proven_manifest(table)
    if found is None:
        raise UsageError(
            path,
            expected=f"the manifest of {table.name}",
            found="none" if not path.exists() else "a damaged file",
            next_step="alphaqcm run, build or update writes it with the table",
        )
    return found


def proven_manifest(table: Path, store: FileStore = LOCAL) -> Manifest | None:
    """The manifest beside `table`, None where there is none or it is damaged."""
    told = read_json(manifest_path(table), store)
    try:
        return None if told is None else Manifest.from_dict(told)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def is_described(table: Path, store: FileStore = LOCAL) -> bool:
    """Whether a whole manifest lies beside `table` and describes this very file.

    A table that carries its own digest proves itself; of an older one the SHA-256 is taken.
    """
    manifest, stat = proven_manifest(table, store), store.stat(table)
    if manifest is None or stat is None or manifest.bytes != stat.size:
        return False
    seen = examine(table, store)
    if seen.proof is Proof.DAMAGED:
        return False
    if seen.digest and manifest.digest_of_table:
        return seen.digest == manifest.digest_of_table
    with store.open(table) as stream:
        return manifest.sha256 == sha256_of_stream(stream)


def add_verdict(table: Path, sha256: str, verdict: Verdict) -> bool:
    """Add what the checks found of the table with this SHA-256.

    False where the manifest is of another table, or there is none.
    """
    try:
        manifest = read_manifest(table)
    except UsageError:
        return False
    if manifest.sha256 != sha256:
        return False
    write_manifest(table, replace(manifest, checks=verdict))
    return True


def archive_files(root: Path, manifest: Manifest) -> Iterator[tuple[str, Input]]:
    """Every archive file behind a table: the table's symbol, its key and SHA-256.

    Follows the fingerprints: the table's of each symbol, the month files', the ZIPs'. Raises
    `LayerError` where a month file is not the one that the table was made from.
    """
    market = parse_market(manifest.market)
    layout = Layout(root, market)
    span = DateRange(date.fromisoformat(manifest.start), date.fromisoformat(manifest.end))
    for name, entry in manifest.symbols.items():
        symbol = Symbol.parse(name, market)
        if table_fingerprint(layout, symbol, span).digest != entry.fingerprint:
            raise LayerError(
                f"{name} in {manifest.table}",
                expected="the month files that its rows were made from",
                found="others: they changed since",
                next_step="alphaqcm update or run, then ask again",
            )
        months = input_files(layout, symbol, span).values()
        for path in (path for paths in months for path in paths.values()):
            fingerprint = read_fingerprint(path)
            for item in fingerprint.inputs if fingerprint else ():
                yield name, item


def disagreements(table: Path, manifest: Manifest) -> list[str]:
    """How the table differs from its manifest; empty when it is the very table."""
    size = table.stat().st_size
    if size != manifest.bytes:
        return [f"expected {manifest.bytes:,} bytes, found {size:,}"]
    found = sha256_of(table)
    if found != manifest.sha256:
        return [f"expected SHA-256 {manifest.sha256}, found {found}"]
    metadata = pq.read_metadata(table)
    problems = []
    if metadata.num_rows != manifest.rows:
        problems.append(f"expected {manifest.rows:,} rows, found {metadata.num_rows:,}")
    if tuple(metadata.schema.to_arrow_schema().names) != manifest.columns:
        problems.append(f"expected the {len(manifest.columns)} columns of the manifest")
    return problems
