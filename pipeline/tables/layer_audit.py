"""Every file of a data root against the bytes that were written; and files of older releases."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from alphaqcm.pipeline.domain.registry import Market
from alphaqcm.pipeline.domain.symbol import Symbol
from alphaqcm.pipeline.errors import LayerError
from alphaqcm.pipeline.features.columns import STAGE_COLUMNS
from alphaqcm.pipeline.storage.adopted_digests import keep_digests, kept_digests
from alphaqcm.pipeline.storage.checksum import xxh3_of
from alphaqcm.pipeline.storage.file_digest import Proof
from alphaqcm.pipeline.storage.layout import LAYERS, Encoding, Layer, Layout, layer
from alphaqcm.pipeline.storage.verified_read import (
    Record,
    examine,
    forget_examined,
    prove,
    prove_csv,
    read_frame,
    read_json,
)
from alphaqcm.pipeline.tables.symbol_table import SymbolReport


@dataclass(frozen=True, slots=True)
class ProvenFile:
    """A file of a layer, and what its bytes say."""

    layer: Layer
    path: Path
    proof: Proof


def audit_layers(layout: Layout, names: Collection[str] | None = None) -> Iterator[ProvenFile]:
    """Every file of every layer that rows come from, read whole and held against its digest.

    `names` are layers, None: all. A CSV of which nothing tells what it should be is left out: the
    next run writes it anew.
    """
    for each in LAYERS if names is None else map(layer, names):
        if each.encoding in (Encoding.PARQUET, Encoding.CSV_SIDECAR):
            for path in layout.files(each):
                proof = _proof_of(layout, path)
                if proof is not None:
                    yield ProvenFile(each, path, proof)
        elif each.encoding is Encoding.JSON:
            for path in layout.files(each):
                yield ProvenFile(each, path, _proof_of_json(layout, path))
    if layout.market is not Market.UM:
        return  # the working files beside are those of um's tables, which alone has any
    if names is None or any(layer(name).described_by == "symbol_tables" for name in names):
        yield from (one for one in _stages(layout) if names is None or one.layer.name in names)
    if names is None or "final_csv" in names:
        yield from _final_csvs(layout)


def _proof_of(layout: Layout, path: Path) -> Proof | None:
    try:
        return examine(path, layout.store).proof
    except LayerError:
        return Proof.DAMAGED  # it cannot be read at all


def _proof_of_json(layout: Layout, path: Path) -> Proof:
    if read_json(path, layout.store) is None:
        return Proof.DAMAGED
    return prove(path, layout.store.read(path) or b"")


def _stages(layout: Layout) -> Iterator[ProvenFile]:
    """The stages' CSVs, which the symbols' tables tell of."""
    for path in layout.files(layer("symbol_tables")):
        record = examine(path, layout.store).record
        if record is None:
            continue
        report = _symbol_report(record)
        symbol = Symbol(layout.market, path.stem)
        for stage in STAGE_COLUMNS if report is not None and report.stage_bytes else ():
            file = layout.stage_file(stage, symbol)
            digest = (report.stage_digests or {}).get(stage) if report else None
            yield ProvenFile(layer(stage), file, prove_csv(file, digest))


def _symbol_report(record: Record) -> SymbolReport | None:
    try:
        return SymbolReport.from_dict(record.report)
    except (KeyError, TypeError, ValueError):
        return None


def _final_csvs(layout: Layout) -> Iterator[ProvenFile]:
    """The final tables' CSVs, which the markers in the working files tell of."""
    for marker in layout.store.list(layout.temp, "final_dataset*.json"):
        told = read_json(marker, layout.store) or {}
        digests = told.get("digests", {})
        folder = layout.base / marker.stem
        for name in told.get("bytes", {}):
            path = folder / name
            yield ProvenFile(layer("final_csv"), path, prove_csv(path, digests.get(name)))


def adopt(layout: Layout, vouch: Callable[[Path], bool]) -> int:
    """Keep digests of the files that releases before 0.2.0 wrote without; returns how many.

    Kept is the digest of what can be read whole and is what its own record tells; whatever is not
    counts as damaged from then on. `vouch` says whether a final table is the one that its manifest
    describes. Files that carry their digest are left alone.
    """
    folders: dict[Path, dict[str, str]] = defaultdict(dict)
    for found in audit_layers(layout):
        if found.proof is Proof.UNSEALED:
            kept = folders[found.path.parent]
            if _is_plausible(found, vouch):
                kept[found.path.name] = xxh3_of(found.path)
    for folder, digests in folders.items():
        before = kept_digests(folder, layout.store) or {}
        keep_digests(folder, {**before, **digests}, layout.store)
    forget_examined()
    return sum(len(digests) for digests in folders.values())


def _is_plausible(found: ProvenFile, vouch: Callable[[Path], bool]) -> bool:
    """Whether a file without a digest can be read whole, and holds as much as it says."""
    if found.layer.name == "final":
        return vouch(found.path)
    if found.layer.encoding is not Encoding.PARQUET:
        return True  # its size is what its record tells, or it would be damaged
    record = examine(found.path).record
    if record is None:
        return False
    try:
        rows = read_frame(found.path).height
    except (LayerError, pl.exceptions.PolarsError):
        return False
    return bool(rows == record.report.get("rows", rows))
