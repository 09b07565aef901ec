"""The settings of a run, read back from JSON that may have been damaged or forged."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from alphaqcm.data_collection.archive.archive import FetchOptions
from alphaqcm.data_collection.archive.sources import Source
from alphaqcm.data_collection.build.settings import RunSettings
from alphaqcm.data_collection.errors import QueueError, UsageError
from alphaqcm.pipeline.domain.series_type import types_of
from alphaqcm.pipeline.domain.symbol import Symbol
from alphaqcm.pipeline.errors import PipelineError

_AGAIN = "start it anew: alphaqcm run with --symbols, --start and --end"


def read_settings(data: object, subject: Path) -> RunSettings:
    """Check every value of the JSON form, which `subject` holds; raises `UsageError`."""
    try:
        settings = RunSettings.from_dict(_checked(data))
        FetchOptions(**settings.fetch)
        for name in settings.symbols:
            if Symbol.parse(name, settings.market).exchange != name:
                raise ValueError(f"{name!r} as a symbol")
        unknown = set(settings.types) - set(types_of(settings.market))
        if unknown or not settings.symbols or settings.span.start > settings.span.end:
            raise ValueError(f"types {sorted(unknown)}, {len(settings.symbols)} symbols")
    except (KeyError, TypeError, ValueError, AttributeError, PipelineError) as error:
        found = error.subject if isinstance(error, PipelineError) else error
        raise UsageError(
            subject,
            expected="the settings of an earlier run",
            found=f"a damaged file ({type(error).__name__}: {str(found)[:200]})",
            next_step=_AGAIN,
        ) from error
    return settings


def settings_of_queue(data: object, state: Path, root: Path | None = None) -> RunSettings:
    """The settings that a queue's state file carries, for the data root that it lies in.

    That may have been moved or copied since. A state file kept elsewhere must name the data root
    `root`, which the user named. Raises `QueueError` where it names any other: nothing is to be
    written there on a file's word.
    """
    settings, folder = read_settings(data, state), state.resolve().parent
    if settings.layout.temp.resolve() == folder:
        return settings
    if folder.name == "_tmp":
        return dataclasses.replace(settings, root=folder.parent)
    if root is None or root.resolve() != settings.root.resolve():
        raise QueueError(
            state,
            expected="the queue of a data root that it lies in, or that was named",
            found=f"one of {settings.root}",
            next_step=f"if that is meant, name it: --data-root {settings.root}",
        )
    return settings


def _checked(data: object) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise TypeError(f"{type(data).__name__} in place of settings")
    for name in ("market", "start", "end", "root", "source"):
        _must_be(data[name], str, name)
    _must_be(data.get("store", ""), str, "store")
    for name in ("symbols", "types"):
        _must_be(data[name], list | tuple, name)
        for item in data[name]:
            _must_be(item, str, name)
    _must_be(data["listing"], str | None, "listing")
    for name in ("fetch", "directories"):
        _must_be(data[name], Mapping, name)
    types = {item.name: str(item.type) for item in dataclasses.fields(FetchOptions)}
    for name, value in data["fetch"].items():
        _must_be(value, str if types[name] == "str" else int | float | None, name)
    for name, value in data["directories"].items():
        _must_be(value, str, name)
    if "://" in data["source"]:
        Source.parse(data["source"], data["listing"])
    return data


def _must_be(value: object, kind: Any, name: str) -> None:
    if not isinstance(value, kind) or (isinstance(value, str) and "\0" in value):
        raise TypeError(f"{type(value).__name__} as {name}")
