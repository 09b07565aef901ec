"""The command that serves MarketStore's protocol: its options and its help."""

from __future__ import annotations

from alphaqcm.data_collection.commands.command import Command
from alphaqcm.data_collection.commands.grammar import values
from alphaqcm.data_collection.commands.options import DATA_ROOT, SOURCE_OF_ROOT, Option

COMMANDS = (
    Command(
        "marketstore start",
        "lab.marketstore",
        "serve a data root over MarketStore's protocol, and feed it",
        """Serve a data root over MarketStore's protocol, and feed it from archive and exchange.

Prints its address, then serves until it is stopped (Ctrl-C or SIGTERM): /rpc for pymarketstore, /ws
for streams. The file is MarketStore's own YAML with a feeder among its bgworkers; --config names it
here, not a file of defaults. root_directory is the data root where --data-root is not given. There
is no authentication in the protocol; see `alphaqcm docs marketstore`.""",
        (
            Option("--config", "MarketStore's YAML", values.path, metavar="FILE.yml",
                   required=True, to="marketstore_config"),
            Option("--exchange", "the exchange, or a simulated one (default: the real hosts)",
                   values.address, metavar="URL"),
            SOURCE_OF_ROOT,
            DATA_ROOT,
        ),
        (
            "--config mkts.yml",
            "--config mkts.yml --exchange http://127.0.0.1:8100 --source archive",
        ),
        answers=True,
    ),
)  # fmt: skip
