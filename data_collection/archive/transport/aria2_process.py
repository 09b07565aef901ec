"""An aria2c of our own: found, started on a loopback port with a secret, ended with us."""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Any, Self, cast
from urllib.request import getproxies

import aria2p
import requests

from alphaqcm.data_collection.archive.transport.paced_http import LEAST_RATE
from alphaqcm.data_collection.archive.transport.retry_policy import RetrySettings
from alphaqcm.data_collection.errors import UsageError
from alphaqcm.pipeline.errors import LayerError

_START_SECONDS = 15.0
_STOP_SECONDS = 5.0
_PR_SET_PDEATHSIG = 1


class _Client(aria2p.Client):
    """Talks to aria2c over one kept connection, past any proxy of the environment."""

    def __init__(self, port: int, secret: str) -> None:
        super().__init__(host="http://127.0.0.1", port=port, secret=secret)
        self._session = requests.Session()
        self._session.trust_env = False

    def post(self, payload: str) -> Any:
        return self._session.post(self.server, data=payload, timeout=self.timeout).json()


class Aria2Process:
    """A running aria2c, in a `with`; to be used by the thread that made it.

    Raises `LayerError` when aria2c does not start.
    """

    def __init__(self, settings: RetrySettings, stall: float) -> None:
        self._manners = settings
        self._stall = stall

    @staticmethod
    def find() -> str:
        """The path of aria2c; raises `UsageError` where it is not installed."""
        path = shutil.which("aria2c")
        if path is None:
            raise UsageError(
                "--downloader aria2",
                expected="the program aria2c on the PATH",
                found="none",
                next_step="install it (Debian: apt install aria2), or use --downloader requests",
            )
        return path

    def __enter__(self) -> Self:
        secret, port = secrets.token_hex(16), _free_port()
        text = "\n".join([*self._options(port), f"rpc-secret={secret}", ""])
        with _secret_file(text) as (conf, descriptors):
            self._process = subprocess.Popen(
                [self.find(), f"--conf-path={conf}"],
                pass_fds=descriptors,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                preexec_fn=_die_with_parent(),
            )
            self._client = _Client(port, secret)
            try:
                self._wait_until_up()
            except BaseException:
                self._end()
                raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def _options(self, port: int) -> list[str]:
        settings = self._manners
        rate = settings.rate_limit
        # aria2 cannot tell a slow source from its own limit
        is_fast = rate is None or rate > 4 * LEAST_RATE * settings.connections
        return [
            "enable-rpc=true",
            "rpc-listen-all=false",
            f"rpc-listen-port={port}",
            "rpc-max-request-size=16M",
            f"stop-with-process={os.getpid()}",
            f"max-concurrent-downloads={settings.connections}",
            f"max-overall-download-limit={rate or 0}",
            f"lowest-speed-limit={LEAST_RATE if is_fast else 0}",
            # one attempt, one connection, front to back: the part is always a beginning of the file
            "max-tries=1",
            "split=1",
            "max-connection-per-server=1",
            "file-allocation=none",
            "disk-cache=0",
            "continue=true",
            "always-resume=true",
            "allow-overwrite=true",
            "auto-file-renaming=false",
            f"timeout={max(1, round(self._stall))}",
            f"connect-timeout={max(1, min(20, round(self._stall)))}",
            "auto-save-interval=0",
            "remote-time=false",
            "http-want-digest=false",
            "follow-torrent=false",
            "follow-metalink=false",
            "enable-dht=false",
            "no-netrc=true",
            "quiet=true",
            *_proxies(),
        ]

    def _wait_until_up(self) -> None:
        give_up = time.monotonic() + _START_SECONDS
        while True:
            try:
                self._client.get_version()
                return
            except requests.ConnectionError as error:
                if self._process.poll() is not None or time.monotonic() > give_up:
                    raise LayerError(
                        "aria2c",
                        expected="it to start and listen on a loopback port",
                        found=f"exit code {self._process.poll()}",
                        next_step="try --downloader requests",
                    ) from error
                time.sleep(0.02)

    def batch(self, calls: Sequence[tuple[str, list[Any]]]) -> list[Any]:
        """Many calls in one request; each answer is a list of one, or an error as a dict."""
        return cast(list[Any], self._client.multicall2(list(calls))) if calls else []

    def _end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextlib.contextmanager
def _secret_file(text: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The path of a file with `text`, and the descriptors that its reader must inherit.

    Not the command line, which every user can read. On Linux the file has no name on any disk:
    however the processes end, nothing of it stays.
    """
    if hasattr(os, "memfd_create"):
        with os.fdopen(os.memfd_create("alphaqcm-aria2"), "w") as stream:
            stream.write(text)
            stream.flush()
            yield f"/proc/self/fd/{stream.fileno()}", (stream.fileno(),)
        return
    with tempfile.NamedTemporaryFile("w", prefix="alphaqcm-aria2-", suffix=".conf") as named:
        named.write(text)
        named.flush()
        yield named.name, ()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _proxies() -> list[str]:
    """The environment's proxies: aria2c itself reads only their lower-case names."""
    found = getproxies()
    options = [f"{scheme}-proxy={found[scheme]}" for scheme in ("http", "https") if scheme in found]
    return options + ([f"no-proxy={found['no']}"] if "no" in found else [])


def _die_with_parent() -> Any:
    """On Linux: what makes the child end when the thread that started it does, even by SIGKILL.

    Elsewhere `stop-with-process` does so, within a second.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def die() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    return die
