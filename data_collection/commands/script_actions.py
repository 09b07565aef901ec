"""The scripts under the names users know: what each takes and does, as data, and what does it.

Each file `data_collection/NAME.py` starts `main(NAME)`. Most are a command under an older name,
with other defaults; the three stage scripts write the stages of the last run.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from alphaqcm.data_collection.commands.build.declarations import (
    AGGTRADES_WORKER,
    MONITOR_COMMAND,
    RUN_COMMAND,
    WORKER_COMMAND,
)
from alphaqcm.data_collection.commands.command import Command
from alphaqcm.data_collection.commands.data.declarations import FETCH_COMMAND
from alphaqcm.data_collection.commands.grammar import values
from alphaqcm.data_collection.commands.main import run_command
from alphaqcm.data_collection.commands.options import (
    DATA_ROOT,
    JSON,
    RUN,
    SKIP_EXISTING,
    SYMBOLS,
    SYMBOLS_FILE,
    WORKERS,
    Kind,
    Option,
)

_STAGE_NOTE = (
    "Nothing is downloaded. The stages beside it are written too, as `alphaqcm build` does."
)
_SPAN = "--start 2024-01-01 --end 2024-12-31"
_UNIVERSE = "--symbols-file symbols/top100_perp_symbols.txt"


@dataclass(frozen=True, slots=True)
class Script:
    """A script: a command of its own, and what its `run` is told besides the options."""

    command: Command
    told: Mapping[str, Any] = field(default_factory=dict)


def _stage(name: str, stage: str, about: str) -> Script:
    command = Command(
        name,
        "scripts.stages",
        about,
        f"{about}\n\n{_STAGE_NOTE}",
        (
            Option("names", "symbols in any notation (default: all of the run)", kind=Kind.MANY,
                   default=(), metavar="SYMBOL"),
            SYMBOLS.but(help="the same, comma separated"),
            SYMBOLS_FILE.but(help="the same, one symbol a line"),
            DATA_ROOT,
            JSON,
        ),
        ("", "BTCUSDT ETHUSDT"),
    )  # fmt: skip
    return Script(command, {"stage": stage})


def _fetch(name: str, about: str, types: tuple[str, ...], *, minutes: bool = False) -> Script:
    command = Command(
        name,
        "scripts.fetch",
        about.partition("\n")[0],
        about,
        (*RUN, WORKERS, JSON),
        (f"{_UNIVERSE} {_SPAN}", "--symbols BTCUSDT --start -30d --end yesterday"),
    )
    return Script(command, {"types": types, "minutes": minutes})


def _monitor(name: str, about: str, title: str) -> Script:
    command = Command(
        name,
        "scripts.monitor",
        about,
        f"""{about}

In a terminal the screen is renewed in place until Ctrl-C; elsewhere it is printed every
interval.""",
        MONITOR_COMMAND.options,
        ("--interval 15", "--once --json"),
        section="monitor",
        answers=True,
    )
    return Script(command, {"title": title})


_QUEUE_WORKER = Command(
    "run_aggtrades_queue",
    WORKER_COMMAND.module,
    "work on a shared queue of aggTrades",
    """Work on a shared queue of aggTrades: months to 1-minute parquet, then hourly CSVs.

Start it in as many terminals as there are cores, each with its own --worker-id and else the same
words; `alphaqcm workers N` does that. Exit code 0 when all is done or absent at the source.""",
    (
        Option("--worker-id", "this worker's own name", values.worker_name, metavar="A",
               required=True, to="id", hidden=("--id",)),
        *(one.but(required=one.dest in ("start", "end")) for one in AGGTRADES_WORKER),
    ),
    (
        f"--worker-id A {_UNIVERSE} --market um {_SPAN} --skip-existing",
        "--worker-id B --symbols BTCUSDT,ETHUSDT --start -30d --end yesterday",
    ),
    section="worker",
    answers=True,
    one_thread=True,
)  # fmt: skip

_DOWNLOAD_ALL = Command(
    "download_all_binance_archive",
    FETCH_COMMAND.module,
    "archive files of many symbols and data types, verified, into the cache",
    """Download archive files of many symbols and data types, verified, into the cache.

