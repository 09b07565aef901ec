"""The commands of the live client: their options and their help."""

from __future__ import annotations

from alphaqcm.data_collection.commands.command import Command
from alphaqcm.data_collection.commands.grammar import values
from alphaqcm.data_collection.commands.options import JSON, Option, switch

_BASE = Option(
    "base_dir", "the live directory, with a config.json", values.path, metavar="BASE_DIR",
    required=True,
)  # fmt: skip

COMMANDS = (
    Command(
        "bmac start",
        "live.start",
        "keep a market's candles up to date in files, as they close",
        """Keep the candles of a whole market in files, each ready as soon as it closes.

BASE_DIR holds a config.json with interval and trade_type; `alphaqcm docs live` tells every key.
Works until Ctrl-C or SIGTERM and goes on from its files when it is started again. One process
writes a directory, any number read it.""",
        (
            _BASE,
            Option("--exchange", "address of a stand-in instead of the real hosts", metavar="URL"),
            Option("--record", "record what the streams tell below this data root",
                   values.path, metavar="DATA_ROOT"),
            Option("--port", "of /metrics and /health on loopback; 0: a free one",
                   values.whole(0, 65_535), default=0, metavar="P"),
        ),
        ("live_usdt_perp_1h", "live_usdt_perp_1m --exchange http://127.0.0.1:8100"),
    ),
    Command(
        "bmac status",
        "live.status",
        "how a live directory is doing",
        """How the process that keeps a live directory is doing.

Connections, symbols that are ready, latency, gaps, used weight and the newest alerts, in 80
columns. Exit code 1 when no process keeps the directory.""",
        (
            _BASE,
            switch("--follow", "look again each second until Ctrl-C"),
            JSON,
        ),
        ("live_usdt_perp_1h", "live_usdt_perp_1h --follow"),
        answers=True,
    ),
)  # fmt: skip
