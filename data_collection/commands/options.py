"""The options of the command line, as data; what several commands share is declared here.

An option has one name everywhere. Its default may come from an environment variable
(`ALPHAQCM_DATA_ROOT`) or a configuration file (`data-root = "…"`), see `configuration`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from alphaqcm.data_collection.commands.grammar import values

PREFIX = "ALPHAQCM_"
DEFAULT_ROOT = Path("AlphaQCM_data")
DEFAULT_UNIVERSE = "top100_perp_symbols.txt"
OFFICIAL_SOURCE = "https://data.binance.vision"
MOST_PROCESSES = 1024
MARKETS = ("spot", "um", "cm")


class Kind(StrEnum):
    """How many words an option takes."""

    VALUE = "value"
    SWITCH = "switch"  # none: it is there or not
    REPEATED = "repeated"  # may be given several times
    OPTIONAL = "optional"  # its value may be left out: `const` then stands for it
    MANY = "many"  # a positional of any number of words


@dataclass(frozen=True, slots=True)
class Option:
    """One option (`--name`) or positional word (`name`) of a command."""

    name: str
    help: str
    parse: Callable[[str], Any] = str
    default: Any = None
    metavar: str = ""
    choices: tuple[str, ...] = ()
    kind: Kind = Kind.VALUE
    const: Any = None
    required: bool = False
    also: tuple[str, ...] = ()  # further spellings that the help shows
    hidden: tuple[str, ...] = ()  # older spellings, still accepted
    to: str = ""  # the attribute that holds it, where that is not the name
    configurable: bool = False  # may come from a variable or a configuration file
    in_root: bool = False  # may come from a file inside a data root
    group: str = ""

    @property
    def positional(self) -> bool:
        """Whether it is a word without dashes."""
        return not self.name.startswith("-")

    @property
    def dest(self) -> str:
        """The attribute of the parsed arguments."""
        return self.to or self.key.replace("-", "_")

    @property
    def key(self) -> str:
        """Its name in a configuration file."""
        return self.name.lstrip("-")

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return PREFIX + self.key.replace("-", "_").upper()

    def but(self, **changes: Any) -> Option:
        """The same option with something else about it."""
        return replace(self, **changes)


def option(name: str, text: str, parse: Callable[[str], Any] = str, **more: Any) -> Option:
    """An option whose default may come from variables and files."""
    return Option(name, text, parse, configurable=True, **more)


def switch(name: str, text: str, **more: Any) -> Option:
    """An option without a value, of one command's action: given on the command line or not."""
    return Option(name, text, default=False, kind=Kind.SWITCH, **more)


DATA_ROOT = option(
    "--data-root", "where everything is kept", values.data_root, default=DEFAULT_ROOT, metavar="D",
    hidden=("--root",),
)  # fmt: skip
MARKET = option(
    "--market", "spot, um: USDT-margined, cm: coin-margined futures",
    default="um", choices=MARKETS, in_root=True,
)  # fmt: skip
SYMBOLS = option(
    "--symbols", "symbols in any notation, comma separated", metavar="A,B", in_root=True
)
SYMBOLS_FILE = option(
    "--symbols-file",
    "one symbol a line, `#` starts a comment; also looked up by its name in symbols/, or read from "
    f"a pipe such as <(…) (default: {DEFAULT_UNIVERSE})",
    values.path, metavar="F",
)  # fmt: skip
START = option(
    "--start", "first day (UTC): YYYY-MM-DD, yesterday, or -30d for thirty days ago", values.day,
    metavar="D", required=True, in_root=True,
)  # fmt: skip
END = option(
    "--end", "last day, included; written as --start is", values.day,
    metavar="D", required=True, in_root=True,
)  # fmt: skip
TYPES = option(
    "--types",
    "data types such as klines:1m,metrics; bars without an interval are 1h "
    "(default: every type a run of the market takes)",
    values.words, metavar="T,T", hidden=("--data-types",),
)  # fmt: skip
SOURCE = option(
    "--source", "the archive, a mirror of it, or a directory", values.source,
    default=OFFICIAL_SOURCE, metavar="URL|DIR",
)  # fmt: skip
SOURCE_OF_ROOT = SOURCE.but(
    default=None,
    help="the archive, a mirror of it, or a directory (default: the source of the data root's last "
    f"run or fetch, else {OFFICIAL_SOURCE})",
)
LISTING = option(
    "--listing",
    "where the source is listed (default: the official bucket, or the source itself)",
    values.source, metavar="URL",
)  # fmt: skip
WORKERS = option(
    "--workers", "processes", values.whole(1, MOST_PROCESSES), default=2, metavar="N", in_root=True
)
EXECUTOR = option(
    "--executor",
    "who does the tasks: local processes on a queue, or dask",
    default="local", choices=("local", "dask"), group="cluster",
)  # fmt: skip
SCHEDULER = option(
    "--scheduler",
    "with --executor dask: the address of a running scheduler, tcp://… or tls://… (default: a "
    "cluster of --workers processes of this machine)",
    metavar="ADDRESS", group="cluster",
)  # fmt: skip
SCRATCH = option(
    "--scratch", "folder of the workers' passing files (default: the system's)", values.path,
    metavar="DIR", group="cluster",
)  # fmt: skip
LAYOUT = option(
    "--layout",
    "dataset: the table also as final_dataset_all/symbol=…/, for engines that like partitions",
    default="table", choices=("table", "dataset"),
)  # fmt: skip
KEEP_ZIPS = switch(
    "--keep-zips", "of a data root in an object store: put verified ZIPs into its cache",
    group="cluster",
)  # fmt: skip
NO_LEASE = switch(
    "--no-lease", "of a data root in an object store: work on it without holding it (nobody else "
    "may work on it meanwhile)", group="cluster",
)  # fmt: skip
CLUSTER = (EXECUTOR, SCHEDULER, SCRATCH)
"""Where the tasks of a run are done."""

