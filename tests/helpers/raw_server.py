"""A server of raw bytes: whatever a hostile source can say, said over real sockets."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

Answer = Callable[[str], Iterable[bytes]]
"""From a request's target (`/data/…` or `/?prefix=…`) to the pieces to send for it."""


@dataclass
class RawServer:
    """`sent` counts bytes by target; a client that hangs up ends its answer."""

    url: str
    sent: dict[str, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


@contextlib.contextmanager
def raw_server(answer: Answer) -> Iterator[RawServer]:
    """Answer each connection's one request with the pieces of `answer`, then hang up."""
    place = socket.create_server(("127.0.0.1", 0), backlog=64)
    server = RawServer(f"http://127.0.0.1:{place.getsockname()[1]}")
    closing = threading.Event()

    def serve(caller: socket.socket) -> None:
        with caller, contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                piece = caller.recv(65_536)
                if not piece:
                    return
                head += piece
            target = head.split(b" ")[1].decode()
            server.asked.append(target)
            for piece in answer(target):
                if closing.is_set():
                    return
                caller.sendall(piece)
                server.sent[target] = server.sent.get(target, 0) + len(piece)

    def listen() -> None:
        with contextlib.suppress(OSError):
            while True:
                caller, _ = place.accept()
                threading.Thread(target=serve, args=(caller,), daemon=True).start()

    threading.Thread(target=listen, daemon=True).start()
    try:
        yield server
    finally:
        closing.set()
        place.shutdown(socket.SHUT_RDWR)
        place.close()


def reply(
    body: bytes | str = b"", *headers: str, status: str = "200 OK", length: bool = True
) -> bytes:
    """A whole answer; without `length` it ends where the connection does."""
    data = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status}", *headers, "Connection: close"]
    lines += [f"Content-Length: {len(data)}"] if length else []
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + data


def page(*contents: str, truncated: str = "false", more: str = "") -> str:
    """An S3 listing page of these `<Contents>`."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<IsTruncated>{truncated}</IsTruncated>{more}{''.join(contents)}</ListBucketResult>"
    )


def content(key: str, size: object = 100, etag: str = "0" * 32) -> str:
    """One `<Contents>` of a listing page."""
    return (
        f"<Contents><Key>{key}</Key><LastModified>2024-01-02T00:00:00.000Z</LastModified>"
        f"<ETag>&quot;{etag}&quot;</ETag><Size>{size}</Size></Contents>"
    )
