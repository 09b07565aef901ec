"""Two S3 servers as processes of their own, and a proxy before them that breaks things."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

BUCKET = "bucket"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "testtest",
    "AWS_REGION": "us-east-1",
}


@dataclass(frozen=True)
class S3Server:
    """A running server with one empty bucket."""

    port: int

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to use it."""
        return {**CREDENTIALS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}"}


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def _running(command: list[str], port: int) -> Iterator[S3Server]:
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            assert child.poll() is None, command
            time.sleep(0.02)
        yield S3Server(port)
    finally:
        child.kill()
        child.wait()


def _beside_python(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


@contextmanager
def moto() -> Iterator[S3Server]:
    """moto's server: conditional puts work."""
    port = _free_port()
    with _running([_beside_python("moto_server"), "-H", "127.0.0.1", "-p", str(port)], port) as up:
        make = urllib.request.Request(f"http://127.0.0.1:{port}/{BUCKET}", method="PUT")
        urllib.request.urlopen(make).close()
        yield up


@contextmanager
def rclone(folder: Path) -> Iterator[S3Server]:
    """`rclone serve s3` over a folder: conditional puts overwrite in silence."""
    (folder / BUCKET).mkdir(parents=True)
    port = _free_port()
    keys = f"{CREDENTIALS['AWS_ACCESS_KEY_ID']},{CREDENTIALS['AWS_SECRET_ACCESS_KEY']}"
    command = [_beside_python("rclone"), "serve", "s3", "--addr", f"127.0.0.1:{port}"]
    with _running([*command, "--auth-key", keys, "--config", os.devnull, str(folder)], port) as up:
        yield up


@dataclass(frozen=True)
class Request:
    """One request that came to the proxy, and which of its kind it is, from 1."""

    method: str
    path: str
    number: int

    @property
    def is_list(self) -> bool:
        return self.method == "GET" and "list-type=2" in self.path

    @property
    def is_completion(self) -> bool:
        """Whether it ends an upload in parts."""
        return self.method == "POST" and "uploadId=" in self.path


@dataclass
class Fault:
    """What becomes of a request: nothing, an error, a body that breaks off, a pause."""

    status: int = 0
    code: str = "SlowDown"  # goes with the status
    cut: int | None = None  # bytes of the body after which the connection is reset
    delay: float = 0.0  # seconds
    done: bool = False  # status and delay meet the answer: the server did what was asked
    dribble: float = 0.0  # seconds of pause between ten pieces of the body
    edit: Callable[[bytes], bytes] | None = None  # changes the body: a listing that is old


FINE = Fault()
Choose = Callable[[Request], Fault]


@dataclass
class Counted:
    """Requests that came, faults that were given."""

    requests: int = 0
    faults: int = 0
    by_kind: dict[str, int] = field(default_factory=dict)


@contextmanager
def faulty(server: S3Server, choose: Choose) -> Iterator[tuple[S3Server, Counted]]:
    """A proxy before `server`; each request meets the fault that `choose` gives it."""
    counted, lock = Counted(), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            kind = f"{self.command} {'list' if 'list-type=2' in self.path else 'object'}"
            with lock:
                counted.requests += 1
                counted.by_kind[kind] = number = counted.by_kind.get(kind, 0) + 1
                fault = choose(Request(self.command, self.path, number))
                counted.faults += fault != FINE
            body = self._body()
            if not fault.done and self._broken(fault):
                return
            one = HTTPConnection("127.0.0.1", server.port, timeout=30)
            headers = {name: value for name, value in self.headers.items() if name != "Expect"}
            # the signature covers the name of the host: it stays the proxy's
            one.request(self.command, self.path, body, headers)
            answer = one.getresponse()
            data = answer.read()
            length = answer.getheader("Content-Length")
            one.close()
            if fault.done and self._broken(fault):
                return
            if fault.edit is not None:
                data = fault.edit(data)
            kept = ("transfer-encoding", "connection", "content-length")
            told = {k: v for k, v in answer.getheaders() if k.lower() not in kept}
            self._answer(answer.status, data, told, fault, length)

        def _broken(self, fault: Fault) -> bool:
            """Whether an error was answered, after the fault's pause."""
            time.sleep(fault.delay)
            if fault.status:
                body = f"<Error><Code>{fault.code}</Code></Error>"
                self._answer(fault.status, body.encode(), {})
            return bool(fault.status)

        def _body(self) -> bytes:
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        def _answer(
            self,
            status: int,
            data: bytes,
            headers: dict[str, str],
            fault: Fault = FINE,
            length: str | None = None,
        ) -> None:
            self.send_response_only(status)
            for name, value in headers.items():
                self.send_header(name, value)
            told = length if self.command == "HEAD" and length else str(len(data))
            self.send_header("Content-Length", told)
            self.end_headers()
            if self.command == "HEAD":
                return
            if fault.cut is not None and fault.cut < len(data):
                self.wfile.write(data[: fault.cut])
                self.wfile.flush()
                # linger 0: the peer sees a reset, not an end
                linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self.connection.close()
                self.close_connection = True
                return
            step = len(data) // 10 + 1 if fault.dribble else len(data) or 1
            for start in range(0, len(data), step):
                time.sleep(fault.dribble)
                self.wfile.write(data[start : start + step])
                self.wfile.flush()

        do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _pass_on  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def handle_one_request(self) -> None:
            with suppress(OSError, ValueError):
                super().handle_one_request()
                return
            self.close_connection = True

    proxy = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    proxy.daemon_threads = True
    thread = threading.Thread(target=proxy.serve_forever, daemon=True)
    thread.start()
    try:
        yield S3Server(proxy.server_port), counted
    finally:
        proxy.shutdown()
        proxy.server_close()
