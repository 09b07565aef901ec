"""What requests and urllib3 raise, in a few words: they wrap the cause in layers of their own."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import dataclass

from urllib3.exceptions import (
    ConnectTimeoutError,
    IncompleteRead,
    NameResolutionError,
    NewConnectionError,
    ProxyError,
    ReadTimeoutError,
)

from alphaqcm.data_collection.archive.transport.paced_http import TooLong, TooSlow


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a request waits, in seconds."""

    connect: float
    read: float


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it stands on, down to the first that was raised."""
    seen: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in seen:
        seen.append(cause)
        yield cause
        inner = (getattr(cause, "reason", None), *cause.args, cause.__cause__, cause.__context__)
        cause = next((one for one in inner if isinstance(one, BaseException)), None)


def short_cause(error: BaseException, patience: Patience) -> str:
    """Why a request failed: `connection refused`, `no byte for 30 s`; for people, not programs."""
    found = list(causes(error))
    proxy = "the proxy: " if any(isinstance(one, ProxyError) for one in found) else ""
    return proxy + _words(found, patience)


def _words(found: list[BaseException], patience: Patience) -> str:
    for one in found:
        if isinstance(one, TooSlow | TooLong):
            return str(one)
    for one in found:
        match one:
            case NameResolutionError():
                return f"{one.conn.host}"
            case IncompleteRead(partial=partial, expected=expected):
                return f"{partial} bytes, {expected} more expected"
            case ssl.SSLCertVerificationError(verify_message=message) if message:
                return f"certificate not trusted: {message}"
            case ssl.SSLError(reason=str(reason)):
                return f"no TLS connection: {reason.replace('_', ' ').lower()}"
            case ConnectTimeoutError() if not isinstance(one, NewConnectionError):  # its subclass
                return f"no connection within {patience.connect:g} s"
            case ReadTimeoutError():
                return f"no byte for {patience.read:g} s"
    last = found[-1]
    words = str(getattr(last, "strerror", None) or last or type(last).__name__).splitlines()[0]
    return words[:1].lower() + words[1:]
