"""Writes features and a label as training files, from the final table."""

from __future__ import annotations

import argparse

from alphaqcm.data_collection.commands.exit_codes import ExitCode
from alphaqcm.data_collection.commands.output import Answer
from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.process.root_lock import hold_root
from alphaqcm.data_collection.reporting.text import counted
from alphaqcm.pipeline.storage.atomic_write import clean_temps
from alphaqcm.pipeline.storage.layout import Layout
from alphaqcm.pipeline.tables.training_set import Impute, TrainingOptions, write_training_set


def run(arguments: argparse.Namespace) -> Answer:
    """Write the training set."""
    impute = Impute(arguments.impute)
    limit = arguments.ffill_limit
    if limit is not None and impute is not Impute.FFILL:
        raise UsageError(
            f"--ffill-limit {limit}",
            expected="--impute ffill beside it",
            next_step="leave it out, or add --impute ffill",
        )
    options = TrainingOptions(
        filter_quality=arguments.filter_quality,
        min_minutes_traded=_minutes_traded(arguments),
        no_holes=arguments.no_holes,
        impute=impute,
        ffill_limit=limit or 1,
        horizons=arguments.horizon,
    )
    layout = Layout(arguments.data_root.resolve())
    table = layout.final_table(arguments.name)
    if not table.exists():
        raise UsageError(
            table, expected="a final table", found="none", next_step="alphaqcm run makes it"
        )
    with hold_root(layout.temp, exclusive=False):
        clean_temps(layout.training)  # of one that was killed
        made = write_training_set(table, layout.training, options)
    symbols = counted(made.symbols, "symbol")
    labels = ", ".join(f"{count} with {label}" for label, count in made.labelled.items())
    print(f"{made.path}: {made.rows} rows of {symbols}, {labels}")
    told = {"exit_code": 0, "path": made.path, "rows": made.rows, "symbols": made.symbols}
    return Answer(ExitCode.DONE, told | {"labelled": made.labelled})


def _minutes_traded(arguments: argparse.Namespace) -> int:
    """What --min-minutes-traded asks for, 0 without it; raises `UsageError`."""
    least: int | None = arguments.min_minutes_traded
    more = [f"--min-minutes-traded {least}"] * (least is not None)
    more += ["--no-holes"] * arguments.no_holes
    if more and not arguments.filter_quality:
        raise UsageError(
            " ".join(more),
            expected="--filter-quality beside it",
            next_step="add --filter-quality: it chooses rows, these choose among them",
        )
    return least or 0
