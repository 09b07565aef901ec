"""A layer's file as it should be: what it is made of, whether it is current, and writing it."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import polars as pl

from alphaqcm.pipeline.errors import LayerError, layer_error
from alphaqcm.pipeline.storage.atomic_write import CommitHook
from alphaqcm.pipeline.storage.checksum import xxh3_of
from alphaqcm.pipeline.storage.csv_file import write_csv
from alphaqcm.pipeline.storage.file_digest import DIGEST_KEY, UNSEALED, Proof, seal, sealed_json
from alphaqcm.pipeline.storage.file_store import LOCAL, Batch, FileStore
from alphaqcm.pipeline.storage.fingerprint import Fingerprint, Input
from alphaqcm.pipeline.storage.verified_read import (
    CSV_DIGEST,
    FOOTER_KEY,
    Record,
    examine,
    read_fingerprint,
    read_frame,
    read_json,
    read_record,
    record_in,
    sidecar_path,
)

__all__ = [
    "Artifact",
    "Fingerprint",
    "Input",
    "Record",
    "layer_inputs",
    "read_fingerprint",
    "read_frame",
    "read_json",
    "read_record",
    "record_in",
    "sidecar_path",
]


@dataclass(frozen=True, slots=True)
class Artifact:
    """A layer's file as it should be: where it lies, and what it is made of.

    A parquet carries its record in its footer, a CSV in a sidecar `{name}.meta.json` beside it: two
    encodings of one thing. A file is current when its bytes are those that were written and the
    fingerprint that it carries is the one that it should have, never because it exists.
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

    def is_damaged(self) -> bool:
        """Whether a file lies there whose bytes are not those that were written."""
        return examine(self.path, self.store).proof is Proof.DAMAGED

    def footer(self, report: Mapping[str, Any]) -> dict[str, str]:
        """The entry of a parquet's footer that says what it is, with room for its digest."""
        told = {"fingerprint": self.fingerprint.to_dict(), "report": dict(report)}
        # "digest" comes first by its name, and so before any text that the report quotes
        text = orjson.dumps({DIGEST_KEY: UNSEALED, **told}, option=orjson.OPT_SORT_KEYS)
        return {FOOTER_KEY: text.decode()}

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
        stream = io.BytesIO()
        try:
            frame.write_parquet(
                stream,
                compression="zstd",
                row_group_size=max(1, frame.height),
                metadata=dict(self.footer(report)),
            )
        except pl.exceptions.PolarsError as error:
            raise layer_error(self.path, error, "a frame that parquet can hold") from error
        temp.write_bytes(seal(stream.getvalue()))

    def add_sidecar(self, batch: Batch, written: Path, report: Mapping[str, Any]) -> None:
        """Add the record of a CSV, which lies in `written` for now, after it."""
        told = {
            **report,
            "bytes": written.stat().st_size,
            CSV_DIGEST: xxh3_of(written),
            "fingerprint": self.fingerprint.to_dict(),
        }
        batch.add(sidecar_path(self.path)).write_bytes(sealed_json(told, indent=True))


def layer_inputs(paths: Iterable[tuple[str, Path]], store: FileStore = LOCAL) -> tuple[Input, ...]:
    """Inputs that are layer files: each is known by the digest of its own fingerprint."""
    inputs = []
    for key, path in paths:
        seen = examine(path, store)
        if seen.record is None or seen.proof is Proof.DAMAGED:
            raise LayerError(
                path,
                expected="a layer's file with its fingerprint",
                found="none" if seen.proof is None else "a damaged or foreign file",
                next_step="run the same command again: it is rebuilt from the cache",
            )
        inputs.append(Input(key, seen.record.fingerprint.digest))
    return tuple(inputs)
