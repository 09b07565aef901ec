"""BmacKit: the candles of a live directory, and a strategy's factors on them, as they are ready.

    reader = CandleFileReader("base/usdt_perp_5m", "parquet")
    factors = BmacSingleSymbolCalculator("BTCUSDT", reader, [("PctChg", 100)])
    df = await factors.calc_factors(run_time)

A factor `("PctChg", 100)` is the function `signal(df, n, column)` of the module `factor.PctChg`,
which gives the frame back with the column `PctChg_100` added; the package has any name.
"""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet

from alphaqcm.data_collection.errors import CandlesLate, UsageError
from alphaqcm.data_collection.exchange.clock import default_clock
from alphaqcm.data_collection.exchange.timing import (
    DEFAULT_TZ,
    async_sleep_until_run_time,
    convert_interval_to_timedelta,
    next_run_time,
    now_time,
)
from alphaqcm.data_collection.live.files.ready_names import latest_ready, ready_name, stamp_of
from alphaqcm.data_collection.live.ready_wait import ready_symbols, run_time_us
from alphaqcm.pipeline.errors import BadName, layer_error

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "DEFAULT_TZ",
    "BmacAllMarketCalculator",
    "BmacSingleSymbolCalculator",
    "CandleFileReader",
    "convert_interval_to_timedelta",
    "next_run_time",
    "now_time",
    "sleep_until_run_time",
]

sleep_until_run_time = async_sleep_until_run_time

SUFFIXES = {"parquet": ".pqt", "feather": ".fea"}
"""How the data files of each `save_type` end."""

EXGINFO, FUNDING = "exginfo", "funding"
"""Names of what lies beside the candles in the folder of exchange info."""

_END, _BEGIN = "candle_end_time", "candle_begin_time"
_TRADING = "TRADING"


class CandleFileReader:
    """The files of one folder: `SYM.pqt` or `SYM.fea`, and `SYM_{run time}.ready` beside each."""

    def __init__(self, base_dir: str | os.PathLike[str], save_type: str) -> None:
        if save_type not in SUFFIXES:
            raise UsageError(
                f"save_type {save_type!r}", expected=" or ".join(SUFFIXES), next_step="name one"
            )
        self.base_dir = os.fspath(base_dir)
        self.save_type = save_type

    def format_ready_file_path(self, symbol: str, run_time: datetime) -> str:
        """The file that says that the candles up to `run_time` are there."""
        return os.path.join(self.base_dir, ready_name(symbol, run_time_us(run_time)))  # noqa: PTH118

    def format_data_file_path(self, symbol: str) -> str:
        """The file with the candles."""
        return os.path.join(self.base_dir, symbol + SUFFIXES[self.save_type])  # noqa: PTH118

    def check_ready(self, symbol: str, run_time: datetime) -> bool:
        """Whether the ready file of this very run time is there."""
        return Path(self.format_ready_file_path(symbol, run_time)).exists()

    def read_candle(self, symbol: str) -> pd.DataFrame:
        """All rows; candles of parquet are indexed by `candle_end_time` (UTC).

        Raises `LayerError` where there is no such file, or none that can be read.
        """
        path = Path(self.format_data_file_path(symbol))
        try:
            data = pa.BufferReader(path.read_bytes())  # a path would cost as much as the reading
            if self.save_type == "parquet":
                with pa.parquet.ParquetFile(data) as file:
                    table = file.read(use_threads=False)
            else:
                table = pa.feather.read_table(data, use_threads=False)
        except (OSError, pa.ArrowException) as error:
            raise layer_error(path, error, "a file of the live client: alphaqcm bmac status") from (
                error
            )
        return _frame(table)

    def has_symbol(self, symbol: str) -> bool:
        """Whether there are candles of `symbol`."""
        return Path(self.format_data_file_path(symbol)).exists()

    def get_all_symbols(self) -> list[str]:
        """Every symbol that has candles, in order."""
        suffix = SUFFIXES[self.save_type]
        return sorted(
            path.name.removesuffix(suffix)
            for path in Path(self.base_dir).glob(f"*{suffix}")
            if not path.name.startswith(".")
        )


