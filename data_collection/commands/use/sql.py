"""Ask all layers with SQL (DuckDB), read-only: every layer is a view.

    alphaqcm sql "SHOW TABLES"
    alphaqcm sql "SELECT symbol, count(*) AS hours FROM final GROUP BY symbol"

`alphaqcm docs sql` has more. A query can read what lies below the data root and write nothing.
"""

from __future__ import annotations

import argparse
import shutil
import sys

import duckdb

from alphaqcm.data_collection.commands.options import add_market_option, add_root_option
from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.serving.duckdb_views import connect, query
from alphaqcm.pipeline.domain.registry import parse_market
from alphaqcm.pipeline.storage.layout import Layout


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "query", metavar="SQL", help="one reading statement; `-` reads it from stdin"
    )
    parser.add_argument(
        "--format", choices=["table", "csv", "json"], default="table", help="default: %(default)s"
    )
    parser.add_argument(
        "--rows", type=int, default=40, metavar="N", help="rows of a table (default: %(default)s)"
    )
    add_market_option(parser)
    add_root_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the query and print its result."""
    layout = Layout(arguments.data_root.resolve(), parse_market(arguments.market))
    text = sys.stdin.read() if arguments.query == "-" else arguments.query
    with connect(layout) as connection:
        result = query(connection, text)
        try:
            if arguments.format == "table":
                result.show(max_rows=arguments.rows, max_width=shutil.get_terminal_size().columns)
            elif arguments.format == "csv":
                sys.stdout.write(result.pl().write_csv())
            else:
                sys.stdout.write(result.pl().write_json() + "\n")
        except duckdb.Error as error:
            raise UsageError("the query", expected="rows", found=str(error)) from error
    return 0
