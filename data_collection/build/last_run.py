"""The settings of the last run in a data root, kept for `build`, `update` and others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from alphaqcm.data_collection.archive.objects.object_store import open_store
from alphaqcm.data_collection.build.settings import RunSettings
from alphaqcm.data_collection.build.settings_json import read_settings
from alphaqcm.data_collection.errors import UsageError
from alphaqcm.pipeline.domain.registry import Market
from alphaqcm.pipeline.errors import PipelineError
from alphaqcm.pipeline.storage.file_digest import sealed_json
from alphaqcm.pipeline.storage.file_store import LOCAL
from alphaqcm.pipeline.storage.verified_read import read_json


def save_settings(settings: RunSettings) -> None:
    """Keep the settings of the run, for `build` and `update`."""
    layout, told = settings.layout, settings.to_dict()
    if settings.store:
        told["root"] = settings.store  # the passing folder is nobody else's
    path = _settings_path(layout.temp, settings.market)
    layout.store.replace(path, sealed_json(told, indent=True))


def _settings_path(temp: Path, market: Market) -> Path:
    return temp / ("run.json" if market is Market.UM else f"run-{market}.json")


def has_settings(temp: Path, market: Market) -> bool:
    """Whether there was a run of `market` in the data root."""
    return _settings_path(temp, market).exists()


def load_settings(temp: Path, market: Market = Market.UM, url: str = "") -> RunSettings:
    """The settings of a market's last run in a data root; raises `UsageError` without one.

    `url` is where the data root lies in an object store.
    """
    path = _settings_path(temp, market)
    store = open_store(url, temp.parent) if url else LOCAL
    try:
        kept = read_settings(read_json(path, store) or {}, path)
        return replace(kept, root=temp.parent, store=url)  # it may have been moved or copied since
    except (AttributeError, KeyError, TypeError, ValueError, PipelineError) as error:
        raise UsageError(
            path,
            expected="the settings of an earlier run",
            found="none" if store.stat(path) is None else "a damaged file",
            next_step=_next_step(temp, market),
        ) from error


def _next_step(temp: Path, market: Market) -> str:
    """Where the data root has runs of other markets, those are probably meant."""
    others = [other for other in Market if other is not market and has_settings(temp, other)]
    run = "alphaqcm run with --symbols, --start and --end"
    if not others:
        return run
    named = " or ".join(f"--market {other}" for other in others)
    return f"{named}, of which there was a run; or {run} for {market}"


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