class BmacSingleSymbolCalculator:
    """Factors of one symbol, computed as soon as its candles are ready.

    `factor_cfgs` are pairs of a factor's name and its parameter, `package` holds the factors'
    modules. Later than `bmac_expire_sec` after the run time (the exchange's clock) nothing is
    waited for.
    """

    def __init__(
        self,
        symbol: str,
        candle_reader: CandleFileReader,
        factor_cfgs: list[tuple[str, Any]],
        package: str = "factor",
        bmac_expire_sec: int = 40,
    ) -> None:
        self.symbol = symbol
        self.candle_reader = candle_reader
        self.factor_cfgs = factor_cfgs
        self.package = package
        self.bmac_expire_sec = bmac_expire_sec
        self._signals = [(name, n, _signal(package, name)) for name, n in factor_cfgs]

    async def calc_factors(self, run_time: datetime, symbol: str | None = None) -> pd.DataFrame:
        """All candles up to `run_time` with the factors' columns; rows after it are left out.

        Raises `CandlesLate`, a `TimeoutError`, where the ready file is not there in time.
        """
        wanted = self.symbol if symbol is None else symbol
        await self._require(self.candle_reader, [wanted], run_time)
        return self._compute(wanted, run_time)

    async def _require(
        self, reader: CandleFileReader, symbols: Sequence[str], run_time: datetime
    ) -> None:
        """Wait until all of `symbols` are ready; raises `CandlesLate`."""
        late = set(symbols)
        async with contextlib.aclosing(self._ready(reader, symbols, run_time)) as ready:
            async for symbol in ready:
                late.discard(symbol)
        if late:
            there = latest_ready(Path(reader.base_dir))
            raise CandlesLate(
                f"{', '.join(sorted(late))} at {run_time}",
                expected=f"{reader.format_ready_file_path(min(late), run_time)} within "
                f"{self.bmac_expire_sec} s",
                found=", ".join(f"{one}: {there.get(one, 'no ready file')}" for one in sorted(late))
                + f" where {stamp_of(run_time_us(run_time))} is wanted",
                next_step="see how the live client does: alphaqcm bmac status",
            )

    def _ready(
        self, reader: CandleFileReader, symbols: Iterable[str], run_time: datetime
    ) -> AsyncGenerator[str, None]:
        clock = default_clock()
        expire_at = _aware(run_time).timestamp() + self.bmac_expire_sec
        return ready_symbols(Path(reader.base_dir), symbols, run_time, expire_at, clock)

    def _compute(self, symbol: str, run_time: datetime) -> pd.DataFrame:
        df = _until(self.candle_reader, symbol, run_time)
        for name, n, signal in self._signals:
            df = signal(df, n, f"{name}_{n}")
        return df


class BmacAllMarketCalculator(BmacSingleSymbolCalculator):
    """Factors of every symbol of the exchange info, each computed as it is ready."""

    def __init__(
        self,
        exginfo_reader: CandleFileReader,
        candle_reader: CandleFileReader,
        factor_cfgs: list[tuple[str, Any]],
        package: str = "factor",
        bmac_expire_sec: int = 40,
    ) -> None:
        super().__init__("", candle_reader, factor_cfgs, package, bmac_expire_sec)
        self.exginfo_reader = exginfo_reader

    async def calc_all_factors(self, run_time: datetime) -> pd.DataFrame:
        """One row a symbol, the candle that ends at `run_time`, with the column `symbol` first.

        Symbols that were not ready in time are left out and listed in `df.attrs["late"]`; those
        that were, but have no candle of that very time, in `df.attrs["absent"]`. A symbol that
        does not trade is not waited for. Raises `CandlesLate` where the exchange info is late, or
        the funding rates where these are kept.
        """
        import pandas as pd

        kept = [name for name in (EXGINFO, FUNDING) if self.exginfo_reader.has_symbol(name)]
        await self._require(self.exginfo_reader, kept or [EXGINFO], run_time)
        symbols, quiet = tradable_symbols(self.exginfo_reader.read_candle(EXGINFO))
        rows: dict[str, pd.DataFrame] = {}  # each of one row, or of none
        async with contextlib.aclosing(self._ready(self.candle_reader, symbols, run_time)) as ready:
            async for symbol in ready:
                rows[symbol] = self._row(symbol, run_time)
        there = latest_ready(Path(self.candle_reader.base_dir))
        for symbol in quiet:
            if there.get(symbol, "") >= stamp_of(run_time_us(run_time)):
                rows[symbol] = self._row(symbol, run_time)
        found = [symbol for symbol in sorted(rows) if len(rows[symbol])]
        table = pd.concat([rows[symbol] for symbol in found]) if found else pd.DataFrame()
        table.insert(0, "symbol", found)
        table.attrs["late"] = sorted(set(symbols) - set(rows))
        table.attrs["absent"] = sorted(symbol for symbol, row in rows.items() if not len(row))
        return table

    def _row(self, symbol: str, run_time: datetime) -> pd.DataFrame:
        """The last row where it ends at `run_time`, else no row."""
        df = self._compute(symbol, run_time)
        ends = _ends(df, self.candle_reader)
        return df.iloc[-1:] if len(df) and ends[-1] == _aware(run_time) else df.iloc[:0]


