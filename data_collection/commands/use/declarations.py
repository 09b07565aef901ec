"""The commands that read what was made, and those about the command line itself."""

from __future__ import annotations

from alphaqcm.data_collection.commands.command import Command
from alphaqcm.data_collection.commands.grammar import values
from alphaqcm.data_collection.commands.options import (
    CHOSEN,
    DATA_ROOT,
    JSON,
    MARKET,
    Kind,
    Option,
    switch,
)

GROUPS = (
    "key", "base bar", "funding", "price triad", "open interest", "long/short", "time", "universe",
    "gap flags", "quality flags", "momentum", "volatility", "shape", "liquidity", "correlation",
    "volume by return", "order flow", "derived", "point-in-time siblings",
)  # fmt: skip
"""`columns.Group`, without its libraries."""

COMMANDS = (
    Command(
        "columns",
        "use.columns",
        "every column of the wide table: definition, unit, inputs",
        """Every column of the wide table: what it means, its unit, what it is computed from.

`--format markdown` prints the page that `alphaqcm docs columns` shows.""",
        (
            Option("--group", "only the columns of one group: " + ", ".join(GROUPS),
                   choices=GROUPS, metavar="G"),
            Option("--format", "how to print them", default="table",
                   choices=("table", "json", "markdown")),
            JSON,
            DATA_ROOT.but(help="any; the columns are the same in all of them"),
        ),
        ("--group momentum", "--json columns.json"),
        answers=True,
    ),
    Command(
        "check",
        "use.check",
        "look for what is missing, doubled, impossible or leaking; report",
        """Look for what is missing, doubled, impossible or leaking in layers and table.

Changes no layer. Prints the findings by check and cause, the worst first; --json and --html write
the whole report. No finding stops anything: the exit code is 0 unless --strict names severities
that were found.""",
        (
            *CHOSEN,
            JSON.but(help="write the report as JSON to FILE, or to standard output"),
            Option("--html", "write the report as a page", values.path, metavar="FILE"),
            Option("--strict",
                   "exit 1 when there are findings of these severities (comma list; "
                   "default of a bare --strict: error)",
                   metavar="SEVERITIES", kind=Kind.OPTIONAL, const="error"),
            switch("--deep", "compare every monthly file with its daily files; downloads those not "
                   "at hand"),
            MARKET,
            DATA_ROOT,
        ),
        ("--html report.html", "--strict error,warning --json report.json"),
    ),
    Command(
        "info",
        "use.info",
        "print and verify the manifest beside a table",
        """Print the manifest beside a table, and verify that the table is the one it describes.

Spot and coin-margined markets have no table: of these the layers at hand are told.

Exit code 0 only when bytes, checksum, rows and columns are those of the manifest.""",
        (
            Option("table",
                   "a parquet table (default: the data root's final_dataset_all.parquet)",
                   values.path, metavar="TABLE"),
            JSON.but(help="the whole manifest as JSON, to FILE or to standard output"),
            switch("--files",
                   "print every archive file behind the table as CSV: symbol, key, sha256"),
            MARKET,
            DATA_ROOT,
        ),
        ("", "--json"),
        answers=True,
    ),
    Command(
        "sql",
        "use.sql",
        "query all layers with DuckDB, read-only",
        """Ask all layers with SQL (DuckDB), read-only: every layer is a view.

    alphaqcm sql "SHOW TABLES"
    alphaqcm sql "SELECT symbol, count(*) AS hours FROM final GROUP BY symbol"

`alphaqcm docs sql` has more. A query can read what lies below the data root and write nothing.""",
        (
            Option("query", "one reading statement; `-` reads it from stdin", metavar="SQL",
                   required=True),
            Option("--format", "how to print the rows", choices=("table", "csv", "json"),
                   default="table"),
            Option("--rows", "rows of a table", values.whole(1, 1_000_000), default=40,
                   metavar="N"),
            JSON,
            MARKET,
            DATA_ROOT,
        ),
        ('"SHOW TABLES"', '"FROM final LIMIT 5" --format csv'),
        answers=True,
    ),
    Command(
        "docs",
        "use.docs",
        "print a page of the documentation",
        """Print a page of the documentation; without a name, the list of pages.

Pages are Markdown.""",
        (Option("page", "the page to print", metavar="NAME"), JSON),
        ("sql", "columns | less"),
        answers=True,
    ),
    Command(
        "config",
        "use.config",
        "every option's effective value, and where it comes from",
        """Show the effective value of every option that may have one, and where it comes from.

The command line comes first, then ALPHAQCM_* variables, then the file that --config names or
alphaqcm.toml of the working directory, then alphaqcm.toml of the data root (which may set only
symbols, start, end, market and workers), then the default. With a command's name, that
command's options, its table of the files included.""",
        (),  # all of them, see `catalogue`
        ("", "run --data-root /data/AlphaQCM_data"),
        answers=True,
    ),
    Command(
        "completion",
        "use.completion",
        "print the completion of this command for a shell",
        """Print a script that teaches a shell to complete this command.

    alphaqcm completion bash > ~/.local/share/bash-completion/completions/alphaqcm
    alphaqcm completion zsh > ~/.zfunc/_alphaqcm""",
        (Option("shell", "which shell", choices=("bash", "zsh"), required=True),),
        ("bash", "zsh"),
        answers=True,
    ),
)  # fmt: skip
