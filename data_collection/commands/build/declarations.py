"""The commands that make layers and tables: their options and their help."""

from __future__ import annotations

from alphaqcm.data_collection.commands.command import Command
from alphaqcm.data_collection.commands.grammar import values
from alphaqcm.data_collection.commands.options import (
    ACCEPT_CORRUPT,
    ANY_DAYS,
    CHOSEN,
    CLUSTER,
    COMPLETE,
    DATA_ROOT,
    END,
    FETCHING,
    FROM_SOURCE,
    JSON,
    KEEP_ZIPS,
    LAYOUT,
    LISTING,
    MARKET,
    NAME,
    NO_LEASE,
    RUN,
    SCRATCH,
    SKIP_EXISTING,
    SOURCE,
    SYMBOLS,
    SYMBOLS_FILE,
    TEMP_DIR,
    TYPES,
    WORKERS,
    Option,
    option,
    switch,
)

STATE = option(
    "--state",
    "the queue's state file (default: _tmp/aggTrades_queue_state.json in the data root)",
    values.path, metavar="S",
)  # fmt: skip
QUEUE = (
    SKIP_EXISTING,
    switch("--retry-failed", "bring tasks back that failed for good"),
    option(
        "--stale-hours",
        "a worker loses its tasks after so long without a heartbeat "
        "(default: %(default)s; a dead one on the same host loses them at once)",
        values.real(0, 100_000, open_below=True), default=0.1, metavar="H",
    ),
)  # fmt: skip
"""What all workers' commands share; a heartbeat counts for `liveness.STALE_AFTER`."""

WORKER_PLACES = (
    STATE,
    option("--aggtrades-1m-dir", "1-minute parquet of aggTrades (default: in the data root)",
           values.path, metavar="DIR"),
    option("--output-dir", "hourly CSVs of aggTrades (default: in the data root)", values.path,
           metavar="DIR"),
    TEMP_DIR,
)  # fmt: skip
MAX_SYMBOLS = option(
    "--max-symbols", "only the first N symbols", values.whole(1, 1_000_000), metavar="N"
)
LISTED_BUT = "one symbol a line; also looked up by its name in symbols/, or read from a pipe"
MONITOR = (
    option("--interval", "seconds between two screens", values.real(0, 86_400, open_below=True),
           default=15.0, metavar="SEC"),
    switch("--once", "one screen, then end"),
    JSON.but(help="as JSON, one line a picture, to FILE or to standard output"),
    STATE,
    option("--stall-warn-sec", "warn when no task was begun or finished for so long",
           values.real(0, 10**9, open_below=True), default=900.0, metavar="N"),
    DATA_ROOT,
)  # fmt: skip

