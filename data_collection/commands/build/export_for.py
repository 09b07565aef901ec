"""Writes what other programs read: Qlib's folders, NumPy panels, copies of the minute layers."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from alphaqcm.data_collection.commands.exit_codes import ExitCode
from alphaqcm.data_collection.commands.output import Answer
from alphaqcm.data_collection.commands.request import parse_span
from alphaqcm.data_collection.commands.universe import named_symbols
from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.process.root_lock import hold_root, require_folder
from alphaqcm.data_collection.reporting.text import counted
from alphaqcm.data_collection.serving.layer_copies import write_layers
from alphaqcm.data_collection.serving.layer_reader import LayerReader
from alphaqcm.data_collection.serving.lazy_symbols import Cut
from alphaqcm.data_collection.serving.panel import NUMBERS, read_panel, require_numbers
from alphaqcm.data_collection.serving.panel_file import (
    STOCK_FEATURES,
    write_panel,
    write_stock_data,
)
from alphaqcm.data_collection.serving.qlib_files import FREQUENCY, write_qlib
from alphaqcm.pipeline.domain.date_range import DateRange
from alphaqcm.pipeline.domain.registry import parse_market
from alphaqcm.pipeline.storage.layout import Layout
from alphaqcm.pipeline.tables.symbol_table import require_wide

_TABLE = ("qlib", "panel")
_TARGETED = (*_TABLE, "layers")
_BELONGS = {
    "fields": _TABLE,
    "filter_quality": _TABLE,
    "name": _TABLE,
    "stock_data": ("panel",),
    "hive": ("layers",),
    "start": (*_TARGETED, "crypto_1min"),
    "end": (*_TARGETED, "crypto_1min"),
}
"""Options of single exports."""


def require_fitting(arguments: argparse.Namespace) -> None:
    """Raise `UsageError` for a missing or needless target and for options of another export."""
    what = arguments.what
    if (arguments.target is not None) != (what in _TARGETED):
        raise UsageError(
            f"export {what} {arguments.target or ''}".rstrip(),
            expected="the folder or file to write after it" if what in _TARGETED else "no target",
            next_step=f"alphaqcm export {what} --help",
        )
    if what == "panel" and arguments.target.suffix != ".npz":
        raise UsageError(
            arguments.target, expected="a name that ends in .npz", next_step="add the suffix"
        )
    for dest, kinds in _BELONGS.items():
        if dest in arguments.given and what not in kinds:
            raise UsageError(
                f"export {what} --{dest.replace('_', '-')}",
                expected=f"this option with {' or '.join(kinds)}",
                next_step=f"alphaqcm export {what} --help",
            )


def export_for(arguments: argparse.Namespace, layout: Layout) -> Answer:
    """Write the target that the options name; what it holds is told."""
    if arguments.what in _TABLE:
        require_wide(layout.market)
    require_folder(layout.root)
    reader = LayerReader(layout)
    target = arguments.target.absolute()
    with hold_root(layout.temp, exclusive=False):
        told = _WRITERS[arguments.what](arguments, reader, target)
    return Answer(ExitCode.DONE, {"exit_code": 0, "path": target, **told})


def _qlib(arguments: argparse.Namespace, reader: LayerReader, target: Path) -> dict[str, Any]:
    made = write_qlib(
        reader,
        _cut(arguments),
        _fields(arguments),
        target,
        valid=arguments.filter_quality,
        variant=arguments.name,
    )
    fields = counted(len(made.fields), "field")
    print(f"{made.folder}: {counted(len(made.symbols), 'symbol')}, {made.hours} hours, {fields}")
    print(f'read it with: qlib.init(provider_uri="{made.folder}"), freq="{FREQUENCY}"')
    return {"symbols": made.symbols, "hours": made.hours, "fields": made.fields}


def _panel(arguments: argparse.Namespace, reader: LayerReader, target: Path) -> dict[str, Any]:
    fields = _fields(arguments)
    if arguments.stock_data:
        fields = list(dict.fromkeys([*STOCK_FEATURES, *fields]))
    panel = read_panel(
        reader, _cut(arguments), fields, valid=arguments.filter_quality, variant=arguments.name
    )
    if not len(panel.times):
        raise UsageError(
            reader.layout.final_table(arguments.name),
            expected="rows of these days and symbols",
            found="none",
        )
    write = write_stock_data if arguments.stock_data else write_panel
    write(panel, target)
    shape = " x ".join(f"{length}" for length in panel.values.shape)
    print(f"{target}: {shape} (hours x fields x symbols)")
    return {"shape": panel.values.shape, "fields": panel.fields, "symbols": panel.symbols}


def _layers(arguments: argparse.Namespace, reader: LayerReader, target: Path) -> dict[str, Any]:
    made = write_layers(reader, _cut(arguments), target, hive=arguments.hive)
    print(f"{made.folder}: {counted(made.files, 'file')}, {made.rows} rows")
    return {"files": made.files, "rows": made.rows}


_WRITERS = {"qlib": _qlib, "panel": _panel, "layers": _layers}


def _fields(arguments: argparse.Namespace) -> Sequence[str]:
    if arguments.fields is None:
        return STOCK_FEATURES
    return NUMBERS if arguments.fields == ("all",) else require_numbers(arguments.fields)


def _cut(arguments: argparse.Namespace) -> Cut:
    """The symbols and days that the options name, all where they name none."""
    if arguments.start is not None and arguments.end is not None:
        parse_span(arguments.start, arguments.end)
    return Cut(
        named_symbols(arguments, parse_market(arguments.market)) or None,
        None if arguments.start is None else _start_us(arguments.start),
        None if arguments.end is None else _start_us(arguments.end + timedelta(days=1)),
    )


def _start_us(day: date) -> int:
    return DateRange(day, day).start_us
