"""What the protocol calls an error: a code, a message and some data, answered with HTTP 200.

Codes are those of JSON-RPC 2.0 (https://www.jsonrpc.org/specification#error_object).
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from alphaqcm.data_collection.errors import CollectionError


class Code(IntEnum):
    """The codes of errors."""

    PARSE = -32700  # the body is no msgpack
    INVALID_REQUEST = -32600  # msgpack, but no request
    METHOD = -32601  # no such method
    PARAMS = -32602  # the method's parameters do not fit
    INTERNAL = -32603  # our fault
    SERVER = -32000  # a request that cannot be answered


class RpcFault(CollectionError):
    """An error that the client is told; its message and data are `message: data` there."""

    def __init__(self, code: Code, message: str, data: str = "") -> None:
        super().__init__(message, found=data)
        self.code = code
        self.message = message
        self.data = data

    def __reduce__(self) -> tuple[object, ...]:
        return (RpcFault, (self.code, self.message, self.data))

    def to_dict(self) -> dict[str, Any]:
        """The protocol's form."""
        return {"code": int(self.code), "message": self.message, "data": self.data}


def invalid(subject: str, expected: str, found: str = "") -> RpcFault:
    """A parameter that does not fit."""
    told = f"; found {found}" if found else ""
    return RpcFault(Code.PARAMS, subject, f"expected {expected}{told}")


def refused(message: str, data: str = "") -> RpcFault:
    """A request that is understood and cannot be answered."""
    return RpcFault(Code.SERVER, message, data)


class ServerRefused(CollectionError):
    """A MarketStore server does not answer, or not with what was asked for."""