The same as `alphaqcm fetch`. Files that are verified and unchanged at the source are never
downloaded again, with or without --skip-existing.""",
    (
        *(
            one.but(name="--data-types", to="types", hidden=("--types",))
            if one.name == "--types"
            else one
            for one in FETCH_COMMAND.options
        ),
        SKIP_EXISTING.but(help="accepted; verified files are always kept"),
    ),
    (
        f"{_UNIVERSE} {_SPAN} --market um --data-types klines:1h,metrics,fundingRate",
        "--symbols BTCUSDT --start -30d --end yesterday --skip-existing",
    ),
    section="fetch",
)

_GLOBAL_TABLE = Command(
    "build_global_final_table",
    "scripts.global_table",
    "the final parquet anew from the CSVs of a final dataset",
    """Build `final_dataset_all.parquet` anew from the CSVs of a final dataset.

The table is the same, value for value and type for type, as the one the CSVs were written from.""",
    (
        Option("--input-dir",
               "folder of the {SYM}_final.csv files (default: final_dataset in the data root)",
               values.path, metavar="DIR"),
        Option("--output",
               "the parquet to write (default: {input-dir}_all.parquet, beside the folder)",
               values.path, metavar="FILE"),
        Option("--compression", "how its columns are packed", default="zstd",
               choices=("zstd", "snappy", "gzip", "brotli", "lz4", "none")),
        Option("--row-group-size", "rows in a row group at most; none holds two symbols",
               values.whole(1, 1_000_000_000), default=None, metavar="ROWS"),
        DATA_ROOT,
        JSON,
    ),
    ("", "--input-dir AlphaQCM_data/final_dataset --compression snappy"),
)  # fmt: skip

SCRIPTS: dict[str, Script] = {
    script.command.name: script
    for script in (
        Script(_DOWNLOAD_ALL),
        _fetch(
            "fetch_1min_data",
            """Fetch 1m klines, to their parquet layer and to `crypto_1min/{SYM}_1m.csv`.

`alphaqcm run` does it on the way to the final table, `alphaqcm export crypto_1min` writes CSVs.""",
            ("klines:1m",),
            minutes=True,
        ),
        _fetch(
            "fetch_derivatives_data",
            """Fetch everything but trades and minutes, to its hourly CSVs.

Funding, mark, index and premium prices, open interest and 1h klines, under `binance_*/`;
`alphaqcm run` does it on the way to the final table.""",
            ("klines:1h", "markPriceKlines:1h", "indexPriceKlines:1h", "premiumIndexKlines:1h",
             "fundingRate", "metrics"),
        ),
        Script(_QUEUE_WORKER),
        _monitor(
            "monitor_aggtrades_progress",
            "Watch the queue of aggTrades: months to 1-minute parquet, then CSVs. Reads only.",
            "aggTrades",
        ),
        _monitor(
            "monitor_volatility_progress",
            "Watch the factor stage of a run: one task a symbol, after all its files. Reads only.",
            "hourly factors",
        ),
        _stage(
            "aggregate_hourly_basic", "crypto_hourly_basic",
            "Write `crypto_hourly_basic/`: hourly OHLCV and VWAP, from the last run's 1m klines.",
        ),
        _stage(
            "add_funding_features", "crypto_hourly_full",
            "Write `crypto_hourly_full/`: the hourly bars with funding, from the last run.",
        ),
        _stage(
            "clean_one_symbol", "crypto_hourly_cleaned",
            "Write `crypto_hourly_cleaned/` of the symbols named: full bars with quality flags.",
        ),
        Script(_GLOBAL_TABLE),
        Script(RUN_COMMAND.but(name="run_full_pipeline", section="run")),
    )
}  # fmt: skip
"""Every script by the name of its file."""


def main(name: str) -> int:
    """Run a script with the words of the command line; returns its exit code."""
    script = SCRIPTS[name]
    return run_command(script.command, sys.argv[1:], f"{name}.py", **script.told)