COMPLETE = option(
    "--complete", "also the table of only those symbols that have metrics on the last day",
    choices=("metrics",),
)  # fmt: skip
NAME = option(
    "--name", "name of that table: final_dataset_NAME (default: complete_metrics)", values.name,
    metavar="NAME",
)  # fmt: skip
ACCEPT_CORRUPT = option(
    "--accept-corrupt",
    "archive files that are known to be corrupt at the source, by name or pattern: without others "
    "the exit code is 0, not 3",
    values.words, metavar="FILE,…",
)  # fmt: skip
REFRESH = switch("--refresh", "list the source anew, not from what was listed within the last day")
SKIP_EXISTING = switch(
    "--skip-existing",
    "believe the queue's state that done tasks are done (without it each is held against its layer "
    "again; nothing that is current is rebuilt either way)",
)

_DOWNLOAD = "download"
FETCHING = (
    option(
        "--downloader", "requests needs nothing installed, aria2 needs aria2c",
        default="requests", choices=("requests", "aria2"), group=_DOWNLOAD,
    ),
    option(
        "--connections", "requests at once", values.whole(1, 1024),
        default=16, metavar="N", group=_DOWNLOAD,
    ),
    option(
        "--rate-limit", "bytes a second of all together, such as 20M", values.size,
        metavar="SIZE", group=_DOWNLOAD,
    ),
    option(
        "--max-disk",
        "stop before the cache holds more, such as 500G (of all processes together)",
        values.size, metavar="SIZE", group=_DOWNLOAD,
    ),
    option(
        "--recheck", "ask again for a listed file that was a 404 this long ago",
        values.real(0, 876_000), default=24.0, metavar="HOURS", group=_DOWNLOAD,
    ),
    option(
        "--stall", "give an attempt up after this long without a byte",
        values.real(0, 86_400, open_below=True), default=30.0, metavar="SECONDS", group=_DOWNLOAD,
    ),
    option(
        "--retries", "fruitless attempts after the first, for each file", values.whole(0, 1000),
        default=8, metavar="N", group=_DOWNLOAD,
    ),
)  # fmt: skip
"""How many at once, how fast, how patient, with what; the defaults are those of `FetchOptions`."""

_TELLING = "what is told"
JSON = Option(
    "--json",
    "write the answer as JSON to FILE; without FILE, or as -, to standard output",
    values.answer, metavar="FILE|-", kind=Kind.OPTIONAL, const="-", group=_TELLING,
)  # fmt: skip
COMMON = (
    option(
        "--quiet", "only errors and what was asked for", default=False, kind=Kind.SWITCH,
        also=("-q",), group=_TELLING,
    ),
    option(
        "--verbose", "also what is decided on the way", default=False, kind=Kind.SWITCH,
        also=("-v",), group=_TELLING,
    ),
    option(
        "--log-level", "least weight of what is logged (default: info; with -q warning, -v debug)",
        choices=("debug", "info", "warning", "error"), group=_TELLING,
    ),
    option("--log-json", "log lines as JSON", default=False, kind=Kind.SWITCH, group=_TELLING),
    option(
        "--no-color", "no colours; the variable NO_COLOR does the same", default=False,
        kind=Kind.SWITCH, group=_TELLING,
    ),
    Option(
        "--config", "read defaults from FILE (default: alphaqcm.toml of the working directory)",
        values.path, metavar="FILE", group=_TELLING,
    ),
)  # fmt: skip
"""Options of every command and script."""

CHOSEN = (SYMBOLS, SYMBOLS_FILE)
DAYS = (START, END)
ANY_DAYS = (START.but(required=False), END.but(required=False))
FROM_SOURCE = (SOURCE, LISTING)
FROM_SOURCE_OF_ROOT = (SOURCE_OF_ROOT, LISTING)
TEMP_DIR = option(
    "--temp-dir",
    "download cache: a directory named _tmp means its binance_vision/ "
    "(default: that of the last run, else _tmp/binance_vision in the data root)",
    values.path,
    metavar="DIR",
)

RUN = (*CHOSEN, *DAYS, MARKET, *FROM_SOURCE, DATA_ROOT)
"""Everything that makes up the settings of a run."""
