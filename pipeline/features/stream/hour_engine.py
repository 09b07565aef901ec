"""The wide table's live columns, hour by hour: minutes in, the row of each symbol out.

    engine.add_bar(…), engine.add_flow(…)      as minutes close
    engine.close(symbols, hour)                when these symbols have all of the hour
    engine.publish(hour)                       when all have, or no longer can

A row is equal, bit for bit, to the one that the table gets from the archive's files of the same
trades, provided the states were made from the table's rows before, of the same symbols.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from alphaqcm.pipeline.domain.symbol import Symbol
from alphaqcm.pipeline.domain.time import HOUR_US, MINUTE_US
from alphaqcm.pipeline.errors import TableError
from alphaqcm.pipeline.features.columns import schema
from alphaqcm.pipeline.features.cross_section import CrossSection
from alphaqcm.pipeline.features.factors.segments import floats, times_us
from alphaqcm.pipeline.features.stream.hour_rows import (
    FLOW_FIELDS,
    OpenHour,
    SymbolHour,
    own_rows,
)
from alphaqcm.pipeline.features.stream.live_columns import (
    LIVE_COLUMNS,
    LIVE_CROSS_SECTION,
    LIVE_OWN,
)
from alphaqcm.pipeline.features.stream.symbol_state import SymbolState


@dataclass(frozen=True, slots=True)
class HourRows:
    """The rows of one hour.

    `frame` has `LIVE_COLUMNS`, in the order of the table's symbols. `late` are the symbols
    (exchange names) that were expected and had not closed: the cross-section does not know them.
    """

    hour_us: int
    frame: pl.DataFrame
    late: tuple[str, ...]


@dataclass(slots=True)
class _Track:
    """One symbol: its state, and the hours that are not computed yet."""

    symbol: Symbol
    state: SymbolState
    hours: dict[int, OpenHour] = field(default_factory=dict)
    done_us: int = -1  # start of the last hour that is computed
    done: OpenHour | None = None  # its minutes


class HourEngine:
    """All symbols of a table, and the hours that are open."""

    def __init__(self, states: Mapping[Symbol, SymbolState]) -> None:
        ordered = sorted(states, key=lambda symbol: symbol.table.encode())
        self._tracks = {
            symbol.exchange: _Track(symbol, states[symbol], done_us=states[symbol].last_us)
            for symbol in ordered
        }
        self._names = {track.symbol.table: name for name, track in self._tracks.items()}
        self._rows: dict[int, list[pl.DataFrame]] = {}
        self.refused = 0  # minutes of hours that were computed before they came

    @property
    def symbols(self) -> tuple[str, ...]:
        """Exchange names, in the table's order."""
        return tuple(self._tracks)

    def exchange_name(self, table_name: str) -> str:
        """The exchange's name of a symbol of the table."""
        return self._names[table_name]

    def begin(self, hour_us: int) -> None:
        """Hours before this one are done, also where a symbol had no row in the last of them."""
        for track in self._tracks.values():
            track.done_us = max(track.done_us, hour_us - HOUR_US)

    def next_us(self, symbol: str) -> int:
        """The hour that must be closed next; 0 for a symbol without a beginning."""
        done_us = self._track(symbol).done_us
        return done_us + HOUR_US if done_us >= 0 else 0

    def add_symbol(self, symbol: Symbol) -> None:
        """A symbol that was listed; its first row is its first hour."""
        self._tracks.setdefault(symbol.exchange, _Track(symbol, SymbolState()))
        self._names[symbol.table] = symbol.exchange
        self._tracks = dict(
            sorted(self._tracks.items(), key=lambda item: item[1].symbol.table.encode())
        )

    def add_bar(self, symbol: str, open_us: int, values: Sequence[float]) -> None:
        """A closed 1m candle: open, high, low, close, volume. The last one of a minute counts."""
        hour = self._hour_of(symbol, open_us)
        if hour is not None:
            hour.bars[open_us % HOUR_US // MINUTE_US] = values

    def add_flow(self, symbol: str, minutes: pl.DataFrame) -> None:
        """Minutes of order flow, as the 1m aggTrades layer has them."""
        columns = {name: floats(minutes[name]) for name in FLOW_FIELDS}
        self.add_flow_columns(symbol, {"minute": times_us(minutes["minute"]), **columns})

    def add_flow_columns(self, symbol: str, columns: Mapping[str, Any]) -> None:
        """The same as arrays by name, `minute` in microseconds since the epoch; may be empty."""
        if not columns:
            return
        minute = columns["minute"]
        rows = np.column_stack([columns[name] for name in FLOW_FIELDS])
        for hour_us in np.unique(minute // HOUR_US * HOUR_US).tolist():
            hour = self._hour_of(symbol, hour_us)
            if hour is not None:
                there = minute // HOUR_US * HOUR_US == hour_us
                hour.flow[(minute[there] - hour_us) // MINUTE_US] = rows[there]

    def add_past(self, symbol: str, open_us: int, values: Sequence[float]) -> None:
        """A candle of the last hour that the state was made from: the next hour may look at it."""
        track = self._track(symbol)
        if open_us // HOUR_US * HOUR_US == track.done_us:
            track.done = track.done or OpenHour()
            track.done.bars[open_us % HOUR_US // MINUTE_US] = values

    def drop(self, symbol: str, before_us: int) -> None:
        """Forget open hours of a symbol that begin before a moment."""
        track = self._track(symbol)
        track.hours = {at: hour for at, hour in track.hours.items() if at >= before_us}

    def close(self, symbols: Collection[str], hour_us: int) -> pl.DataFrame:
        """Compute the hour of symbols that have all its minutes: their `LIVE_OWN` rows.

        A symbol without a minute has no row. Raises `TableError` for an hour before its last one,
        or after one that is open.
        """
        wanted = set(symbols)
        chosen = [track for name, track in self._tracks.items() if name in wanted]
        parts = []
        for track in chosen:
            self._check(track, hour_us)
            hour = track.hours.pop(hour_us, None) or OpenHour()
            before = track.done if track.done_us == hour_us - HOUR_US else None
            parts.append(SymbolHour(track.symbol.table, track.state, hour, before))
            track.done_us, track.done = hour_us, hour
        rows = own_rows(hour_us, parts)
        self._rows.setdefault(hour_us, []).append(rows)
        return rows

    def publish(self, hour_us: int, late: Collection[str] = ()) -> HourRows:
        """The rows of all symbols closed so far, with the cross-section over these.

        It may be asked once an hour, in order; `late` names who was expected and is not there.
        """
        frames = self._rows.pop(hour_us, None) or [pl.DataFrame(schema=schema(LIVE_OWN))]
        own = pl.concat(frames)
        names = own["symbol"].to_list()
        order = sorted(range(len(names)), key=lambda row: names[row].encode())
        own = own[order].with_columns(pl.lit(None, pl.Float64).alias("funding_rate"))
        total = 0.0
        for volume in own["volume"].to_list():  # in this order, as in the table
            total += volume
        size = own.height
        section = CrossSection(
            first=hour_us // HOUR_US,
            symbols=max(len(self._tracks), 1),
            size=np.array([size]),
            listed=np.array([sum(track.state.rows > 0 for track in self._tracks.values())]),
            volume_mean=np.array([total / size if size else np.nan]),
            funding_median=np.array([np.nan]),
        )
        columns = section.columns(own).select(LIVE_CROSS_SECTION)
        frame = own.hstack(columns).select(LIVE_COLUMNS)
        return HourRows(hour_us, frame, tuple(sorted(late)))

    def _track(self, symbol: str) -> _Track:
        try:
            return self._tracks[symbol]
        except KeyError:
            raise TableError(
                f"a minute of {symbol}",
                expected="a symbol of the table, or one that was added",
                found=f"{len(self._tracks)} others",
            ) from None

    def _hour_of(self, symbol: str, time_us: int) -> OpenHour | None:
        track, hour_us = self._track(symbol), time_us // HOUR_US * HOUR_US
        if hour_us <= track.done_us:
            self.refused += 1
            return None
        return track.hours.setdefault(hour_us, OpenHour())

    def _check(self, track: _Track, hour_us: int) -> None:
        earlier = [hour for hour in track.hours if hour < hour_us]
        if hour_us <= track.done_us or earlier or hour_us % HOUR_US:
            raise TableError(
                f"hour {hour_us} us of {track.symbol.exchange}",
                expected=f"the hours in order of time, after {track.done_us} us",
                found=f"{len(earlier)} earlier hours open" if earlier else "one before it",
            )
