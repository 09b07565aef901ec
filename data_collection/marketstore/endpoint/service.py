"""The methods of MarketStore's DataService over a catalogue of buckets and the user's store."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final

import msgspec

from alphaqcm._version import __version__
from alphaqcm.data_collection.marketstore.bucket_key import BucketKey
from alphaqcm.data_collection.marketstore.buckets.model import FIRST_NS, Wanted
from alphaqcm.data_collection.marketstore.buckets.user_store import UserStore
from alphaqcm.data_collection.marketstore.dataset import (
    EPOCH,
    NANOS,
    Column,
    MultiDataset,
    read_columns,
    unpack,
)
from alphaqcm.data_collection.marketstore.endpoint.rpc import Dispatcher, Method
from alphaqcm.data_collection.marketstore.faults import RpcFault, refused
from alphaqcm.data_collection.marketstore.query import NO_FILES, Catalogue, QueryRequest
from alphaqcm.pipeline.errors import PipelineError

_MOST_REQUESTS: Final = 1000
_Several = msgspec.Meta(max_length=_MOST_REQUESTS)


class SymbolFormat(StrEnum):
    """How ListSymbols names things."""

    SYMBOL = "symbol"
    TBK = "tbk"  # time bucket keys


class RowType(StrEnum):
    """Whether an Epoch has one row or several."""

    FIXED = "fixed"
    VARIABLE = "variable"


class Queries(msgspec.Struct):
    """Parameters of Query."""

    requests: Annotated[list[QueryRequest], _Several]


class WriteRequest(msgspec.Struct):
    """Rows to keep."""

    dataset: MultiDataset
    is_variable_length: bool = False


class Writes(msgspec.Struct):
    """Parameters of Write."""

    requests: Annotated[list[WriteRequest], _Several]


class CreateRequest(msgspec.Struct):
    """A bucket to make."""

    key: str
    column_names: list[str]
    column_types: list[str]
    row_type: RowType = RowType.FIXED


class Creates(msgspec.Struct):
    """Parameters of Create."""

    requests: Annotated[list[CreateRequest], _Several]


class KeyRequest(msgspec.Struct):
    """A bucket."""

    key: str


class Keys(msgspec.Struct):
    """Parameters of Destroy and GetInfo."""

    requests: Annotated[list[KeyRequest], _Several]


class Listing(msgspec.Struct):
    """Parameters of ListSymbols."""

    format: SymbolFormat = SymbolFormat.SYMBOL


class DataService:
    """Answers the methods; `writable` says why nothing may be written, where it may not."""

    def __init__(
        self, catalogue: Catalogue, user: UserStore, *, timezone: str = "UTC", read_only: str = ""
    ) -> None:
        self._catalogue = catalogue
        self._user = user
        self._timezone = timezone
        self._read_only = read_only

    def dispatcher(self) -> Dispatcher:
        """The methods by their names."""
        return Dispatcher(
            {
                "DataService.Query": Method(Queries, self.query),
                "DataService.Write": Method(Writes, self.write),
                "DataService.Create": Method(Creates, self.create),
                "DataService.Destroy": Method(Keys, self.destroy),
                "DataService.ListSymbols": Method(Listing, self.list_symbols),
                "DataService.GetInfo": Method(Keys, self.get_info),
            }
        )

    def query(self, params: Queries) -> dict[str, Any]:
        """Rows of buckets."""
        if not params.requests:
            raise refused(NO_FILES, "no requests")
        return {
            "responses": [{"result": self._catalogue.query(one)} for one in params.requests],
            "version": __version__,
            "timezone": self._timezone,
        }

    def list_symbols(self, params: Listing) -> dict[str, Any]:
        """Symbols, or the keys of all buckets."""
        tbk = params.format is SymbolFormat.TBK
        return {"Results": self._catalogue.keys() if tbk else self._catalogue.symbols()}

    def write(self, params: Writes) -> dict[str, Any]:
        """Keep rows in the user's store; errors are told inside of the reply."""
        told = [self._told(self._write, one) for one in params.requests]
        return {"responses": told if any(one["error"] for one in told) else None}

    def create(self, params: Creates) -> dict[str, Any]:
        """Make empty buckets in the user's store."""
        return {"responses": [self._told(self._create, one) for one in params.requests]}

    def destroy(self, params: Keys) -> dict[str, Any]:
        """Remove buckets of the user's store."""
        return {"responses": [self._told(self._destroy, one) for one in params.requests]}

    def get_info(self, params: Keys) -> dict[str, Any]:
        """Columns, timeframe and last year of buckets."""
        return {"responses": [self._info(one.key) for one in params.requests]}

    def _told(self, do: Any, request: Any) -> dict[str, str]:
        try:
            do(request)
        except RpcFault as fault:
            told = f"{fault.message}: {fault.data}" if fault.data else fault.message
            return {"error": told, "version": __version__}
        except PipelineError as error:
            return {"error": f"{error}", "version": __version__}
        return {"error": "", "version": __version__}

    def _own_key(self, text: str) -> BucketKey:
        """The key of a bucket that may be changed; raises `RpcFault`, `BadName`."""
        if self._read_only:
            raise refused("writes are off", self._read_only)
        key = BucketKey.parse(text)
        found = self._catalogue.find(key)
        if found is not None and self._user.find(key) != found:
            raise refused(
                f"{key} is read-only", "its rows come from the exchange; write under another group"
            )
        return key

    def _write(self, request: WriteRequest) -> None:
        columns, parts = unpack(request.dataset)
        keys = {self._own_key(text): rows for text, rows in parts.items()}
        for key, rows in keys.items():
            self._user.write(key, columns, rows, variable=request.is_variable_length)

    def _create(self, request: CreateRequest) -> None:
        columns = read_columns(request.column_names, request.column_types)
        self._user.create(
            self._own_key(request.key), columns, variable=request.row_type is RowType.VARIABLE
        )

    def _destroy(self, request: KeyRequest) -> None:
        self._user.destroy(self._own_key(request.key))

    def _info(self, text: str) -> dict[str, Any]:
        error, year, frame = "", 0, ""
        columns: tuple[Column, ...] = ()
        try:
            key = BucketKey.parse(text)
            bucket = self._catalogue.find(key)
            if bucket is None:
                raise refused(NO_FILES, f"{key}")
            columns, frame = bucket.columns, key.timeframe
            last = bucket.read(Wanted(FIRST_NS, limit=1), [EPOCH])[EPOCH]
            if last.size:
                year = int(last[-1].astype("datetime64[s]").astype("datetime64[Y]").astype(int))
                year += 1970
        except PipelineError as told:
            error = f"{told}"
        return {
            "latest_year": year,
            "timeframe": frame,
            "dsv": [{"name": column.name, "type": column.type} for column in columns],
            "record_type": "variable" if any(c.name == NANOS for c in columns) else "fixed",
            "server_resp": {"error": error, "version": __version__},
        }
