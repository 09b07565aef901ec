"""The final table grown by new days: old rows from the table itself, only new ones computed.

A row depends on the hours before it and on the symbols beside it, never on later ones, but for the
columns that look over the whole range; those are computed again for every row. So the grown table
is, byte for byte, the one that a full build gives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from functools import cached_property, partial
from pathlib import Path
from typing import TypeVar

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from alphaqcm.pipeline.domain.archive_file import ArchiveFile
from alphaqcm.pipeline.domain.date_range import DateRange
from alphaqcm.pipeline.domain.period import Period
from alphaqcm.pipeline.domain.symbol import Symbol
from alphaqcm.pipeline.errors import LayerError, layer_error
from alphaqcm.pipeline.features.columns import (
    COLUMNS,
    CROSS_SECTION,
    SYMBOL_COLUMNS,
    VERSION,
    schema,
)
from alphaqcm.pipeline.features.cross_section import NEEDED, CrossSection, cross_section
from alphaqcm.pipeline.features.factors.assemble import Days, moment, own_columns
from alphaqcm.pipeline.features.factors.rolling import (
    LOOKBACK_COLUMNS,
    NOTHING_BEFORE,
    Lookback,
    with_volume_clean,
)
from alphaqcm.pipeline.storage.artifact import (
    Artifact,
    Fingerprint,
    Input,
    Record,
    read_fingerprint,
    read_record,
)
from alphaqcm.pipeline.storage.file_store import LOCAL, FileStore
from alphaqcm.pipeline.storage.layout import Layout
from alphaqcm.pipeline.storage.parquet_splice import ChunkRef, EncodedFile, Make, Splice
from alphaqcm.pipeline.storage.verified_read import examine
from alphaqcm.pipeline.tables.symbol_table import read_inputs
from alphaqcm.pipeline.tables.table_file import (
    SymbolRows,
    TableOptions,
    TableReport,
    arrow_schema,
    open_writer,
    to_arrow,
)
from alphaqcm.pipeline.tables.wide_table import LAYER, WideTable


class ExistingTable:
    """The final table at hand, read symbol by symbol; its groups hold one symbol each."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def _metadata(self) -> pq.FileMetaData:
        return pq.read_metadata(self.path)

    @cached_property
    def _groups(self) -> dict[str, list[int]]:
        groups: dict[str, list[int]] = {}
        for number in range(self._metadata.num_row_groups):
            name = self._metadata.row_group(number).column(0).statistics.min
            groups.setdefault(str(name), []).append(number)
        return groups

    @cached_property
    def _record(self) -> Record | None:
        return read_record(self.path)

    @property
    def fingerprint(self) -> Fingerprint | None:
        """What it was made of."""
        return None if self._record is None else self._record.fingerprint

    @property
    def metrics_last(self) -> Mapping[str, str | None]:
        """The last hour that has metrics, by symbol."""
        record = self._record
        return {} if record is None else TableReport.from_dict(record.report).metrics_last or {}

    def groups(self, symbol: str) -> list[int]:
        """Numbers of the symbol's row groups, in order."""
        return self._groups.get(symbol, [])

    def rows_in(self, group: int) -> int:
        """Rows of a row group."""
        return int(self._metadata.row_group(group).num_rows)

    def encoded_as(self, options: TableOptions) -> bool:
        """Whether a chunk of it has the bytes that one written now has."""
        told = self.fingerprint
        return (
            told is not None
            and dict(told.parameters).items() >= dict(options.parameters).items()
            and tuple(self._metadata.schema.to_arrow_schema().names) == COLUMNS
            and self._metadata.created_by.endswith(f" {pa.__version__}")
            and bool(examine(self.path).digest)  # else written before 0.2.0: no page checksums
        )

    def read(self, symbol: str, columns: Sequence[str], skip: int = 0) -> pl.DataFrame | None:
        """A symbol's rows after the first `skip` groups; None where the table has none of it.

        Raises `LayerError`.
        """
        try:
            groups = self.groups(symbol)[skip:]
            if not groups:
                return None
            with pq.ParquetFile(self.path, metadata=self._metadata) as file:
                frame = pl.from_arrow(file.read_row_groups(groups, columns=list(columns)))
        except (OSError, pa.ArrowException) as error:
            raise LayerError(
                self.path,
                expected="the final table of the last run",
                found=str(error).splitlines()[0],
                next_step="alphaqcm run makes it anew",
            ) from error
        return frame if isinstance(frame, pl.DataFrame) else None


