"""The commands to try things with: their options and their help."""

from __future__ import annotations

from alphaqcm.data_collection.commands.command import Command
from alphaqcm.data_collection.commands.grammar import values
from alphaqcm.data_collection.commands.options import JSON, MARKET, MARKETS, Kind, Option, switch

TRAPS = """traps (times are UTC, words in brackets may be left out):
  outage start= end= [symbol=]
  listed symbol= at=
  delisted symbol= at= [bars_go_on=] [funding_goes_on=]
  relisted symbol= at= [factor=]
  frozen symbol= start= end=
  jump symbol= at= [factor=]
  funding-change symbol= at= hours=
  zero-quantity symbol= day= [count=]
  id-gap symbol= at= [ids=]
  repeated-ids symbol= day=
  missing-day [symbol=] [type=] [day=] [interval=] [partition=]
  missing-rows [symbol=] [type=] [day=] [interval=] [partition=] start= end=
  duplicate-rows [symbol=] [type=] [day=] [interval=] [partition=] [count=]
  unsorted-rows [symbol=] [type=] [day=] [interval=] [partition=]
  interleaved-ids [symbol=] [type=] [day=] [interval=] [partition=] [offset=]
  altered [symbol=] [type=] [day=] [interval=] [partition=] columns= start= end= factor=
  swapped-columns [symbol=] [type=] [day=] [interval=] [partition=] start= end= [columns=]
  shifted-times [symbol=] [type=] [day=] [interval=] [partition=] at= milliseconds= [count=]
  file-trap [symbol=] [type=] [day=] [interval=] [partition=] flaw=
flaws of a file-trap: absent, no-header, microseconds, header-mismatch, permuted-columns, extra-column, crlf, no-last-newline, second-csv, macosx-member, cut-zip, wrong-checksum, missing-checksum"""  # noqa: E501

