"""Training sets: features of the final table, and a label that looks forward.

Features are the point-in-time columns; the columns that look ahead are left out in favour of their
siblings. The label is the only column that knows the future.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from alphaqcm.pipeline.errors import LayerError, layer_error
from alphaqcm.pipeline.features.columns import COLUMNS, FEATURES, REGISTRY, DType
from alphaqcm.pipeline.features.columns.csv import csv_form
from alphaqcm.pipeline.features.factors.rolling import WEEK_ROWS
from alphaqcm.pipeline.storage.atomic_write import atomic_write
from alphaqcm.pipeline.storage.csv_file import write_csv
from alphaqcm.pipeline.storage.file_store import LOCAL
from alphaqcm.pipeline.tables.table_file import arrow_schema, read_table

HORIZON = 1
"""Hours that the label looks forward where nothing else is asked for."""

ALL_FILE = "training_all.parquet"
SUFFIX = "_training.csv"

TRAINING_FEATURES = tuple(name for name in FEATURES if REGISTRY[name].point_in_time)


def label_name(hours: int) -> str:
    """The label that looks `hours` forward."""
    return f"y_logret_fwd_{hours}h"


def training_columns(horizons: Sequence[int]) -> tuple[str, ...]:
    """Columns of a training set: symbol, datetime, features, a label for each horizon."""
    keys = (name for name in COLUMNS if name not in FEATURES)
    return (*keys, *TRAINING_FEATURES, *(label_name(hours) for hours in horizons))


LABEL = label_name(HORIZON)
TRAINING_COLUMNS = training_columns((HORIZON,))

_IMPUTED = tuple(name for name in TRAINING_FEATURES if REGISTRY[name].dtype is not DType.TIME)


class Impute(StrEnum):
    """What stands in for a missing feature; labels are never imputed."""

    NONE = "none"
    FFILL = "ffill"  # the last known value of the symbol, where it is not too old
    ZERO = "zero"


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """What goes into a training set."""

    filter_quality: bool = False  # only rows with is_valid_for_training = 1
    min_minutes_traded: int = 0  # and of these only rows with n_minutes_traded of at least this
    no_holes: bool = False  # and only those whose windows of up to 168 rows cross no missing hour
    impute: Impute = Impute.NONE
    ffill_limit: int = 1  # hours that a value may be carried forward
    horizons: tuple[int, ...] = (HORIZON,)  # hours that the labels look forward


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """What was written."""

    path: Path
    rows: int
    labelled: dict[str, int]  # label -> rows that have it
    symbols: int


def training_rows(frame: pl.DataFrame, options: TrainingOptions) -> pl.DataFrame:
    """One symbol's rows of a training set, from its rows of the final table in order of time.

    The label of a horizon is ln(close so many hours later / close); null unless a row follows by
    exactly the horizon and traded. Values are carried forward by the clock: across `ffill_limit`
    hours at most, however few rows lie between. Imputation and labels look at all rows, those that
    the quality filter drops too; the filter looks at what is known, not at what is imputed.
    """
    good = frame.select(_good(options)).to_series()
    rows = frame
    for hours in options.horizons:
        rows = _labelled(rows, hours)
    if options.impute is Impute.ZERO:
        rows = rows.with_columns(
            pl.col(name).fill_null(False if REGISTRY[name].dtype is DType.BOOLEAN else 0)
            for name in _IMPUTED
        )
    if options.impute is Impute.FFILL:
        rows = rows.with_columns(_carried(name, options.ffill_limit) for name in _IMPUTED)
    return rows.filter(good).select(training_columns(options.horizons))


def _labelled(rows: pl.DataFrame, hours: int) -> pl.DataFrame:
    later = rows.filter(pl.col("volume") > 0).select(
        (pl.col("datetime") - pl.duration(hours=hours)).alias("datetime"),
        pl.col("close").alias("_later"),
    )
    change = (pl.col("_later") / pl.col("close")).log()
    label = pl.when(change.is_finite()).then(change).otherwise(None).alias(label_name(hours))
    return (
        rows.join(later, on="datetime", how="left", maintain_order="left")
        .with_columns(label)
        .drop("_later")
    )


def _good(options: TrainingOptions) -> pl.Expr:
    """Whether a row is taken."""
    if not options.filter_quality:
        return pl.repeat(True, pl.len(), dtype=pl.Boolean)
    good = pl.col("is_valid_for_training") == 1
    good &= pl.col("n_minutes_traded") >= options.min_minutes_traded
    if options.no_holes:
        good &= (pl.col("row_span_168h") == WEEK_ROWS).fill_null(value=False)
    return good


def _carried(name: str, limit: int) -> pl.Expr:
    known_at = pl.when(pl.col(name).is_not_null()).then(pl.col("datetime")).forward_fill()
    fresh = pl.col("datetime") - known_at <= pl.duration(hours=limit)
    return pl.when(fresh).then(pl.col(name).forward_fill()).otherwise(pl.col(name)).alias(name)


def write_training_set(table: Path, folder: Path, options: TrainingOptions) -> TrainingSet:
    """Write `{SYM}_training.csv` of each symbol and `training_all.parquet` into `folder`.

    One symbol is held at a time. Files of symbols that the table no longer holds are removed.
    Raises `LayerError`, `DiskFull`, `TableError`.
    """
    path = folder / ALL_FILE
    rows = 0
    labelled = dict.fromkeys((label_name(hours) for hours in options.horizons), 0)
    schema = _schema(options.horizons)
    names = set()
    try:
        with (
            atomic_write(path) as temp,
            pq.ParquetWriter(temp, schema, compression="zstd", use_dictionary=["symbol"]) as out,
        ):
            for symbol, frame in _sets(table, options):
                target = folder / f"{symbol}{SUFFIX}"
                with atomic_write(target) as csv:
                    write_csv(csv_form(frame.drop("symbol")), csv)
                names.add(target.name)
                out.write_table(frame.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(schema))
                rows += frame.height
                for label in labelled:
                    labelled[label] += frame.height - frame[label].null_count()
    except pa.ArrowException as error:
        raise LayerError(path, expected="a training set to write", found=str(error)) from error
    except OSError as error:
        raise layer_error(path, error) from error
    for old in LOCAL.list(folder, f"*{SUFFIX}"):
        if old.name not in names:
            LOCAL.delete(old)
    return TrainingSet(path, rows, labelled, len(names))


def _sets(table: Path, options: TrainingOptions) -> Iterator[tuple[str, pl.DataFrame]]:
    for symbol, frame in read_table(table):
        rows = training_rows(frame, options)
        if rows.height:
            yield symbol, rows


def _schema(horizons: Sequence[int]) -> pa.Schema:
    fields = {field.name: field for field in arrow_schema()}
    for hours in horizons:
        later = "one hour later" if hours == 1 else f"{hours} hours later"
        fields[label_name(hours)] = pa.field(
            label_name(hours),
            pa.float64(),
            metadata={
                "group": "label",
                "unit": "log return",
                "definition": f"ln(close of the row {later} / close); null if it is absent or did "
                "not trade.",
                "point_in_time": "no",
            },
        )
    return pa.schema([fields[name] for name in training_columns(horizons)])