@dataclass(frozen=True, slots=True)
class SymbolAppend:
    """What a symbol's rows become: the old ones before `since`, then `rows` (own columns)."""

    symbol: str  # the table's name
    since: date | None  # None: no input changed, all old rows stay
    rows: pl.DataFrame | None
    fingerprint: Fingerprint  # of the symbol's own columns
    metrics_last: str | None


def compute_append(
    table: ExistingTable,
    layout: Layout,
    symbol: Symbol,
    span: DateRange,
    since: date | None,
    fingerprint: Fingerprint,
) -> SymbolAppend:
    """Compute the rows of `symbol` from day `since` on, after those of `table` before it."""
    metrics_last = table.metrics_last.get(symbol.table)
    if since is None:
        return SymbolAppend(symbol.table, None, None, fingerprint, metrics_last)
    old = table.read(symbol.table, LOOKBACK_COLUMNS)
    before = NOTHING_BEFORE
    if old is not None and since > span.start:
        kept = old.filter(pl.col("datetime") < moment(since))
        if kept.height:
            before = Lookback.of(kept)
    inputs = read_inputs(layout, symbol, span, since)
    days = Days(span.start, span.end, since)
    rows, last = own_columns(symbol.table, inputs, days, before)
    return SymbolAppend(symbol.table, since, rows, fingerprint, last or metrics_last)


@dataclass(frozen=True, slots=True)
class GrownPart:
    """A symbol's own columns, old rows and new, for the cross-section and the file."""

    old: ExistingTable
    growth: SymbolAppend

    @property
    def symbol(self) -> str:
        """The table's name of the symbol."""
        return self.growth.symbol

    def read(self, columns: Sequence[str]) -> pl.DataFrame:
        """These own columns, in order of time; volume_clean is the old table's."""
        return self.read_after(0, columns)

    def read_after(self, skip: int, columns: Sequence[str]) -> pl.DataFrame:
        """The same for the rows after the old table's first `skip` groups of the symbol."""
        wanted = list(dict.fromkeys([*columns, "datetime"]))
        frame = self.old.read(self.symbol, wanted, skip)
        new = self.growth.rows
        if new is not None and self.growth.since is not None:
            cut = moment(self.growth.since)
            kept = [] if frame is None else [frame.filter(pl.col("datetime") < cut)]
            frame = pl.concat([*kept, new.select(wanted)])
        if frame is None:
            return pl.DataFrame(schema=schema(tuple(columns)))
        return frame.select(columns)

    def whole_groups(self, group_rows: int) -> int:
        """How many of the symbol's first groups keep all their rows."""
        full = 0
        since = self.growth.since
        kept = None if since is None else self._rows_before(since)
        for group in self.old.groups(self.symbol):
            rows = self.old.rows_in(group)
            if rows != group_rows or (kept is not None and (full + 1) * group_rows > kept):
                break
            full += 1
        return full

    def _rows_before(self, day: date) -> int:
        times = self.old.read(self.symbol, ["datetime"])
        return 0 if times is None else times.filter(pl.col("datetime") < moment(day)).height


@dataclass(frozen=True, slots=True)
class GrownTable:
    """The table written, and the SHA-256 of its bytes."""

    table: WideTable
    sha256: str


