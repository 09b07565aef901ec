"""Clients of the mirror that say nothing, say it slowly, or come by the hundred."""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from alphaqcm.data_collection.simulation.mirror import Mirror


def call(mirror: Mirror) -> socket.socket:
    place = urlsplit(mirror.url)
    return socket.create_connection((place.hostname or "", place.port or 0), timeout=20)


def is_hung_up(client: socket.socket) -> bool:
    """Whether the other side ends the connection within the client's time-out."""
    with contextlib.suppress(ConnectionResetError):
        return client.recv(65_536) == b""
    return True


@pytest.mark.parametrize("begun", [b"", b"GET /x HTTP/1.1\r\nHo", b"GET / HTTP/1.1\r\n\r\n"])
def test_a_client_that_says_nothing_more_is_hung_up_on(tmp_path: Path, begun: bytes) -> None:
    with Mirror(tmp_path, patience=0.3) as mirror, call(mirror) as client:
        client.sendall(begun)
        while begun.endswith(b"\n\r\n"):  # the answer first
            if b"ListBucketResult>" in client.recv(65_536):
                break
        assert is_hung_up(client)


def test_a_client_that_takes_nothing_is_hung_up_on(tmp_path: Path) -> None:
    with (tmp_path / "big").open("wb") as stream:
        stream.truncate(1 << 26)  # more than the kernel's buffers take
    before = threading.active_count()
    with Mirror(tmp_path, patience=0.3) as mirror, call(mirror) as client:
        client.sendall(b"GET /big HTTP/1.1\r\n\r\n")
        client.recv(1)
        for thread in threading.enumerate():
            if "process_request_thread" in thread.name:
                thread.join(20)
                assert not thread.is_alive()
    assert threading.active_count() <= before


def test_clients_beyond_the_bound_are_hung_up_on_and_others_served(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here")
    before = threading.active_count()
    with contextlib.ExitStack() as stack:
        mirror = stack.enter_context(Mirror(tmp_path, patience=20, connections=8))
        clients = [stack.enter_context(call(mirror)) for _ in range(40)]
        assert all(is_hung_up(client) for client in clients[8:])
        assert threading.active_count() - before <= 9
        for client in clients[:8]:
            client.close()
        while True:  # the places are free once the mirror has seen them go
            with contextlib.suppress(requests.ConnectionError):
                answer = requests.get(f"{mirror.url}/file", timeout=20)
                break
        assert answer.text == "here"
