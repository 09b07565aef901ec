"""Serves a data root over MarketStore's protocol, and feeds it as the configuration says."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal

from alphaqcm.data_collection.archive.sources import OFFICIAL_SOURCE
from alphaqcm.data_collection.build.last_run import last_source
from alphaqcm.data_collection.commands.grammar.configuration import DEFAULT_ORIGIN
from alphaqcm.data_collection.commands.output import tell
from alphaqcm.data_collection.commands.request import source_word
from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.marketstore.config import MarketstoreConfig, read_config
from alphaqcm.data_collection.marketstore.endpoint.guard import is_loopback
from alphaqcm.data_collection.marketstore.marketstore import FOLDER, Settings, serve
from alphaqcm.data_collection.process.root_lock import hold_root
from alphaqcm.pipeline.storage.layout import Layout


def run(arguments: argparse.Namespace) -> int:
    """Serve until stopped."""
    config = read_config(arguments.marketstore_config)
    if config.unused:
        tell("not used here: " + ", ".join(config.unused))
    if not is_loopback(config.listen_host):
        tell(
            f"warning: {config.listen_host} is not loopback, and the protocol has no "
            "authentication: whoever reaches it reads the data root"
            + (" and writes" if config.allow_remote_writes else "")
        )
    settings = _settings(arguments, config)
    if arguments.log_level is None and config.feeders and not arguments.quiet:
        os.environ["ALPHAQCM_LOG_LEVEL"] = config.feeders[0].log_level
    with hold_root(settings.root / FOLDER / "_tmp", exclusive=True):
        asyncio.run(_serve(settings))
    return 0


def _settings(arguments: argparse.Namespace, config: MarketstoreConfig) -> Settings:
    root = arguments.data_root
    own = arguments.settings["data_root"].origin == DEFAULT_ORIGIN
    if own and config.root_directory is not None:
        root = config.root_directory
    root = root.resolve()
    if not root.is_dir() and not any(
        one.backfill.enabled or one.realtime.enabled for one in config.feeders
    ):
        raise UsageError(
            root,
            expected="a data root to serve",
            found="no such directory",
            next_step="alphaqcm run makes one; or turn on backfill or realtime",
        )
    root.mkdir(parents=True, exist_ok=True)
    source = arguments.source or (last_source(Layout(root).temp) or (OFFICIAL_SOURCE,))[0]
    return Settings(root, config, source=source_word(source), exchange=arguments.exchange)


async def _serve(settings: Settings) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    await serve(
        settings, stopping, lambda url: print(f"{url}/rpc serves {settings.root}", flush=True)
    )
