"""Optional dependencies: which extra of the package brings a library, and the error without it.

A plain installation runs every command. Libraries that only some users need come with an extra
(`pip install 'alphaqcm-data[report]'`); the code that uses one asks here before it imports it.
"""

from __future__ import annotations

from enum import StrEnum
from importlib.util import find_spec

from alphaqcm.data_collection.errors import UsageError


class Extra(StrEnum):
    """The extras of the package, as pyproject.toml names them."""

    REPORT = "report"
    LIVE = "live"
    MARKETSTORE = "marketstore"
    QUANTCLASS = "quantclass"
    S3 = "s3"
    DASK = "dask"


def require_extra(module: str, extra: Extra) -> None:
    """Raise `UsageError` with the pip command unless `module`, a top-level name, is installed."""
    if find_spec(module) is None:
        raise UsageError(
            f"the library {module} is not installed",
            next_step=f"pip install 'alphaqcm-data[{extra}]'",
        )
