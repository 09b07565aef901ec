"""Asks all layers with SQL (DuckDB), read-only."""

from __future__ import annotations

import argparse
import shutil
import sys

import duckdb
import orjson

from alphaqcm.data_collection.commands.exit_codes import ExitCode
from alphaqcm.data_collection.commands.output import Answer, wants_text
from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.serving.duckdb_views import connect, query, require_whole
from alphaqcm.pipeline.domain.registry import parse_market
from alphaqcm.pipeline.storage.layout import Layout


def run(arguments: argparse.Namespace) -> Answer:
    """Run the query and print its result."""
    layout = Layout(arguments.data_root.resolve(), parse_market(arguments.market))
    text = sys.stdin.read() if arguments.query == "-" else arguments.query
    with connect(layout, text) as connection:
        require_whole(layout, text)
        result = query(connection, text)
        rows = None
        try:
            if arguments.json is not None:
                rows = orjson.loads(result.pl().write_json())
            if not wants_text(arguments):
                pass
            elif arguments.format == "table":
                result.show(max_rows=arguments.rows, max_width=shutil.get_terminal_size().columns)
            elif arguments.format == "csv":
                sys.stdout.write(result.pl().write_csv())
            else:
                sys.stdout.write(result.pl().write_json() + "\n")
        except duckdb.Error as error:
            raise UsageError("the query", expected="rows", found=str(error)) from error
    return Answer(ExitCode.DONE, rows)
