"""Lazy frames over the files of many symbols, read one symbol after the other when collected."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import polars as pl
from polars.io.plugins import register_io_source

from alphaqcm.data_collection.errors import UsageError
from alphaqcm.pipeline.domain.symbol import Symbol
from alphaqcm.pipeline.errors import LayerError

UTC_US: Final = pl.Datetime("us", "UTC")
KEYS: Final = ("symbol", "datetime")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Schema = dict[str, pl.DataType]


@dataclass(frozen=True, slots=True)
class Cut:
    """Which rows are wanted: symbols in their order, bars that start in [start_us, stop_us)."""

    symbols: tuple[Symbol, ...] | None = None  # None: all that the layer has, in byte order
    start_us: int | None = None  # microseconds since the epoch, UTC
    stop_us: int | None = None

    def expressions(self, time: str) -> list[pl.Expr]:
        """The range as filters on a time column."""
        found = []
        if self.start_us is not None:
            found.append(pl.col(time) >= moment(self.start_us))
        if self.stop_us is not None:
            found.append(pl.col(time) < moment(self.stop_us))
        return found


def key_schema() -> Schema:
    """Types of KEYS."""
    return {KEYS[0]: pl.String(), KEYS[1]: UTC_US}


def lazy_frame(
    schema: Schema,
    symbols: Sequence[str],
    read: Callable[[str, Sequence[str]], pl.LazyFrame],
    name: str,
) -> pl.LazyFrame:
    """A lazy frame over the symbols, read one by one when it is collected."""

    def source(
        columns: list[str] | None,
        predicate: pl.Expr | None,
        n_rows: int | None,
        _batch_size: int | None,
    ) -> Iterator[pl.DataFrame]:
        wanted = list(schema) if columns is None else columns
        left = n_rows
        for symbol in symbols:
            if left is not None and left <= 0:
                return
            try:
                rows = read(symbol, wanted).with_columns(pl.lit(symbol).alias(KEYS[0]))
                rows = rows.select(wanted)
                # n_rows counts before the filter
                frame = (rows if left is None else rows.head(left)).collect()
            except pl.exceptions.PolarsError as error:
                raise torn_file(symbol, error) from error
            if left is not None:
                left -= frame.height
            yield frame if predicate is None else frame.filter(predicate)

    return register_io_source(source, schema=schema, explain_name=name)


def require_symbols(
    there: Mapping[str, object], names: Sequence[str], where: Path, what: str
) -> None:
    """Raise `UsageError` that tells which of `names` is not there."""
    if missing := [name for name in names if name not in there]:
        raise UsageError(
            ", ".join(missing),
            expected=f"symbols with {what} in {where}",
            found="none of these",
            next_step="alphaqcm run --symbols adds them; without symbols all that are there are "
            "read",
        )


def torn_file(what: str | Path, error: Exception) -> LayerError:
    """What polars met in a file, as an error of ours."""
    return LayerError(
        what,
        expected="files of a layer that can be read",
        found=str(error).splitlines()[0],
        next_step="alphaqcm verify and alphaqcm run make damaged files anew",
    )


def moment(time_us: int) -> datetime:
    """The instant `time_us` microseconds after the epoch."""
    return _EPOCH + timedelta(microseconds=time_us)
