"""Client of the Quantclass data API: hourly candles of whole markets as .7z archives of CSVs.

Not tried against the live service: the shape of its answers is taken from its users' published
programs. Members of an archive are read in memory with a bound on their size; their names are
never used as paths.
"""

from __future__ import annotations

import io
import os
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import aiohttp
import pandas as pd

from alphaqcm.data_collection.errors import ExchangeError, NoAnswer, UsageError

BASE_VARIABLE = "QUANTCLASS_BASE"
KEY_VARIABLE = "QUANTCLASS_API_KEY"
UUID_VARIABLE = "QUANTCLASS_UUID"

_DEFAULT_BASE = "https://api.quantclass.cn"
_ROUTE = "/api/data/realtime/coin/binance-1h"
_SHANGHAI = ZoneInfo("Asia/Shanghai")
_MOST_BYTES = 256 * 2**20  # of all members of an archive, unpacked
_MOST_PACKED = 64 * 2**20


class QuantclassDataApi:
    """Download addresses and candles; raises `ExchangeError`, whose texts never hold the key."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        api_key: str | None = None,
        uuid: str | None = None,
        *,
        base: str | None = None,
    ) -> None:
        self.session = session
        self._key = api_key or _from_environment(KEY_VARIABLE)
        self._uuid = uuid or _from_environment(UUID_VARIABLE)
        self._base = (base or os.environ.get(BASE_VARIABLE) or _DEFAULT_BASE).rstrip("/")

    def __repr__(self) -> str:
        return f"QuantclassDataApi({self._base})"

    async def aioreq_data_api(self, offset: str) -> dict[str, Any]:
        """`{'spot': url, 'swap': url, 'ts': datetime}` of the newest hours at an offset (`5m`)."""
        subject = f"Quantclass data API, offset {offset}"
        try:
            async with self.session.get(
                self._base + _ROUTE,
                params={"offset": offset, "uuid": self._uuid},
                headers={"api-key": self._key},
            ) as response:
                status = response.status
                told: Any = await response.json(content_type=None) if status == 200 else None
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            # the error's own text may hold the address with the uuid in it
            raise _no_answer(subject, type(error).__name__) from None
        if status != 200:
            raise _no_answer(subject, f"status {status}")
        try:
            data = told["data"]
            moment = datetime.strptime(data["ts"], "%Y%m%d%H%M").replace(tzinfo=_SHANGHAI)
            return {"spot": data["spot"], "swap": data["swap"], "ts": moment}
        except (KeyError, TypeError, ValueError):
            raise ExchangeError(
                subject,
                expected="data with spot, swap and ts",
                found="an answer of another shape",
                next_step="check the key and the uuid",
            ) from None

    async def aioreq_candle_df(self, url: str) -> pd.DataFrame:
        """The candles of an archive: candle_begin_time (UTC), symbol, open … tag."""
        subject = f"Quantclass archive {url.partition('?')[0]}"
        try:
            async with self.session.get(url) as response:
                status = response.status
                packed = await response.content.read(_MOST_PACKED + 1)
                while len(packed) <= _MOST_PACKED and (more := await response.content.readany()):
                    packed += more
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _no_answer(subject, type(error).__name__) from None
        if status != 200:
            raise _no_answer(subject, f"status {status}")
        frames = [_read_csv(data, subject) for data in _members(packed, subject)]
        return pd.concat(frames, ignore_index=True)


def _members(packed: bytes, subject: str) -> list[bytes]:
    try:
        import py7zr
        from py7zr.io import BytesIOFactory
    except ImportError:
        raise UsageError(
            subject,
            expected="the library that opens .7z archives",
            found="not installed",
            next_step="pip install 'alphaqcm-data[quantclass]'",
        ) from None
    if len(packed) > _MOST_PACKED:
        raise _too_large(subject)
    try:
        with py7zr.SevenZipFile(io.BytesIO(packed)) as archive:
            members = [one for one in archive.list() if one.filename.lower().endswith(".csv")]
            if sum(one.uncompressed or 0 for one in archive.list()) > _MOST_BYTES:
                raise _too_large(subject)
            factory = BytesIOFactory(_MOST_BYTES)
            archive.extract(targets=[one.filename for one in members], factory=factory)
    except (py7zr.exceptions.ArchiveError, ValueError, EOFError, OSError) as error:
        raise ExchangeError(
            subject, expected="a whole .7z archive", found=f"{type(error).__name__}: {error}"
        ) from error
    found = []
    for stream in factory.products.values():
        stream.seek(0)
        found.append(bytes(stream.read()))
    if not found:
        raise ExchangeError(subject, expected="a CSV in the archive", found="none")
    return found


def _read_csv(data: bytes, subject: str) -> pd.DataFrame:
    try:
        frame = pd.read_csv(io.BytesIO(data), parse_dates=["candle_begin_time"])
    except (ValueError, UnicodeDecodeError) as error:
        raise ExchangeError(
            subject, expected="candles with a candle_begin_time", found=f"{error}"
        ) from error
    if frame["candle_begin_time"].dt.tz is None:
        frame["candle_begin_time"] = frame["candle_begin_time"].dt.tz_localize("UTC")
    return frame


def _from_environment(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise UsageError(
            name,
            expected="an environment variable with your Quantclass credential",
            found="it is not set",
        )
    return value


def _no_answer(subject: str, found: str) -> NoAnswer:
    return NoAnswer(subject, expected="an answer", found=found, next_step="try again later")


def _too_large(subject: str) -> ExchangeError:
    return ExchangeError(
        subject,
        expected=f"at most {_MOST_BYTES // 2**20} MB of CSV",
        found="more: it is not unpacked",
    )