RUN_COMMAND = Command(
    "run",
    "build.run",
    "the whole pipeline: download, layers, factors, final table",
    """The whole pipeline for some symbols and days: download, layers, factors, the one table.

Can be stopped at any point; the same command goes on from there. What is current is neither
downloaded nor built again. Spot and coin-margined markets end at the hourly layers.""",
    (
        *RUN,
        TEMP_DIR,
        WORKERS,
        switch(
            "--dry-run",
            "say what would be fetched and done, how large it is and how much disk "
            "is free; do nothing",
        ),
        COMPLETE,
        NAME,
        LAYOUT,
        ACCEPT_CORRUPT,
        *CLUSTER,
        KEEP_ZIPS,
        NO_LEASE,
        *FETCHING,
        JSON,
    ),
    (
        "--symbols BTCUSDT,ETHUSDT --start 2024-01-01 --end 2024-03-31 --workers 4 --dry-run",
        "--symbols-file top100_perp_symbols.txt --start -90d --end yesterday --json run.json",
    ),
)
BUILD_COMMAND = Command(
    "build",
    "build.build",
    "layers and tables from the month files at hand, nothing is downloaded",
    """The last run's layers and tables again, from the month files at hand: nothing is downloaded.

For another variant of the table, after CSVs were deleted, or without a network.""",
    (MARKET, DATA_ROOT, WORKERS, COMPLETE, NAME, ACCEPT_CORRUPT, JSON),
    ("--workers 4", "--complete metrics --name with_metrics"),
)
UPDATE_COMMAND = Command(
    "update",
    "build.update",
    "add what is new or changed at the source, publish the new table",
    """Bring the data root of the last run up to date, and publish the new table.

Lists the source, fetches and rebuilds only the months that are new or changed there, computes only
the new rows, and writes the table in the old one's place at once: who reads the old one keeps it.
The result is the table that a full run would give, byte for byte. CSVs are not written: the final
ones follow with `alphaqcm export final`, all others with `alphaqcm build`. Spot and coin-margined
markets have no table: their 1-minute and hourly layers are brought up to date.""",
    (
        END.but(
            required=False, also=("--through",), help="last day, included (default: yesterday)"
        ),
        WORKERS,
        SOURCE.but(default=None, help="another source than the last run's, from now on"),
        LISTING.but(help="where that source is listed"),
        MARKET,
        DATA_ROOT,
        ACCEPT_CORRUPT,
        SCRATCH,
        NO_LEASE,
        JSON,
    ),
    ("", "--end yesterday --workers 4 --json -"),
)
_WORKER_OPTIONS: tuple[Option, ...] = (
    *CHOSEN, MAX_SYMBOLS, TYPES, *ANY_DAYS, MARKET, *FROM_SOURCE, DATA_ROOT, *QUEUE, *WORKER_PLACES,
)  # fmt: skip
AGGTRADES_WORKER = tuple(
    one.but(default=("aggTrades",), help="data types, or all (default: aggTrades)")
    if one is TYPES
    else one
    for one in _WORKER_OPTIONS
)
"""The options of a worker on the queue of aggTrades."""

