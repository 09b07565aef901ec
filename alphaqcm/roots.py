"""Data roots, and how the arguments of the public functions are read: symbols, days, instants."""

from __future__ import annotations

import atexit
import os
import re
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from pathlib import Path

from alphaqcm.data_collection.archive.objects.object_store import is_store_url, open_store
from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.process.scratch import scratch_folder
from alphaqcm.data_collection.serving.layer_reader import LayerReader
from alphaqcm.data_collection.serving.lazy_symbols import Cut
from alphaqcm.pipeline.domain.registry import Market, parse_market
from alphaqcm.pipeline.domain.symbol import Symbol
from alphaqcm.pipeline.storage.file_store import LOCAL
from alphaqcm.pipeline.storage.layout import Layout

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class DataRoot:
    """What `alphaqcm run` made; what `open_root` returns and every function takes.

    A folder, or for a data root in an object store its `url` and the folder for copies of what is
    read, which goes with this process.
    """

    path: Path
    url: str = ""

    def layout(self, market: Market = Market.UM) -> Layout:
        """Where one market's files are."""
        store = open_store(self.url, self.path) if self.url else LOCAL
        return Layout(self.path, market, store=store)

    def reader(self, market: Market = Market.UM) -> LayerReader:
        """The reader of one market's layers."""
        return LayerReader(self.layout(market))


RootLike = DataRoot | str | os.PathLike[str]
SymbolsLike = str | Symbol | Sequence[str | Symbol]
TimeLike = str | date | datetime


def root_at(path: RootLike) -> DataRoot:
    """The data root at `path`; raises `UsageError` for another URL and where there is no folder."""
    if isinstance(path, DataRoot):
        return path
    text = os.fspath(path)
    if is_store_url(text):
        return _object_root(text.rstrip("/"))
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", text):
        raise UsageError(
            text,
            expected="a folder of this machine, or s3://bucket/prefix, gs://… or az://…",
            found=f"a URL ({text.split(':', 1)[0]})",
            next_step="copy or mount the data root and name its folder",
        )
    folder = Path(text).expanduser().absolute()
    if not folder.is_dir():
        raise UsageError(
            text,
            expected="the folder of a data root",
            found="a file" if folder.exists() else "nothing there",
            next_step="alphaqcm run --data-root makes one",
        )
    return DataRoot(folder)


@lru_cache
def _object_root(url: str) -> DataRoot:
    """The same for one URL all the time, so that what is read twice is copied once."""
    folders = ExitStack()
    atexit.register(folders.close)
    folder = folders.enter_context(scratch_folder(None))
    store = open_store(url, folder)
    if not store.list(folder):
        raise UsageError(
            url,
            expected="a data root in an object store",
            found="nothing there",
            next_step="alphaqcm run --data-root makes one",
        )
    return DataRoot(folder, url)


def market_of(market: Market | str) -> Market:
    """The market by name; raises `BadName`."""
    return market if isinstance(market, Market) else parse_market(market)


def cut_of(
    market: Market, symbols: SymbolsLike | None, start: TimeLike | None, end: TimeLike | None
) -> Cut:
    """The rows that these arguments ask for; raises `BadName` or `UsageError`.

    Raises for a symbol or time that cannot be read, for no symbol at all and for an end before the
    start.
    """
    first = None if start is None else _instant_us(start, "start")
    stop = None if end is None else _instant_us(end, "end", after=True)
    if first is not None and stop is not None and stop <= first:
        raise UsageError(
            "start and end", expected="an end after the start", found=f"{start} to {end}"
        )
    return Cut(None if symbols is None else _symbols(market, symbols), first, stop)


def _symbols(market: Market, symbols: SymbolsLike) -> tuple[Symbol, ...]:
    if isinstance(symbols, str):
        symbols = [text for text in symbols.split(",") if text.strip()]
    elif isinstance(symbols, Symbol):
        symbols = [symbols]
    named = [one if isinstance(one, Symbol) else Symbol.parse(one, market) for one in symbols]
    if not named:
        raise UsageError(
            "symbols", expected="one or more, or none given for all", found="an empty list"
        )
    return tuple(dict.fromkeys(named))


def _instant_us(value: TimeLike, name: str, *, after: bool = False) -> int:
    """Microseconds since the epoch; of a day its start, or with `after` the start of the next."""
    if isinstance(value, str):
        value = _parsed(value, name)
    if not isinstance(value, datetime):
        day = datetime(value.year, value.month, value.day, tzinfo=UTC)
        value = day + timedelta(days=1) if after else day
    moment = value.replace(tzinfo=UTC) if value.tzinfo is None else value
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _parsed(text: str, name: str) -> date | datetime:
    try:
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
            return date.fromisoformat(text)
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            f"{name} {text!r}",
            expected="a day (2024-02-28) or an ISO instant (2024-02-28T05:00)",
            found=str(error),
        ) from error