def write_appended(
    layout: Layout, growths: Iterable[SymbolAppend], span: DateRange, options: TableOptions
) -> GrownTable:
    """Write the grown table in the old one's place; who reads the old one keeps it.

    Row groups whose rows stay are copied as they are, but for the columns that look over the whole
    range or at other symbols. Symbols without a row are left out, as a full build leaves them out.
    """
    path = layout.final_table()
    old = ExistingTable(path)
    ordered = sorted(growths, key=lambda growth: growth.symbol.encode())
    every = [GrownPart(old, growth) for growth in ordered]
    parts = [part for part in every if part.read(["datetime"]).height]
    fingerprint = Fingerprint(
        LAYER,
        VERSION,
        tuple(Input(part.symbol, part.growth.fingerprint.digest) for part in parts),
        (*options.parameters, ("end", span.end.isoformat()), ("start", span.start.isoformat())),
    )
    section = cross_section(parts)
    make = partial(open_writer, options=options)
    try:
        with layout.store.open(path) as base_file, layout.store.batch() as batch:
            base = EncodedFile.of_file(base_file, path) if old.encoded_as(options) else None
            ready = partial(_ready, base=base, section=section, options=options, make=make)
            held = []
            with batch.add(path).open("wb") as out, Splice(out) as splice:
                for rows, groups in in_turn(ready, parts):
                    held.append(rows)
                    for group in groups:
                        splice.add(*group)
                last = {part.symbol: part.growth.metrics_last for part in parts}
                report = TableReport(tuple(held), last)
                artifact = Artifact(path, fingerprint, layout.store)
                splice.finish(arrow_schema(), make, artifact.footer(report.to_dict()))
            sha256 = splice.sha256
            batch.commit()
    except OSError as error:
        raise layer_error(path, error) from error
    return GrownTable(WideTable(path, tuple(held), built=True), sha256)


_WHOLE_RANGE = ("volume_clean", *CROSS_SECTION)
"""Columns of old rows that later days or other symbols can change."""

_Group = tuple[EncodedFile, int, dict[int, ChunkRef]]
_Part = TypeVar("_Part")
_Made = TypeVar("_Made")


def in_turn(make: Callable[[_Part], _Made], parts: Iterable[_Part]) -> Iterator[_Made]:
    """What `make` gives of each part, the next one made by a second thread meanwhile."""
    with ThreadPoolExecutor(1, "ahead") as pool:
        coming: Future[_Made] | None = None
        for part in parts:
            before, coming = coming, pool.submit(make, part)
            if before is not None:
                yield before.result()
        if coming is not None:
            yield coming.result()


def _ready(
    part: GrownPart,
    *,
    base: EncodedFile | None,
    section: CrossSection,
    options: TableOptions,
    make: Make,
) -> tuple[SymbolRows, list[_Group]]:
    """One symbol's groups: those that stay, with the columns that may differ, and the rest."""
    rows = options.row_group_size
    stay = part.whole_groups(rows) if base is not None else 0
    light = part.read(NEEDED)
    changing = with_volume_clean(light).select("volume_clean").hstack(section.columns(light))
    groups: list[_Group] = []
    if base is not None and stay:
        head = changing.select(_WHOLE_RANGE).head(stay * rows)
        encoded = EncodedFile.of_table(to_arrow(head), make, rows)
        for number, group in enumerate(part.old.groups(part.symbol)[:stay]):
            places = {
                COLUMNS.index(name): ChunkRef(encoded, number, column)
                for column, name in enumerate(_WHOLE_RANGE)
            }
            groups.append((base, group, places))
    if light.height > stay * rows:
        own = tuple(name for name in SYMBOL_COLUMNS if name != "volume_clean")
        tail = part.read_after(stay, own).hstack(changing.slice(stay * rows)).select(COLUMNS)
        encoded = EncodedFile.of_table(to_arrow(tail), make, rows)
        groups += [(encoded, number, {}) for number in range(len(encoded.footer.groups))]
    return SymbolRows.of(part.symbol, light), groups


def first_change(old: Mapping[str, str], new: Mapping[str, str], month: Period) -> date | None:
    """The first day that can differ in a month file, None where nothing changed.

    `old` and `new` are the archive files it was made of, key -> SHA-256: where files were only
    added, the first day of the first of them, else the month's.
    """
    if old == new:
        return None
    if old.items() <= new.items():
        return min(ArchiveFile.parse(key).period.start for key in new.keys() - old.keys())
    return month.start


def changed_months(old: Mapping[str, str], new: Mapping[str, str]) -> set[str]:
    """Inputs (`field/YYYY-MM`) of a symbol's fingerprint that differ between two of them."""
    return {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}


def table_inputs(path: Path, store: FileStore = LOCAL) -> dict[str, str]:
    """The digests of the symbols' fingerprints that the table at `path` was made of."""
    fingerprint = read_fingerprint(path, store)
    return {} if fingerprint is None else {one.key: one.sha256 for one in fingerprint.inputs}
