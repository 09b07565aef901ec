"""Writes CSVs from the parquet layers: 1-minute bars, stages, final tables.

What is written for other programs is `export_for`'s.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, TypeVar

from alphaqcm.data_collection.commands.build.export_for import export_for, require_fitting
from alphaqcm.data_collection.commands.exit_codes import ExitCode
from alphaqcm.data_collection.commands.output import Answer
from alphaqcm.data_collection.commands.request import parse_span
from alphaqcm.data_collection.commands.universe import named_symbols
from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.process.root_lock import hold_root, require_folder
from alphaqcm.pipeline.domain.date_range import DateRange
from alphaqcm.pipeline.domain.period import Period
from alphaqcm.pipeline.domain.registry import parse_market
from alphaqcm.pipeline.domain.symbol import Symbol
from alphaqcm.pipeline.storage.artifact import read_fingerprint
from alphaqcm.pipeline.storage.layout import Layout
from alphaqcm.pipeline.tables.final_csv import write_final_csvs
from alphaqcm.pipeline.tables.minute_csv import minute_files, symbols_with_minutes, write_minute_csv
from alphaqcm.pipeline.tables.symbol_table import require_wide, table_fingerprint, write_stages

_T = TypeVar("_T")


@dataclass(slots=True)
class _Exported:
    """What became of the symbols and tables."""

    files: list[dict[str, Any]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def run(arguments: argparse.Namespace) -> Answer:
    """Export; 1 when a symbol that was asked for has nothing to export."""
    market = parse_market(arguments.market)
    layout = Layout(arguments.data_root.resolve(), market)
    require_fitting(arguments)
    if arguments.target is not None:
        return export_for(arguments, layout)
    named = list(named_symbols(arguments, market))
    if arguments.what != "crypto_1min":
        require_wide(market)
    require_folder(layout.root)
    with hold_root(layout.temp, exclusive=True):
        if arguments.what == "final":
            done = _final(layout)
        elif arguments.what == "stages":
            done = _stages(layout, named)
        else:
            done = _minutes(layout, named, arguments)
    code = ExitCode.FAILED if done.missing else ExitCode.DONE
    return Answer(code, {"exit_code": int(code), "files": done.files, "missing": done.missing})


def _minutes(layout: Layout, named: list[Symbol], arguments: argparse.Namespace) -> _Exported:
    done = _Exported()
    now = datetime.now(UTC).isoformat(timespec="seconds")
    for symbol in named or _some(symbols_with_minutes(layout), layout):
        span = _span(layout, symbol, arguments)
        written = None if span is None else write_minute_csv(layout, symbol, span, now)
        if written is None:
            done.missing.append(symbol.exchange)
            print(f"{symbol.exchange}: no 1m klines there")
        else:
            print(f"{written.path}: {written.rows} rows" + ("" if written.built else ", current"))
            told = {"path": written.path, "rows": written.rows, "written": written.built}
            done.files.append({"symbol": symbol.exchange, **told})
    return done


def _span(layout: Layout, symbol: Symbol, arguments: argparse.Namespace) -> DateRange | None:
    months = [Period.parse(stamp) for stamp in minute_files(layout, symbol)]
    if not months:
        return None
    last = min(date.fromordinal(months[-1].end.toordinal() - 1), datetime.now(UTC).date())
    return parse_span(arguments.start or months[0].start, arguments.end or last)


def _stages(layout: Layout, named: list[Symbol]) -> _Exported:
    tables = sorted(layout.symbol_table(Symbol(layout.market, "X")).parent.glob("*.parquet"))
    there = [Symbol(layout.market, path.stem) for path in tables]
    done = _Exported()
    for symbol in named or _some(there, layout):
        if symbol not in there:
            done.missing.append(symbol.exchange)
            print(f"{symbol.exchange}: no symbol table; build it with: alphaqcm build")
            continue
        _warn_if_old(layout, symbol)
        for path in write_stages(layout, symbol):
            print(path)
            done.files.append({"symbol": symbol.exchange, "path": path, "written": True})
    return done


def _warn_if_old(layout: Layout, symbol: Symbol) -> None:
    own = read_fingerprint(layout.symbol_table(symbol))
    told = {} if own is None else dict(own.parameters)
    if own is None or not told.get("start"):
        return
    span = parse_span(date.fromisoformat(told["start"]), date.fromisoformat(told["end"]))
    if own.digest != table_fingerprint(layout, symbol, span).digest:
        print(
            f"{symbol.exchange}: its stages are those of {span.start}..{span.end} as last built; "
            "alphaqcm build makes newer ones"
        )


def _final(layout: Layout) -> _Exported:
    done = _Exported()
    tables = sorted(layout.base.glob("final_dataset*_all.parquet"))
    for table in _some(tables, layout):
        variant = table.name.removesuffix("_all.parquet").removeprefix("final_dataset")
        built = write_final_csvs(layout, variant.removeprefix("_"))
        folder = layout.final_dir(variant.removeprefix("_"))
        print(f"{folder}: " + ("written" if built else "current"))
        done.files.append({"path": folder, "written": bool(built)})
    return done


def _some(found: list[_T], layout: Layout) -> list[_T]:
    if not found:
        raise UsageError(
            layout.base,
            expected="something to export",
            found="nothing of the kind",
            next_step="alphaqcm run, or another --data-root or --market",
        )
    return found
