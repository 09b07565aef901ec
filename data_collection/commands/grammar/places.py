"""Where a worker's data root, state and layers are, from the options that name places.

The data root is what `--data-root` names; else X where `--temp-dir` is X/_tmp/binance_vision or
X/_tmp; else `AlphaQCM_data` in the working directory. Only the download cache lies in `--temp-dir`:
ledger, locks, months and state lie in the data root's `_tmp`.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from alphaqcm.data_collection.build.last_run import has_settings, load_settings
from alphaqcm.data_collection.commands.grammar.configuration import DEFAULT_ORIGIN
from alphaqcm.pipeline.domain.registry import DataType, Market
from alphaqcm.pipeline.storage.layout import CACHE_NAME, TEMP_NAME, Layout

STATE_NAME = "aggTrades_queue_state.json"


@dataclass(frozen=True, slots=True)
class Places:
    """Absolute paths; `directories` has those that are not where the data root has them."""

    root: Path
    state: Path
    directories: Mapping[str, Path]

    @property
    def layout(self) -> Layout:
        """The layout of the data root."""
        return Layout(self.root, overrides=self.directories)


def places_of(arguments: argparse.Namespace) -> Places:
    """The places that a worker's options name."""
    root = _root_of(arguments).resolve()
    layout = Layout(root, Market(arguments.market))
    cache = None if arguments.temp_dir is None else cache_of(arguments.temp_dir)
    named = {
        "cache": (cache, layout.cache),
        "aggtrades_1m": (arguments.aggtrades_1m_dir, layout.months(DataType.AGGTRADES)),
        "aggtrades_hourly": (arguments.output_dir, layout.hourly(DataType.AGGTRADES)),
    }
    directories = {
        name: place.resolve()
        for name, (place, usual) in named.items()
        if place is not None and place.resolve() != usual.resolve()
    }
    state = arguments.state or layout.temp / STATE_NAME
    return Places(root, state.resolve(), directories)


def source_layout(arguments: argparse.Namespace, root: Path | None = None) -> Layout:
    """The layout of a data root with the download cache that `--temp-dir` names.

    Without the option the cache is that of the data root's last run. `root` is another data root
    than the one that the options name.
    """
    plain = Layout(root or arguments.data_root)
    named = getattr(arguments, "temp_dir", None)
    if named is not None:
        cache: Path | None = cache_of(named).resolve()
    elif has_settings(plain.temp, plain.market):
        cache = load_settings(plain.temp).directories.get("cache")
    else:
        cache = None
    if cache is None or cache == plain.cache.resolve() or not (named or cache.is_dir()):
        return plain
    return replace(plain, overrides={"cache": cache})


def cache_of(temp_dir: Path) -> Path:
    """The download cache that `--temp-dir` names: a directory `_tmp` has it one folder deeper."""
    return temp_dir / CACHE_NAME if temp_dir.resolve().name == TEMP_NAME else temp_dir


def _root_of(arguments: argparse.Namespace) -> Path:
    root = Path(arguments.data_root)
    if arguments.settings["data_root"].origin != DEFAULT_ORIGIN or arguments.temp_dir is None:
        return root
    cache = cache_of(arguments.temp_dir).absolute()
    if cache.name == CACHE_NAME and cache.parent.name == TEMP_NAME:
        return cache.parent.parent
    return root
