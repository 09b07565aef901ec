"""Shows every column of the wide table: what it means, its unit, what it is computed from."""

from __future__ import annotations

import argparse

import orjson
from rich.console import Console
from rich.table import Table

from alphaqcm.data_collection.commands.exit_codes import ExitCode
from alphaqcm.data_collection.commands.output import Answer, wants_text
from alphaqcm.pipeline.features.columns import REGISTRY, ColumnSpec
from alphaqcm.pipeline.features.columns.render import to_json, to_markdown


def run(arguments: argparse.Namespace) -> Answer:
    """Print the columns, in the table's order."""
    specs = [spec for spec in REGISTRY.values() if arguments.group in (None, spec.group.value)]
    if not wants_text(arguments):
        pass
    elif arguments.format == "json":
        print(to_json(specs))
    elif arguments.format == "markdown":
        print(to_markdown(specs), end="")
    else:
        Console().print(_table(specs))
    return Answer(ExitCode.DONE, orjson.loads(to_json(specs)))


def _table(specs: list[ColumnSpec]) -> Table:
    table = Table(caption=f"{len(specs)} columns", caption_justify="left")
    table.add_column("column", no_wrap=True)
    table.add_column("type and unit", overflow="fold", max_width=14)
    table.add_column("definition", overflow="fold")
    for spec in specs:
        notes = [f"Looks at: {spec.window.text}."]
        if spec.use_instead:
            notes.append(f"Not point-in-time: use {spec.use_instead}.")
        table.add_row(
            spec.name,
            f"{spec.dtype}\n{spec.unit}".strip(),
            " ".join([spec.definition, *notes]),
            end_section=True,
        )
    return table
