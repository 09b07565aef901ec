"""Write CSVs from the parquet layers.

    crypto_1min   {SYM}_1m.csv: 1-minute bars, from the 1m klines layer (any market)
    stages        crypto_hourly_*: the stages on the way to the final table
    final         final_dataset*/{SYM}_final.csv, of every final table that is there

CSVs of `crypto_1min` and `final` that are current stay as they are.
"""

from __future__ import annotations

import argparse
from datetime import UTC, date, datetime
from typing import TypeVar

from alphaqcm.data_collection.commands.options import add_market_option, add_root_option, parse_span
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


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("what", choices=["crypto_1min", "stages", "final"], help="see above")
    parser.add_argument(
        "--symbols",
        metavar="A,B",
        help="symbols in any notation, comma separated (default: all that the layer holds)",
    )
    parser.add_argument("--start", metavar="D", help="crypto_1min: first day (default: all)")
    parser.add_argument("--end", metavar="D", help="crypto_1min: last day, included")
    add_market_option(parser)
    add_root_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Export; 1 when a symbol that was asked for has nothing to export."""
    market = parse_market(arguments.market)
    layout = Layout(arguments.data_root.resolve(), market)
    named = [
        Symbol.parse(text, market) for text in (arguments.symbols or "").split(",") if text.strip()
    ]
    if arguments.what != "crypto_1min":
        require_wide(market)
    require_folder(layout.root)
    with hold_root(layout.temp, exclusive=True):
        if arguments.what == "final":
            return _final(layout)
        if arguments.what == "stages":
            return _stages(layout, named)
        return _minutes(layout, named, arguments)


def _minutes(layout: Layout, named: list[Symbol], arguments: argparse.Namespace) -> int:
    missing = 0
    now = datetime.now(UTC).isoformat(timespec="seconds")
    for symbol in named or _some(symbols_with_minutes(layout), layout):
        span = _span(layout, symbol, arguments)
        written = None if span is None else write_minute_csv(layout, symbol, span, now)
        if written is None:
            missing += 1
            print(f"{symbol.exchange}: no 1m klines there")
        else:
            print(f"{written.path}: {written.rows} rows" + ("" if written.built else ", current"))
    return 1 if missing else 0


def _span(layout: Layout, symbol: Symbol, arguments: argparse.Namespace) -> DateRange | None:
    months = [Period.parse(stamp) for stamp in minute_files(layout, symbol)]
    if not months:
        return None
    last = min(date.fromordinal(months[-1].end.toordinal() - 1), datetime.now(UTC).date())
    return parse_span(
        arguments.start or months[0].start.isoformat(), arguments.end or last.isoformat()
    )


def _stages(layout: Layout, named: list[Symbol]) -> int:
    tables = sorted(layout.symbol_table(Symbol(layout.market, "X")).parent.glob("*.parquet"))
    there = [Symbol(layout.market, path.stem) for path in tables]
    missing = 0
    for symbol in named or _some(there, layout):
        if symbol not in there:
            missing += 1
            print(f"{symbol.exchange}: no symbol table; build it with: alphaqcm build")
            continue
        _warn_if_old(layout, symbol)
        for path in write_stages(layout, symbol):
            print(path)
    return 1 if missing else 0


def _warn_if_old(layout: Layout, symbol: Symbol) -> None:
    own = read_fingerprint(layout.symbol_table(symbol))
    told = {} if own is None else dict(own.parameters)
    if own is None or not told.get("start"):
        return
    span = parse_span(told["start"], told["end"])
    if own.digest != table_fingerprint(layout, symbol, span).digest:
        print(
            f"{symbol.exchange}: its stages are those of {span.start}..{span.end} as last built; "
            "alphaqcm build makes newer ones"
        )


def _final(layout: Layout) -> int:
    tables = sorted(layout.base.glob("final_dataset*_all.parquet"))
    for table in _some(tables, layout):
        variant = table.name.removesuffix("_all.parquet").removeprefix("final_dataset")
        built = write_final_csvs(layout, variant.removeprefix("_"))
        folder = layout.final_dir(variant.removeprefix("_"))
        print(f"{folder}: " + ("written" if built else "current"))
    return 0


def _some(found: list[_T], layout: Layout) -> list[_T]:
    if not found:
        raise UsageError(
            layout.base,
            expected="something to export",
            found="nothing of the kind",
            next_step="alphaqcm run, or another --data-root or --market",
        )
    return found
