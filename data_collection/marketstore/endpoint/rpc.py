"""JSON-RPC over msgpack: a body in, a reply out, and an error of the protocol for all else.

Bodies are decoded against the types that a method takes: what they do not name is skipped unread,
so that a hostile body costs no more memory than its own size.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import msgspec

from alphaqcm.data_collection.marketstore.faults import Code, RpcFault
from alphaqcm.pipeline.errors import PipelineError

T = TypeVar("T")
_LOG = logging.getLogger("alphaqcm.marketstore")
_EMPTY_MAP: Final = b"\x80"
_TEXT = 300  # letters of a foreign text that an error repeats


class Envelope(msgspec.Struct):
    """A request; its parameters are decoded by the method's own types."""

    method: str
    id: str | int | None = None
    jsonrpc: str = "2.0"
    params: msgspec.Raw = msgspec.Raw(_EMPTY_MAP)


_ENVELOPE = msgspec.msgpack.Decoder(Envelope)
_ANYTHING = msgspec.msgpack.Decoder(msgspec.Raw)
_ENCODER = msgspec.msgpack.Encoder()


class Method(Generic[T]):
    """A method: the type of its parameters, and what answers it."""

    def __init__(self, kind: type[T], answer: Callable[[T], Any]) -> None:
        self._decoder = msgspec.msgpack.Decoder(kind)
        self._answer = answer

    def __call__(self, params: msgspec.Raw) -> Any:
        """The result; raises `RpcFault` where the parameters do not fit."""
        try:
            read = self._decoder.decode(params)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise RpcFault(Code.PARAMS, "invalid params", f"{error}"[:_TEXT]) from error
        return self._answer(read)


@dataclass(frozen=True, slots=True)
class Dispatcher:
    """Finds the method of a body and makes the reply."""

    methods: Mapping[str, Method[Any]]

    def reply(self, body: bytes) -> bytes:
        """The reply to a body, whatever it is."""
        number: str | int | None = None
        try:
            request = read_envelope(body)
            number = request.id
            method = self.methods.get(request.method)
            if method is None:
                raise RpcFault(
                    Code.METHOD,
                    f"unknown method {request.method[:80]!r}",
                    "expected one of " + ", ".join(self.methods),
                )
            return _ENCODER.encode(
                {"jsonrpc": "2.0", "id": number, "result": method(request.params)}
            )
        except RpcFault as fault:
            return failure(fault, number)
        except PipelineError as error:
            told = "; ".join(filter(None, (error.found, error.next_step)))
            subject = (
                f"{error.subject}: expected {error.expected}" if error.expected else f"{error}"
            )
            return failure(RpcFault(Code.SERVER, subject, told), number)
        except Exception as error:  # noqa: BLE001 (the client is told, the server lives on)
            _LOG.exception("a request that failed")
            return failure(RpcFault(Code.INTERNAL, "internal error", type(error).__name__), number)


def read_envelope(body: bytes) -> Envelope:
    """The request in a body; raises `RpcFault`."""
    try:
        _ANYTHING.decode(body)  # one whole value, of whatever kind
        request = _ENVELOPE.decode(body)
    except msgspec.ValidationError as error:
        raise RpcFault(Code.INVALID_REQUEST, "invalid request", f"{error}"[:_TEXT]) from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RpcFault(Code.PARSE, "a body that is no msgpack", f"{error}"[:_TEXT]) from error
    if request.jsonrpc != "2.0":
        raise RpcFault(Code.INVALID_REQUEST, "invalid request", "expected jsonrpc 2.0")
    return request


def failure(fault: RpcFault, number: str | int | None = None) -> bytes:
    """The reply that tells an error."""
    return _ENCODER.encode({"jsonrpc": "2.0", "id": number, "error": fault.to_dict()})
