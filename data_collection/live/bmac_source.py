"""A live directory as a source of candles to fold, now or at each of its closes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.exchange.clock import ExchangeClock
from alphaqcm.data_collection.exchange.timing import DEFAULT_TZ
from alphaqcm.data_collection.live.bmac_kit import CandleFileReader, tradable_symbols
from alphaqcm.data_collection.live.config import FILE_NAME, SaveType, load_config
from alphaqcm.data_collection.live.files.layout import EXGINFO, SUFFIXES, LiveLayout
from alphaqcm.data_collection.live.files.tables import VALUES, read_candles
from alphaqcm.data_collection.live.ready_wait import ready_symbols
from alphaqcm.pipeline.candles.fold import Ints, Values
from alphaqcm.pipeline.candles.window_grid import MINUTE_US, interval_us
from alphaqcm.pipeline.errors import layer_error

_COUNTS = ("trade_num",)
_FOLDER = re.compile(r"(?P<trade_type>[a-z]+_[a-z]+)_(?P<interval>\d+[mhd])")


@dataclass(frozen=True, slots=True)
class BmacSource:
    """The candles of one live directory, of the symbols of its exchange info."""

    layout: LiveLayout
    save_type: SaveType

    @classmethod
    def open(cls, base: Path) -> BmacSource:
        """By the directory's config.json, or without one by its one folder of candles.

        Raises `UsageError`.
        """
        if not base.is_dir():
            raise UsageError(base, expected="a live directory", found="no such directory")
        if (base / FILE_NAME).exists():
            config = load_config(base)
            layout = LiveLayout(base, config.trade_type.name, config.interval)
            source = cls(layout, config.save_type)
        else:
            source = cls._by_folders(base)
        if not source.layout.candles.is_dir():
            raise UsageError(
                source.layout.candles,
                expected="the candles of a live directory",
                found="no such folder",
                next_step=f"alphaqcm bmac start {base}",
            )
        return source

    @classmethod
    def _by_folders(cls, base: Path) -> BmacSource:
        found = [
            match
            for path in sorted(base.iterdir())
            if path.is_dir() and not path.is_symlink() and (match := _FOLDER.fullmatch(path.name))
        ]
        if len(found) != 1:
            raise UsageError(
                base,
                expected=f"a {FILE_NAME}, or one folder of candles such as usdt_perp_5m",
                found=", ".join(match[0] for match in found) or "neither",
            )
        layout = LiveLayout(base, found[0]["trade_type"], found[0]["interval"])
        feather = any(layout.candles.glob(f"*.{SUFFIXES[SaveType.FEATHER]}"))
        return cls(layout, SaveType.FEATHER if feather else SaveType.PARQUET)

    @property
    def trade_type(self) -> str:
        """Names the folders."""
        return self.layout.trade_type

    @property
    def interval(self) -> str:
        """Of the candles."""
        return self.layout.interval

    def symbols(self) -> list[str]:
        """Symbols of the exchange info that have candles, in order; raises `LayerError`."""
        reader = self._reader(self.layout.candles)
        return sorted(one for one in self._listed() if reader.has_symbol(one))

    def load(self, symbol: str) -> tuple[Ints, dict[str, Values], str]:
        """(begins in microseconds, the other columns, SHA-256 of the rows); raises `LayerError`."""
        path = self.layout.candles / f"{symbol}.{SUFFIXES[self.save_type]}"
        step_ms = interval_us(self.interval) // 1000
        try:
            rows = read_candles(path, step_ms, self.save_type)
        except (OSError, ValueError) as error:
            problem = error if isinstance(error, OSError) else OSError(str(error))
            raise layer_error(path, problem, "the live client mends it at its start") from error
        columns: dict[str, Values] = {
            name: np.ascontiguousarray(rows.values[:, place]) for place, name in enumerate(VALUES)
        }
        columns |= {name: columns[name].astype(np.int64) for name in _COUNTS}
        digest = hashlib.sha256(rows.open_ms.tobytes())
        digest.update(np.ascontiguousarray(rows.values).tobytes())
        return rows.open_ms * 1000, columns, digest.hexdigest()

    async def closes(
        self, clock: ExchangeClock, expire_sec: float
    ) -> AsyncIterator[tuple[datetime, list[str]]]:
        """Each close from the next on, once the candles are ready: the run time, who is late.

        Nothing is waited for longer than `expire_sec` of the exchange's time after the close.
        """
        for moment in _closes(self.interval, clock):
            await clock.sleep_until(moment)
            run_time, expire_at = datetime.fromtimestamp(moment, UTC), moment + expire_sec
            late = await self._late(run_time, expire_at, clock)
            yield run_time.astimezone(DEFAULT_TZ), late

    async def _late(self, run_time: datetime, expire_at: float, clock: ExchangeClock) -> list[str]:
        folder = self.layout.exginfo
        late = [EXGINFO]
        async for _ in ready_symbols(folder, [EXGINFO], run_time, expire_at, clock):
            late = []
        trading, _ = tradable_symbols(
            CandleFileReader(folder, SaveType.PARQUET).read_candle(EXGINFO)
        )
        waiting = dict.fromkeys(trading)
        async for symbol in ready_symbols(self.layout.candles, trading, run_time, expire_at, clock):
            del waiting[symbol]
        return [*late, *waiting]

    def _listed(self) -> list[str]:
        trading, quiet = tradable_symbols(
            CandleFileReader(self.layout.exginfo, SaveType.PARQUET).read_candle(EXGINFO)
        )
        return trading + quiet

    def _reader(self, folder: Path) -> CandleFileReader:
        return CandleFileReader(folder, self.save_type)


def _closes(interval: str, clock: ExchangeClock) -> Iterator[float]:
    """The closes to come, in seconds; those that went by meanwhile are passed over."""
    step = interval_us(interval) // MINUTE_US * 60
    last = clock.now() // step * step
    while True:
        last = max(last, clock.now() // step * step - step) + step
        yield last
