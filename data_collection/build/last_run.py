"""The settings of the last run in a data root, kept for `build`, `update` and others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import orjson

from alphaqcm.data_collection.build.settings import RunSettings
from alphaqcm.data_collection.build.settings_json import read_settings
from alphaqcm.data_collection.errors import UsageError
from alphaqcm.pipeline.domain.registry import Market
from alphaqcm.pipeline.storage.atomic_write import write_bytes


def save_settings(settings: RunSettings) -> None:
    """Keep the settings of the run, for `build` and `update`."""
    write_bytes(
        _settings_path(settings.layout.temp, settings.market),
        orjson.dumps(settings.to_dict(), option=orjson.OPT_INDENT_2),
    )


def _settings_path(temp: Path, market: Market) -> Path:
    return temp / ("run.json" if market is Market.UM else f"run-{market}.json")


def has_settings(temp: Path, market: Market) -> bool:
    """Whether there was a run of `market` in the data root."""
    return _settings_path(temp, market).exists()


def load_settings(temp: Path, market: Market = Market.UM) -> RunSettings:
    """The settings of a market's last run in a data root; raises `UsageError` without one."""
    path = _settings_path(temp, market)
    try:
        kept = read_settings(orjson.loads(path.read_bytes()), path)
        return replace(kept, root=temp.parent)  # it may have been moved or copied since
    except (OSError, orjson.JSONDecodeError) as error:
        raise UsageError(
            path,
            expected="the settings of an earlier run",
            found="none" if isinstance(error, OSError) else "a damaged file",
            next_step="alphaqcm run with --symbols, --start and --end",
        ) from error


def last_source(temp: Path) -> tuple[str, str | None] | None:
    """Source and listing of the data root's last run, of whatever market; None without a run.

    Raises `UsageError` where its settings are damaged.
    """
    runs = {market: _settings_path(temp, market) for market in Market}
    there = {market: path.stat().st_mtime_ns for market, path in runs.items() if path.exists()}
    if not there:
        return None
    settings = load_settings(temp, max(there, key=lambda market: there[market]))
    return settings.source, settings.listing