def _frame(table: pa.Table) -> pd.DataFrame:
    """The table in pandas; candles, which hold numbers and times, several times faster than all."""
    import pandas as pd

    plain = (pa.types.is_floating, pa.types.is_integer, pa.types.is_timestamp)
    if any(column.null_count for column in table.columns) or not all(
        any(is_kind(field.type) for is_kind in plain) for field in table.schema
    ):
        frame: pd.DataFrame = table.to_pandas()
        return frame.set_index(_END) if _END in frame.columns else frame
    columns: dict[str, Any] = {}
    for field, column in zip(table.schema, table.columns, strict=True):
        values = column.to_numpy()
        if pa.types.is_timestamp(field.type):
            values = pd.DatetimeIndex(values, tz=field.type.tz)
        columns[field.name] = values
    index = columns.pop(_END, None)
    made = pd.DataFrame(columns, index=index, copy=True)  # a factor may write into it
    made.index.name = None if index is None else _END
    return made


def _signal(package: str, name: str) -> Callable[..., pd.DataFrame]:
    """The function of a factor; raises `UsageError` where its module has none."""
    module = importlib.import_module(f"{package}.{name}")
    signal: Callable[..., pd.DataFrame] | None = getattr(module, "signal", None)
    if signal is None:
        raise UsageError(
            f"factor {package}.{name}",
            expected="a function signal(df, n, column) that gives the frame back",
            found=f"none in {module.__file__}",
        )
    return signal


def _aware(run_time: datetime) -> datetime:
    """A naive run time is Hong Kong time, as in the files' names."""
    return run_time if run_time.tzinfo else run_time.replace(tzinfo=DEFAULT_TZ)


def _until(reader: CandleFileReader, symbol: str, run_time: datetime) -> pd.DataFrame:
    """The symbol's rows that end at or before `run_time`, a frame of its own."""
    import pandas as pd

    df = reader.read_candle(symbol)
    known = _ends(df, reader) <= pd.Timestamp(_aware(run_time))
    return df if known.all() else df[known].copy()


def _ends(df: pd.DataFrame, reader: CandleFileReader) -> pd.DatetimeIndex:
    """When each row's candle ends: the index, or where that was dropped begin and interval."""
    import pandas as pd

    if df.index.name == _END:
        return pd.DatetimeIndex(df.index)
    begins = pd.DatetimeIndex(df[_BEGIN])
    _, _, interval = Path(reader.base_dir).name.rpartition("_")
    try:
        return begins + convert_interval_to_timedelta(interval)
    except BadName:  # a folder by another name: the shortest way between two candles
        step = begins.diff().min() if len(begins) > 1 else pd.Timedelta(0)
        return begins + step


def tradable_symbols(exginfo: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Symbols that trade, and those that do not (where the exchange info tells a status)."""
    names = exginfo["symbol"] if "symbol" in exginfo.columns else exginfo.index.to_series()
    trades = exginfo["status"] == _TRADING if "status" in exginfo.columns else names == names
    return names[trades.to_numpy()].tolist(), names[~trades.to_numpy()].tolist()