WORKER_COMMAND = Command(
    "worker",
    "build.worker",
    "work on the shared queue",
    """Work on the shared queue: for every data type of a run, beside other workers.

With days and symbols the queue is made to be about them (what is valid of an older queue is kept);
without, the worker joins the queue as it is. It ends when every task is done, absent or failed, and
waits while other live workers hold the rest. Exit code 0 when nothing failed.""",
    (
        Option("--id", "this worker's own name", values.worker_name, metavar="A", required=True,
               hidden=("--worker-id",)),
        *_WORKER_OPTIONS,
    ),
    (
        "--id A --symbols BTCUSDT --start 2024-01-01 --end 2024-03-31",
        "--id B",
    ),
    one_thread=True,
    answers=True,
)  # fmt: skip
WORKERS_COMMAND = Command(
    "workers",
    "build.workers",
    "start N workers on the queue of aggTrades, and the monitor beside them",
    """Start N workers (default 3) on one queue of aggTrades, and the monitor beside them.

With tmux each worker and the monitor have a pane of the session "alphaqcm"; without it they are
background processes. Logs: _tmp/logs/worker-*.log in the data root. --types starts workers of other
data types, or of all: `--types all`.""",
    (
        Option("count", "how many", values.whole(1, 256), default=3, metavar="N"),
        *(one.but(required=one.dest in ("start", "end")) for one in AGGTRADES_WORKER),
        JSON,
    ),
    (
        "3 --symbols-file top100_perp_symbols.txt --start 2024-01-01 --end 2024-12-31 "
        "--skip-existing",
        "2 --symbols BTCUSDT,ETHUSDT --start -30d --end yesterday",
    ),
)
MONITOR_COMMAND = Command(
    "monitor",
    "build.monitor",
    "watch the shared queue",
    """Watch the shared queue: totals, workers, speed, finish time, failures. Reads only.

In a terminal the picture is renewed in place until Ctrl-C; elsewhere it is printed every
interval.""",
    MONITOR,
    ("--interval 5", "--once --json"),
    answers=True,
)
EXPORT_COMMAND = Command(
    "export",
    "build.export",
    "write CSV stages from the parquet layers, and data for other programs",
    """Write CSVs from the parquet layers, or what other programs read.

    crypto_1min   {SYM}_1m.csv: 1-minute bars, from the 1m klines layer (any market)
    stages        crypto_hourly_*: the stages on the way to the final table
    final         final_dataset*/{SYM}_final.csv, of every final table that is there
    qlib DIR      a data folder of Qlib: calendar, instruments, a binary file a field; "60min"
    panel FILE    npz: times, symbols, fields, values [time, field, symbol]; NaN where null
    layers DIR    copies of the 1-minute layers with symbol, units and sort order (any market)

CSVs of `crypto_1min` and `final` that are current stay as they are. DIR is replaced whole where an
earlier export made it. `panel --stock-data` writes what StockData of alphagen and AlphaQCM holds:
data [hour, feature, stock] as float32, dates, stock_ids, features.""",
    (
        Option("what", "see above", choices=("crypto_1min", "stages", "final", "qlib", "panel",
                                             "layers"), required=True),
        Option("target", "qlib, panel, layers: the folder or file to write", values.path,
               metavar="DIR|FILE"),
        SYMBOLS.but(help="symbols in any notation, comma separated (default: all that the layer "
                    "holds)"),
        SYMBOLS_FILE.but(help=LISTED_BUT),
        ANY_DAYS[0].but(help="first day, but of stages and final (default: all)"),
        ANY_DAYS[1].but(help="last day, included"),
        option("--fields", "qlib, panel: columns of the wide table, or all (default: open, close, "
               "high, low, volume, vwap)", values.words, metavar="F,F"),
        switch("--filter-quality", "qlib, panel: NaN in rows without is_valid_for_training = 1"),
        switch("--stock-data", "panel: as StockData of alphagen and AlphaQCM; further fields after "
               "its six"),
        switch("--hive", "layers: partitions as Hive names them, symbol=BTCUSDT/2024-02.parquet"),
        Option("--name", "qlib, panel: from final_dataset_NAME_all.parquet instead", values.name,
               default="", metavar="NAME"),
        MARKET,
        DATA_ROOT,
        JSON,
    ),
    (
        "crypto_1min --symbols BTCUSDT --start -7d --end yesterday",
        "panel stocks.npz --stock-data",
    ),
)  # fmt: skip
TRAINING_SET_COMMAND = Command(
    "training-set",
    "build.training_set",
    "features and labels as training files",
    """Features and labels as training files, from the final table.

Writes training/{SYM}_training.csv and training/training_all.parquet. The label y_logret_fwd_4h is
ln(close 4 hours later / close), null unless a row follows by exactly 4 hours and traded. Columns
that look ahead are left out: their siblings volume_clean_pit and cs_coverage_frac_pit stand for
them.""",
    (
        option("--horizon", "hours that the labels look forward, one label each (default: 1h)",
               values.hours, default=(1,), metavar="1h,4h"),
        Option("--label", "the label of one hour, as without --horizon",
               choices=("y_logret_fwd_1h",)),
        switch("--filter-quality", "only rows with is_valid_for_training = 1"),
        Option("--min-minutes-traded",
               "with --filter-quality: only rows in which at least N minutes traded",
               values.whole(1, 60), metavar="N"),
        switch("--no-holes", "with --filter-quality: only rows with row_span_168h = 168, whose "
               "windows cross no missing hour"),
        option("--impute", "what stands in for a missing feature", default="none",
               choices=("none", "ffill", "zero")),
        Option("--ffill-limit",
               "with --impute ffill: hours that a value is carried forward at most (default: 1)",
               values.whole(1, 100_000), metavar="N"),
        Option("--name", "from final_dataset_NAME_all.parquet instead", values.name, default="",
               metavar="NAME"),
        DATA_ROOT,
        JSON,
    ),
    (
        "--horizon 1h,4h,24h --filter-quality --min-minutes-traded 50 --no-holes",
        "--impute ffill --ffill-limit 3 --name with_metrics",
    ),
)  # fmt: skip

COMMANDS = (
    RUN_COMMAND, BUILD_COMMAND, UPDATE_COMMAND, WORKER_COMMAND, WORKERS_COMMAND, MONITOR_COMMAND,
    EXPORT_COMMAND, TRAINING_SET_COMMAND,
)  # fmt: skip
