"""Every column of the wide table: what it means, its unit, what it is computed from.

`--format markdown` prints the page that `alphaqcm docs columns` shows.
"""

from __future__ import annotations

import argparse

from rich.console import Console
from rich.table import Table

from alphaqcm.pipeline.features.columns import REGISTRY, ColumnSpec, Group
from alphaqcm.pipeline.features.columns.render import to_json, to_markdown


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--group",
        choices=[group.value for group in Group],
        metavar="G",
        help="only the columns of one group: " + ", ".join(Group),
    )
    parser.add_argument(
        "--format",
        choices=["table", "json", "markdown"],
        default="table",
        help="how to print them (default: %(default)s)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the columns, in the table's order."""
    specs = [spec for spec in REGISTRY.values() if arguments.group in (None, spec.group.value)]
    if arguments.format == "json":
        print(to_json(specs))
    elif arguments.format == "markdown":
        print(to_markdown(specs), end="")
    else:
        Console().print(_table(specs))
    return 0


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
