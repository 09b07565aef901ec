"""The candle commands: their options and their help."""

from __future__ import annotations

from alphaqcm.data_collection.commands.command import Command
from alphaqcm.data_collection.commands.grammar import values
from alphaqcm.data_collection.commands.options import (
    DATA_ROOT,
    SOURCE,
    Option,
    option,
    switch,
)

_MARKETS = Option(
    "--market", "spot, um, cm, comma separated", default="um,spot", metavar="M,M", to="markets"
)
_QUOTE = Option("--quote", "quote asset", default="USDT", metavar="ASSET")
_DAYS = Option("--days", "so many days up to the end (default: 15, or from --start)",
               values.whole(1, 10_000), metavar="N")  # fmt: skip
_START = Option("--start", "a date or an ISO instant (UTC)", metavar="T")
_END = Option("--end", "not included (default: now, by the exchange's clock)", metavar="T")
_SYMBOLS = (
    Option("--symbols", "comma separated (default: all that trade)", metavar="A,B"),
    Option("--symbols-file", "one symbol a line, `#` for comments", values.path, metavar="F"),
)
_EXCHANGE = option(
    "--exchange",
    "one host for every market, such as the simulated exchange (default: the real hosts)",
    values.address,
    metavar="URL",
)
_WINDOW = Option("--interval", "of the windows", default="1h", metavar="I")
_OFFSETS = Option("--offsets", "all, or some such as 0m,5m", default="all", metavar="O,O")

COMMANDS = (
    Command(
        "candles fetch",
        "data.candles_fetch",
        "candles of whole markets over REST, as fast as the weight limit allows",
        """Fetch candles of whole markets over REST, as fast as the weight limit allows.

Every traded symbol of the quote asset (of futures: perpetual contracts), or those that are named.
What the store holds is not asked for again; however the fetch ends, what was answered is kept and
the same command goes on. Exit code 75: the exchange banned this address for a time.""",
        (
            _MARKETS,
            _QUOTE,
            Option("--interval", "of the candles", default="5m", metavar="I"),
            _DAYS,
            _START,
            _END,
            *_SYMBOLS,
            _EXCHANGE,
            switch("--seed-from-archive", "take whole days from the archive first, REST for the "
                   "rest"),
            SOURCE,
            switch("--dry-run", "tell what would be asked for, ask for no candle"),
            DATA_ROOT,
        ),
        ("--days 15", "--market um --symbols BTCUSDT --start 2026-01-01 --seed-from-archive"),
        section="candles",
    ),
    Command(
        "candles resample",
        "data.candles_resample",
        "hours (or other intervals) at every offset from stored candles",
        """Fold stored candles to hours (or other intervals) at every offset.

strict keeps windows that have every candle; seed keeps those that the published pandas program
keeps (holes inside pass). One file an offset and symbol, and one long file an offset. With --bmac
the candles are those of a live directory, of the symbols in its exchange info.""",
        (
            _MARKETS,
            Option("--from", "the fetched 5m candles, or the calendars of `candles holo`",
                   default="store", choices=("store", "holo"), to="base"),
            Option("--bmac", "a live directory in the place of the store", values.path,
                   metavar="BASE_DIR"),
            switch("--watch", "with --bmac: again at each of its closes, until stopped"),
            _WINDOW,
            _OFFSETS,
            Option("--holes", "which windows are kept", default="strict",
                   choices=("strict", "seed")),
            DATA_ROOT,
        ),
        ("--offsets 0m,5m", "--bmac BASE_DIR --watch"),
        section="candles",
    ),
    Command(
        "candles compare",
        "data.candles_compare",
        "hold hours against an independent source, cell by cell",
        """Hold resampled candles against an independent source, cell by cell.

exchange-1h and archive-1h are compared at offset 0 with the exchange's or the archive's own candles
of the interval, FILE.parquet (symbol, candle_begin_time, prices and quantities) at the offsets that
occur in it, quantclass at every offset. Exit code 0 only where no candle is missing on either side,
prices and counts are equal and sums lie within --max-ulp.""",
        (
            _MARKETS,
            Option("--reference", "exchange-1h, archive-1h, quantclass, or a parquet file",
                   metavar="R", required=True),
            _WINDOW,
            _OFFSETS.but(help="of quantclass: all, or some such as 0m,5m"),
            Option("--report", "write the findings", values.path, metavar="OUT.json"),
            Option("--max-ulp", "how far sums may lie apart (default: 4, or half the candles of a "
                   "window)", values.whole(0, 10**9), metavar="N"),
            _EXCHANGE,
            SOURCE,
            DATA_ROOT,
        ),
        ("--reference exchange-1h", "--reference archive-1h --report out.json"),
        section="candles",
    ),
    Command(
        "candles holo",
        "data.candles_holo",
        "the complete calendar of minutes, holes filled and marked",
        """Make the complete calendar of minutes: the archive's 1m candles with the REST tail.

Every minute from a symbol's first to its last candle; holes hold the last close, have no volume and
are marked. Without names every symbol that the archive ever had. `candles resample --from holo`
folds the result.""",
        (
            _MARKETS,
            _QUOTE,
            _DAYS.but(help="so many days up to the end (default: from the archive's first day)"),
            _START,
            _END,
            *_SYMBOLS,
            switch("--split-gaps", "start a new epoch (SP0_SYM, …) at a hole above two days, or "
                   "above one day with a price more than 10 % away"),
            _EXCHANGE,
            SOURCE,
            DATA_ROOT,
        ),
        ("--market um --symbols BTCUSDT --days 30", "--split-gaps"),
        section="candles",
    ),
)  # fmt: skip
