"""Serves a data root over MarketStore's protocol, and feeds it as the configuration says."""

from __future__ import annotations

import argparse
import asyncio
import signal

from alphaqcm.data_collection.commands.configuration import DEFAULT_ORIGIN
from alphaqcm.data_collection.commands.output import tell
from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.marketstore.config import MarketstoreConfig, read_config
from alphaqcm.data_collection.marketstore.endpoint.guard import is_loopback
from alphaqcm.data_collection.marketstore.marketstore import FOLDER, Settings, serve
from alphaqcm.data_collection.process.root_lock import hold_root


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
    return Settings(root, config)


async def _serve(settings: Settings) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    await serve(
        settings, stopping, lambda url: print(f"{url}/rpc serves {settings.root}", flush=True)
    )
