"""The mirror's HTTP server: files with ranges, S3 listings, and the faults that were asked for."""

from __future__ import annotations

import socket
import struct
import threading
import time
from dataclasses import dataclass, replace
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import BinaryIO, Self
from urllib.parse import parse_qs, unquote, urlsplit

from alphaqcm.data_collection.simulation.mirror.connections import (
    CONNECTIONS,
    PATIENCE,
    BoundedServer,
)
from alphaqcm.data_collection.simulation.mirror.faults import Fault, FaultKind, FaultPlan, Forecast
from alphaqcm.data_collection.simulation.mirror.tree import (
    DirectoryTree,
    PageQuery,
    Tree,
    TreeEntry,
    listing_page,
)
from alphaqcm.pipeline.domain.archive_file import quote_key

_CHUNK = 1 << 16
_MOVED = "moved"  # query of a redirect's new address: served without further faults


@dataclass(frozen=True, slots=True)
class Served:
    """One answered request: key (or `?prefix=…`), status, and the span of bytes sent."""

    key: str
    status: int
    start: int
    sent: int


class Mirror:
    """Serves `tree` (a directory or a `Tree`) on `url` from `start` to `stop`, or in a `with`.

    `log` holds what was served, unless `keep_log` is off. A client that says nothing, or takes
    nothing, for `patience` seconds is hung up on, as is each beyond so many `connections`. Raises
    OSError when the port is taken.
    """

    def __init__(
        self,
        tree: Path | Tree,
        *,
        faults: FaultPlan | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        keep_log: bool = True,
        patience: float = PATIENCE,
        connections: int = CONNECTIONS,
    ) -> None:
        self.log: list[Served] = []
        self._stopping = threading.Event()
        self._server = _Server((host, port), _Handler, patience, connections)
        self._server.tree = DirectoryTree(tree) if isinstance(tree, Path) else tree
        self._server.plan = faults or FaultPlan()
        self._server.forecast = Forecast(self._server.plan)
        self._server.log = self.log if keep_log else None
        self._server.stopping = self._stopping
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.daemon = True

    @property
    def url(self) -> str:
        """The address files and the listing are served from."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def start(self) -> None:
        """Serve in the background."""
        self._thread.start()

    def stop(self) -> None:
        """Stop serving; open connections are dropped."""
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class _Server(BoundedServer):
    tree: Tree
    plan: FaultPlan
    forecast: Forecast
    log: list[Served] | None
    stopping: threading.Event


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def setup(self) -> None:
        """Take a new connection; its handshake costs one round trip."""
        self.request.settimeout(self.server.patience)  # of each wait for the client
        super().setup()
        self._round_trip()

    def do_GET(self) -> None:
        """Answer a GET: a listing at `/`, else the file of the key."""
        self._round_trip()
        url = urlsplit(self.path)
        key = unquote(url.path.lstrip("/"))
        if key:
            self._file(key, moved=url.query == _MOVED)
        else:
            self._listing(url.query)

    def do_HEAD(self) -> None:
        """Answer a HEAD as the GET without its body."""
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Keep the terminal quiet; `Mirror.log` holds the requests."""

    def _round_trip(self) -> None:
        if self.server.plan.latency_ms:
            time.sleep(self.server.plan.latency_ms / 1000)

    def _listing(self, query: str) -> None:
        words = {name: values[0] for name, values in parse_qs(query).items()}
        asked = PageQuery(
            words.get("prefix", ""), words.get("delimiter", ""), words.get("marker", "")
        )
        label = f"?prefix={asked.prefix}&marker={asked.marker}"
        fault = self.server.forecast.next("listing", asked.prefix, label)
        if fault is not None and self._instead(fault, label):
            return
        body = listing_page(self.server.tree, asked, "data.binance.vision")
        headers = {"Content-Type": "application/xml"}
        self._send(_Body(label, body, fault), 200, headers)

    def _file(self, key: str, *, moved: bool) -> None:
        fault = None if moved else self.server.forecast.next("file", key, key)
        if fault is not None and self._instead(fault, key):
            return
        entry, path = self.server.tree.entry(key), self.server.tree.path(key)
        if entry is None or path is None:
            self._error(key, 404, "NoSuchKey")
            return
        headers = {
            "Content-Type": "application/zip" if key.endswith(".zip") else "binary/octet-stream",
            "Last-Modified": format_datetime(entry.last_modified, usegmt=True),
            "ETag": f'"{entry.etag}"',
            "Accept-Ranges": "bytes",
        }
        if self.headers.get("If-None-Match") == headers["ETag"]:
            self._send(_Body(key, b""), 304, headers)
            return
        with path.open("rb") as stream:
            self._send_file(entry, stream, headers, fault)

    def _send_file(
        self, entry: TreeEntry, stream: BinaryIO, headers: dict[str, str], fault: Fault | None
    ) -> None:
        span = self._span(entry)
        if span is None:
            headers["Content-Range"] = f"bytes */{entry.size}"
            self._send(_Body(entry.key, b""), 416, headers)
            return
        start, stop = span
        status = 200
        if (start, stop) != (0, entry.size) or "Range" in self.headers:
            if self._range_holds(entry):
                status = 206
                headers["Content-Range"] = f"bytes {start}-{stop - 1}/{entry.size}"
            else:
                start, stop = 0, entry.size
        if fault is None:
            self._head(status, headers, stop - start)
            if self.command != "HEAD" and stop > start:
                self._copy(Served(entry.key, status, start, stop - start), stream)
            return
        stream.seek(start)
        self._send(_Body(entry.key, stream.read(stop - start), fault, start), status, headers)

    def _copy(self, plan: Served, stream: BinaryIO) -> None:
        # noted before it is sent: a client that has the last byte finds it in the log
        self._note(plan)
        try:
            self.connection.sendfile(stream, plan.start, plan.sent)
        except OSError:
            if self.server.log is not None:
                self.server.log.remove(plan)
            self._note(replace(plan, sent=max(0, stream.tell() - plan.start)))
            raise

    def _range_holds(self, entry: TreeEntry) -> bool:
        condition = self.headers.get("If-Range")
        return "Range" in self.headers and condition in (
            None,
            f'"{entry.etag}"',
            format_datetime(entry.last_modified, usegmt=True),
        )

    def _span(self, entry: TreeEntry) -> tuple[int, int] | None:
        """The asked bytes as [start, stop); None when they lie outside the file."""
        kind, _, text = self.headers.get("Range", "").partition("=")
        first, dash, last = text.partition("-")
        if kind != "bytes" or not dash or not (first + last).isdigit():
            return 0, entry.size
        if not first:
            return max(0, entry.size - int(last)), entry.size
        stop = min(int(last) + 1, entry.size) if last else entry.size
        return (int(first), stop) if int(first) < stop else None

    def _instead(self, fault: Fault, label: str) -> bool:
        """Answer with a fault that needs no body; whether that was one."""
        if fault.kind is FaultKind.STATUS:
            headers = {}
            if fault.retry_after is not None:
                headers["Retry-After"] = f"{fault.retry_after:g}"
            self._error(label, fault.status, "SlowDown", headers)
        elif fault.kind is FaultKind.LOST:
            self._note(Served(label, 0, 0, 0))
            self.close_connection = True
        elif fault.kind is FaultKind.REDIRECT:
            self._send(_Body(label, b""), 302, {"Location": f"/{quote_key(label)}?{_MOVED}"})
        else:
            return False
        return True

    def _error(
        self, label: str, status: int, code: str, headers: dict[str, str] | None = None
    ) -> None:
        body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code></Error>'
        self._send(
            _Body(label, body.encode()),
            status,
            {"Content-Type": "application/xml", **(headers or {})},
        )

    def _head(self, status: int, headers: dict[str, str], length: int) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def _note(self, served: Served) -> None:
        if self.server.log is not None:
            self.server.log.append(served)

    def _send(self, body: _Body, status: int, headers: dict[str, str]) -> None:
        """Send an answer from memory, bent as its fault says."""
        data, fault = body.data, body.fault
        kind = fault.kind if fault else None
        if fault and kind is FaultKind.SHORT:
            data = data[: max(0, len(data) - max(1, fault.after))]
        elif fault and kind is FaultKind.LONG:
            data += b"\0" * max(1, fault.after)
        elif kind is FaultKind.WRONG:
            data = bytes(byte ^ 0x55 for byte in data)
        self._head(status, headers, len(data))
        if self.command == "HEAD":
            data = b""
        if fault and kind in (FaultKind.RESET, FaultKind.STALL, FaultKind.CUT):
            data = data[: fault.after]
        self._note(Served(body.label, status, body.start, len(data)))
        self._pour(data, fault.rate if fault and kind is FaultKind.DRIP else 0)
        if fault and kind is FaultKind.STALL:
            self.server.stopping.wait(fault.seconds)
        if kind is FaultKind.RESET:
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()
        if kind in (FaultKind.RESET, FaultKind.STALL, FaultKind.CUT):
            self.close_connection = True

    def _pour(self, data: bytes, rate: int) -> None:
        step = max(1, rate // 20) if rate else _CHUNK
        for at in range(0, len(data), step):
            self.wfile.write(data[at : at + step])
            if rate and self.server.stopping.wait(step / rate):
                self.close_connection = True
                return


@dataclass(frozen=True, slots=True)
class _Body:
    label: str
    data: bytes
    fault: Fault | None = None
    start: int = 0
