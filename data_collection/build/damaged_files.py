"""Files of a data root that are not what was written: told, adopted, made again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from alphaqcm.data_collection.build.manifest import manifest_path, proven_manifest
from alphaqcm.pipeline.domain.registry import Market
from alphaqcm.pipeline.storage.adopted_digests import keep_digests, kept_digests
from alphaqcm.pipeline.storage.checksum import sha256_of, xxh3_of_bytes
from alphaqcm.pipeline.storage.file_digest import Proof, proof_of, sealed_json
from alphaqcm.pipeline.storage.file_store import LOCAL
from alphaqcm.pipeline.storage.layout import Layout, layer
from alphaqcm.pipeline.storage.verified_read import forget_examined, read_json
from alphaqcm.pipeline.tables.layer_audit import adopt, audit_layers

STATE = ("run*.json", "update.json", "final_dataset*.json", "integrity*.json")
"""Small files of the working folder that are believed only when they prove themselves."""


def adopt_once(layout: Layout) -> None:
    """Keep digests of what an older release left without, once for each market of a data root."""
    if layout.store is not LOCAL:
        return  # no older release wrote into an object store
    name = "integrity.json" if layout.market is Market.UM else f"integrity-{layout.market}.json"
    marker = layout.temp / name
    if read_json(marker) is None:
        kept = adopt(layout, _is_of_its_manifest)
        _adopt_manifests(layout)
        layout.store.replace(marker, sealed_json({"format": 1, "adopted": kept}))


def _adopt_manifests(layout: Layout) -> None:
    """Keep digests of the manifests beside tables of which one was kept."""
    kept = kept_digests(layout.base)
    if kept is None:
        return
    own = {}
    for name in kept:
        path = manifest_path(layout.base / name)
        if (data := LOCAL.read(path)) and proof_of(data) is Proof.UNSEALED:
            own[path.name] = xxh3_of_bytes(data)
    keep_digests(layout.base, {**kept, **own})
    forget_examined()


def _is_of_its_manifest(table: Path) -> bool:
    manifest = proven_manifest(table)
    return manifest is not None and manifest.sha256 == sha256_of(table)


def damaged_files(layout: Layout) -> Iterator[Path]:
    """Every file of the market's layers, tables and state that is not what was written."""
    for found in audit_layers(layout):
        if found.proof is Proof.DAMAGED:
            yield found.path
    tables = layout.files(layer("final"))
    for path in (
        *(path for pattern in STATE for path in LOCAL.list(layout.temp, pattern)),
        *(path for table in tables if LOCAL.stat(path := manifest_path(table))),
    ):
        if read_json(path) is None:
            yield path
