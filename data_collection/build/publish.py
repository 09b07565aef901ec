"""Write the final table, its CSVs, variants and manifest, from the symbols that are done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from alphaqcm.data_collection.build.manifest import (
    describe,
    is_described,
    manifest_path,
    proven_manifest,
    write_manifest,
)
from alphaqcm.data_collection.build.run.progress import RunProgress
from alphaqcm.data_collection.build.settings import RunSettings
from alphaqcm.data_collection.build.task import Stage
from alphaqcm.data_collection.errors import UsageError
from alphaqcm.pipeline.domain.registry import Market
from alphaqcm.pipeline.domain.symbol import Symbol
from alphaqcm.pipeline.features.columns import COLUMNS
from alphaqcm.pipeline.storage.file_digest import Proof
from alphaqcm.pipeline.storage.file_store import FileStore
from alphaqcm.pipeline.storage.verified_read import examine
from alphaqcm.pipeline.tables.final_csv import write_final_csvs
from alphaqcm.pipeline.tables.partitioned_table import write_partitions
from alphaqcm.pipeline.tables.symbol_table import require_wide
from alphaqcm.pipeline.tables.wide_table import LeftOut, WideTable, build_complete, build_final

COMPLETE_NAME = "complete_metrics"


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the run, as the summary tells it."""

    path: Path | str  # as its user knows it
    rows: int
    symbols: int
    written: bool
    healed: bool = False  # it or its manifest was damaged on the disk
    columns: int = len(COLUMNS)
    left_out: Mapping[str, str] = field(default_factory=dict)


def check_complete(settings: RunSettings, complete: str | None, name: str | None) -> None:
    """Refuse early what cannot be published; raises `Undefined`, `UsageError`."""
    if complete:
        require_wide(settings.market)
    if name and not complete:
        raise UsageError(f"--name {name}", expected="--complete metrics beside it")


def publish(
    settings: RunSettings,
    progress: RunProgress,
    complete: str | None = None,
    name: str | None = None,
    *,
    partitions: bool = False,
) -> list[Table]:
    """Build the table of the run's symbols, and what was asked for beside it.

    None where a step failed (a table without some symbols would take the place of a better one),
    where no symbol has a 1m kline in range, and for markets that end at the hourly layers.
    """
    if settings.market is not Market.UM or progress.failures:
        return []
    layout = settings.layout
    if not built_symbols(settings, progress):
        return []
    damaged = _is_damaged(layout.final_table(), layout.store)
    tables = [_told(settings, publish_full(settings, progress), damaged)]
    write_final_csvs(layout)
    if partitions:
        write_partitions(layout)
    if complete:
        variant = name or COMPLETE_NAME
        damaged = _is_damaged(layout.final_table(variant), layout.store)
        table, left_out = build_complete(layout, settings.span, variant)
        _write_manifest(settings, table)
        write_final_csvs(layout, variant, left_out)
        tables.append(_told(settings, table, damaged, left_out))
    return tables


def _is_damaged(table: Path, store: FileStore) -> bool:
    """Whether a table or its manifest lies there and is not what was written."""
    there = store.stat(manifest_path(table)) is not None
    torn_manifest = there and proven_manifest(table, store) is None
    return torn_manifest or examine(table, store).proof is Proof.DAMAGED


def built_symbols(settings: RunSettings, progress: RunProgress) -> list[Symbol]:
    """The symbols that have rows for the table."""
    return [
        Symbol(settings.market, task.symbol)
        for task, outcome in progress.outcomes.items()
        if task.stage is Stage.FACTORS and outcome.rows
    ]


def publish_full(settings: RunSettings, progress: RunProgress) -> WideTable:
    """The table of all symbols that have rows, with its manifest; raises as `build_final`."""
    table = build_final(settings.layout, built_symbols(settings, progress), settings.span)
    _write_manifest(settings, table)
    return table


def _write_manifest(settings: RunSettings, table: WideTable) -> None:
    """Write the table's manifest, unless the one that lies there describes this very table.

    The table is proven by now: it was just written, or found current by its own digest.
    """
    store = settings.layout.store
    if table.built or not is_described(table.path, store):
        now = datetime.now(UTC).isoformat(timespec="seconds")
        write_manifest(table.path, describe(settings, table.path, now), store)


def _told(
    settings: RunSettings, table: WideTable, healed: bool, left_out: tuple[LeftOut, ...] = ()
) -> Table:
    return Table(
        path=settings.shown(table.path) if settings.store else table.path,
        rows=table.rows,
        symbols=len(table.symbols),
        written=table.built,
        healed=healed,
        left_out={item.symbol: item.reason for item in left_out},
    )
