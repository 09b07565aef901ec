"""pymarketstore's client with one more form of `query`: `client.query('BTCUSDT/1m/OHLCV', …)`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import pandas as pd
import pymarketstore as pymkts
from pymarketstore.results import QueryReply

from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.marketstore.bucket_key import split_key
from alphaqcm.pipeline.errors import BadName

TimeLike = str | int | date | datetime

DEFAULT_ENDPOINT = "http://localhost:5993/rpc"


class Client(pymkts.Client):  # type: ignore[misc]
    """A client of any MarketStore server; everything of `pymarketstore.Client` is there too.

    >>> client = Client("http://localhost:5993/rpc")            # doctest: +SKIP
    >>> client.query("BTCUSDT/1m/OHLCV", start="2024-01-01").df()  # doctest: +SKIP
    """

    def __init__(self, endpoint: str = DEFAULT_ENDPOINT, grpc: bool = False) -> None:
        super().__init__(endpoint, grpc)

    def query(
        self,
        params: str | pymkts.Params | Sequence[pymkts.Params],
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        limit: int | None = None,
        limit_from_start: bool | None = None,
        columns: Sequence[str] | None = None,
        functions: Sequence[str] | None = None,
    ) -> Reply:
        """Rows of a key such as `BTCUSDT/1m/OHLCV`, or what pymarketstore's `Params` ask for.

        The key may name several symbols (`A,B/1H/OHLCV`) or all (`*/1D/OHLCV`). Times are instants
        in UTC or whole seconds since 1970, both included. Raises `UsageError` for a key that is
        none and for words beside `Params`, else what pymarketstore raises.
        """
        words = {
            "start": start, "end": end, "limit": limit, "limit_from_start": limit_from_start,
            "columns": columns, "functions": functions,
        }  # fmt: skip
        given = {name: value for name, value in words.items() if value is not None}
        if isinstance(params, str):
            params = read_params(params, given)
        elif given:
            raise UsageError(
                "query", expected="start, end, … inside of Params", found=", ".join(given)
            )
        reply: QueryReply = super().query(params)
        return Reply(reply.results, reply.timezone)


class Reply(QueryReply):  # type: ignore[misc]
    """pymarketstore's reply, and its first bucket as a frame."""

    def df(self) -> pd.DataFrame:
        """Rows of the first bucket, indexed by Epoch (the start of the bar, UTC)."""
        frame: pd.DataFrame = self.first().df()
        return frame


def read_params(key: str, words: dict[str, Any]) -> pymkts.Params:
    """The parameters of a key in pymarketstore's form; raises `UsageError`."""
    try:
        symbols, timeframe, group = split_key(key)
    except BadName as error:
        raise UsageError(error.subject, expected=error.expected) from error
    names = symbols.split(",")
    return pymkts.Params(names, timeframe, group, **{**words, **_as_stamps(words)})


def _as_stamps(words: dict[str, Any]) -> dict[str, pd.Timestamp | int]:
    """Instants with a time zone as those of UTC: pymarketstore looks at their clock alone."""
    stamps: dict[str, pd.Timestamp | int] = {}
    for name in ("start", "end"):
        value = words.get(name)
        if value is None or isinstance(value, int):
            continue
        try:
            moment = pd.Timestamp(value)
        except ValueError as error:
            raise UsageError(
                f"{name} {value!r}"[:100], expected="an instant, or seconds since 1970"
            ) from error
        stamps[name] = moment.tz_convert("UTC").tz_localize(None) if moment.tzinfo else moment
    return stamps
