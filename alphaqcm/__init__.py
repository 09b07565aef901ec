"""Binance's public data, turned into research-ready tables: the functions that read a data root.

    >>> import alphaqcm
    >>> frame = alphaqcm.bars("AlphaQCM_data/demo", symbols="BTCUSDT", interval="5m")
    >>> frame.collect().height
    864

`scan` reads the wide table, `bars` and `flow` fold 1-minute bars and order flow to any interval at
any offset, `hourly` reads the hours of an archive type, `panel` makes an array of the wide table,
`columns` explains it and `manifest` says what it was made of. Frames are lazy (polars). Errors are
those listed in `alphaqcm.errors`. docs/api.md is a short tour.

The folders `pipeline/` (the core) and `data_collection/` (the shell) of the repository are
subpackages of this one, so that an installation adds no generic name to site-packages.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from alphaqcm._version import __version__

if TYPE_CHECKING:
    from alphaqcm.api import bars, columns, flow, hourly, manifest, open_root, panel, scan
    from alphaqcm.data_collection.build.manifest import Manifest
    from alphaqcm.pipeline.domain.registry import DataType, Market
    from alphaqcm.pipeline.domain.symbol import Symbol
    from alphaqcm.roots import DataRoot

__all__ = [
    "DataRoot",
    "DataType",
    "Manifest",
    "Market",
    "Symbol",
    "__version__",
    "bars",
    "columns",
    "flow",
    "hourly",
    "manifest",
    "open_root",
    "panel",
    "scan",
]

_HOMES = {
    **dict.fromkeys(
        ("bars", "columns", "flow", "hourly", "manifest", "open_root", "panel", "scan"), "api"
    ),
    "DataRoot": "roots",
    "DataType": "pipeline.domain.registry",
    "Manifest": "data_collection.build.manifest",
    "Market": "pipeline.domain.registry",
    "Symbol": "pipeline.domain.symbol",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: polars and numpy take their time."""
    if name == "errors":
        return importlib.import_module("alphaqcm.errors")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(f"alphaqcm.{_HOMES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "errors"})
