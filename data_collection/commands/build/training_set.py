"""Features and a label as training files, from the final table.

Writes training/{SYM}_training.csv and training/training_all.parquet. The label y_logret_fwd_1h is
ln(close one hour later / close), null if that row is absent. Columns that look ahead are left out:
their siblings volume_clean_pit and cs_coverage_frac_pit stand for them.
"""

from __future__ import annotations

import argparse

from alphaqcm.data_collection.commands.options import add_root_option
from alphaqcm.data_collection.commands.summary import counted
from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.process.root_lock import hold_root
from alphaqcm.pipeline.storage.layout import Layout
from alphaqcm.pipeline.tables.training_set import LABEL, Impute, TrainingOptions, write_training_set


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--label", choices=[LABEL], default=LABEL, help="what to predict (default: %(default)s)"
    )
    parser.add_argument(
        "--filter-quality",
        action="store_true",
        help="only rows with is_valid_for_training = 1",
    )
    parser.add_argument(
        "--impute",
        choices=[kind.value for kind in Impute],
        default=Impute.NONE.value,
        help="what stands in for a missing feature (default: %(default)s)",
    )
    parser.add_argument(
        "--ffill-limit",
        type=int,
        metavar="N",
        help="with --impute ffill: hours that a value is carried forward at most (default: 1)",
    )
    parser.add_argument(
        "--name", default="", metavar="NAME", help="from final_dataset_NAME_all.parquet instead"
    )
    add_root_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Write the training set."""
    impute = Impute(arguments.impute)
    limit = arguments.ffill_limit
    if limit is not None and (impute is not Impute.FFILL or limit < 1):
        raise UsageError(
            f"--ffill-limit {limit}",
            expected="1 or more, together with --impute ffill",
            next_step="leave it out, or add --impute ffill",
        )
    options = TrainingOptions(arguments.filter_quality, impute, limit or 1)
    layout = Layout(arguments.data_root.resolve())
    table = layout.final_table(arguments.name)
    if not table.exists():
        raise UsageError(
            table, expected="a final table", found="none", next_step="alphaqcm run makes it"
        )
    with hold_root(layout.temp, exclusive=False):
        made = write_training_set(table, layout.training, options)
    symbols = counted(made.symbols, "symbol")
    print(f"{made.path}: {made.rows} rows of {symbols}, {made.labelled} with a label")
    return 0
