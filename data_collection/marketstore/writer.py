"""Writes candles to a real MarketStore server, and believes none of its silences.

What the server does with other timeframes than WRITABLE is in its source
(https://github.com/alpacahq/marketstore): a query's timeframe is rewritten to the largest listed
one that divides it (3Min to 1Min, 4H to 2H, 1W to 1D), so that rows written there are never found
again. Errors of a write come back inside of the reply, and pymarketstore does not raise them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import numpy as np

from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.extras import Extra, require_extra
from alphaqcm.data_collection.marketstore.bucket_key import BucketKey
from alphaqcm.data_collection.marketstore.dataset import EPOCH, Column, Rows
from alphaqcm.data_collection.marketstore.faults import ServerRefused

WRITABLE: Final = ("1Min", "5Min", "15Min", "30Min", "1H", "1D")
"""Timeframes that a server gives back as they were written."""

_BATCH: Final = 50_000  # rows of one request


class ServerWriter:
    """One server, by the address of its `/rpc`."""

    def __init__(self, endpoint: str) -> None:
        require_extra("pymarketstore", Extra.MARKETSTORE)
        import pymarketstore as pymkts

        self.endpoint = endpoint
        self._params = pymkts.Params
        self._client = pymkts.Client(endpoint)

    def version(self) -> str:
        """What the server says that it is; raises `ServerRefused` where nobody answers."""
        return str(self._ask("a server", self._client.server_version))

    def write(self, key: BucketKey, columns: tuple[Column, ...], rows: Rows) -> int:
        """Send rows, in batches; how many. Rows of an Epoch that is there take its place.

        Raises `UsageError` for a timeframe that a server would not give back, `ServerRefused` for
        what it refuses, in whatever place it says so.
        """
        require_writable(key.timeframe)
        array = np.empty(rows[EPOCH].size, [(column.name, column.dtype) for column in columns])
        for column in columns:
            array[column.name] = rows[column.name]
        for start in range(0, array.size, _BATCH):
            part = array[start : start + _BATCH]
            reply = self._ask(f"{key}", partial(self._client.write, part, f"{key}"))
            _require_written(reply, key, self.endpoint)
        return int(array.size)

    def last_epoch(self, key: BucketKey) -> int | None:
        """The newest Epoch that the server has of a bucket, None where it has none."""
        params = self._params(key.symbol, key.timeframe, key.group, limit=1)
        try:
            array = self._ask(f"{key}", lambda: self._client.query(params)).first().array
        except ServerRefused as refused:
            if "no files returned" in refused.found:
                return None
            raise
        return int(array[EPOCH][-1]) if array.size else None

    def _ask(self, subject: str, do: Callable[[], Any]) -> Any:
        try:
            return do()
        except Exception as error:  # the client raises bare ones
            raise ServerRefused(
                subject,
                expected=f"an answer of the server at {self.endpoint}",
                found=f"{error}"[:300] or type(error).__name__,
            ) from error


def require_writable(timeframe: str) -> None:
    """Raise `UsageError` for a timeframe that a server would not give back."""
    if timeframe not in WRITABLE:
        raise UsageError(
            f"timeframe {timeframe}",
            expected="of a MarketStore server one of " + ", ".join(WRITABLE),
            found="one whose queries it rewrites to another: the rows would never be found again",
            next_step="query it at alphaqcm's own endpoint",
        )


def _require_written(reply: Any, key: BucketKey, endpoint: str) -> None:
    """Raise `ServerRefused` for an error inside of a write's reply."""
    for one in (reply or {}).get("responses") or ():
        told = (one or {}).get("error")
        if told:
            raise ServerRefused(
                f"{key}", expected=f"to be written at {endpoint}", found=f"{told}"[:300]
            )