COMMANDS = (
    Command(
        "minutes",
        "lab.minutes",
        "one aggTrades ZIP to its 1-minute frame",
        """Condense one aggTrades ZIP to its 1-minute frame, by hand.

The file's name tells symbol and period (BTCUSDT-aggTrades-2024-02.zip); its market does not stand
in the name. Neither a .CHECKSUM nor a data root is needed. Prints what was counted on the way;
--out writes the minutes as parquet.""",
        (
            Option("file", "an aggTrades ZIP", values.path, metavar="FILE.zip", required=True),
            MARKET,
            Option("--out", "write the minutes there", values.path, metavar="FILE.parquet"),
            Option("--whale", "a row of at least this amount is a whale's",
                   values.real(0, 1e15), default=50_000.0, metavar="QUOTE"),
            Option("--retail", "a row of at most this amount is retail",
                   values.real(0, 1e15), default=1_000.0, metavar="QUOTE"),
            JSON,
        ),
        ("BTCUSDT-aggTrades-2024-02.zip", "BTCUSD_PERP-aggTrades-2024-02.zip --market cm --json"),
        answers=True,
    ),
    Command(
        "sample",
        "lab.sample",
        "write a simulated archive",
        """Write a simulated archive: ZIPs and checksums in the archive's own tree.

Everything is derived from the same simulated trades, so that trades, bars and derivatives agree as
the real ones do. The same words give the same bytes. With more --days from one --start on, or more
--symbols, a sample that is there grows; a directory that holds another one is refused. No file is
removed: traps that leave files out, and an earlier --published, want a directory of their own.""",
        (
            Option("dest", "directory of the archive", values.path, metavar="DEST", required=True),
            Option("--symbols", "how many, or their names with commas between",
                   values.sample_symbols, default=3,
                   metavar="N|A,B"),
            Option("--days", "days to simulate", values.whole(1, 20_000), default=3, metavar="N"),
            Option("--seed", "same seed, same bytes", values.whole(0, 2**63 - 1), default=7,
                   metavar="N"),
            Option("--start", "first day (default: the days end on 2024-02-29)", values.day,
                   metavar="D"),
            Option("--market", "as of the commands that read it", default="um", choices=MARKETS),
            Option("--trades-per-day", "of the busiest symbol", values.whole(1, 10**9),
                   default=40_000, metavar="N"),
            Option("--published", "hold what the source has on this day "
                   "(default: the day after the last)", values.day, metavar="D"),
            Option("--daily-since", "no daily files before this day where a monthly one exists",
                   values.day, metavar="D"),
            switch("--minutes-only", "bars without trades, for long ranges"),
            Option("--plant", "plant a trap, such as 'jump symbol=ETHUSDT at=2024-02-28T10:00'; "
                   "may be repeated", default=(), metavar="TRAP", kind=Kind.REPEATED),
            JSON,
        ),
        (
            "archive --symbols 3 --days 5",
            "archive --symbols BTCUSDT --plant 'jump symbol=BTCUSDT at=2024-02-28T10:00'",
        ),
        notes=TRAPS,
    ),
    Command(
        "mirror",
        "lab.mirror",
        "serve an archive tree over HTTP as the archive does",
        """Serve an archive tree over HTTP as the archive does, its S3 listing included.

Prints its address, then serves until it is stopped (Ctrl-C or SIGTERM). --fault takes a YAML file
of faults: status codes, resets, stalls, short or wrong bodies, added latency; see
`alphaqcm docs download`.""",
        (
            Option("directory", "the tree to serve", values.path, metavar="DIR", required=True),
            Option("--port", "0: a free one", values.whole(0, 65_535), default=8000, metavar="P"),
            Option("--host", "address", default="127.0.0.1", metavar="HOST"),
            Option("--fault", "the faults to make", values.path, metavar="F.yml"),
        ),
        ("archive --port 0", "archive --fault faults.yml"),
        answers=True,
    ),
    Command(
        "exchange",
        "lab.exchange",
        "serve a simulated exchange: REST, WebSockets, faults",
        """Serve a simulated exchange: Binance's REST and WebSockets over simulated trades.

Prints its address, then serves until it is stopped (Ctrl-C or SIGTERM). REST is at the real paths,
WebSockets are below /spot-ws, /um-ws and /cm-ws. Without TAPE the trades are generated, and reach
as far back as the symbols are old; TAPE is an archive tree, as `alphaqcm sample` writes one.
GET /__clock__ tells the clock, GET /__truth__/klines what is true, GET /__stats__ what was asked;
POST /__fault__ or a scenario file plants faults; see `alphaqcm docs exchange`.""",
        (
            Option("tape", "archive tree whose trades are played", values.path, metavar="TAPE"),
            Option("--port", "0: a free one", values.whole(0, 65_535), default=8100, metavar="P"),
            Option("--host", "address", default="127.0.0.1", metavar="HOST"),
            Option("--speed", "of the clock; 1 is real", values.real(0, 10_000, open_below=True),
                   default=1.0, metavar="X"),
            Option("--start", "what the clock shows first, UTC "
                   "(default: now, or the start of the tape's last day)", values.instant,
                   metavar="TIME"),
            Option("--scenario", "faults to plant, and their seed", values.path, metavar="F.yml"),
            Option("--kline-push",
                   "closes: a frame on subscription, when a candle opens and when it closes",
                   default="full", choices=("closes", "full")),
            Option("--seed", "of generated trades", values.whole(0, 2**63 - 1), default=7,
                   metavar="N"),
            Option("--spot", "ordinary spot symbols to generate", values.whole(1, 5000),
                   default=24, metavar="N"),
            Option("--um", "ordinary USDⓈ-M perpetuals to generate", values.whole(1, 5000),
                   default=18, metavar="N"),
            Option("--cm", "COIN-M perpetuals to generate", values.whole(1, 5000),
                   default=4, metavar="N"),
            Option("--trades-per-minute", "of every generated symbol, on average",
                   values.whole(1, 100_000), default=3, metavar="N"),
        ),
        ("--port 0 --speed 60", "archive --start 2024-02-29 --scenario storm.yml"),
        answers=True,
    ),
)  # fmt: skip
