"""Who may speak to the endpoint: not the web pages that a browser on this machine shows.

A page can reach loopback by a name that it points there (Host), or by a request across origins
(Origin). Both are refused; other programs send neither, or what is the endpoint's own.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from aiohttp import web

_LOCAL_NAMES = ("localhost", "ip6-localhost", "ip6-loopback")


@dataclass(frozen=True, slots=True)
class Guard:
    """Checks Host and Origin; `hosts` are further names under which the endpoint is reached."""

    listen_host: str
    hosts: tuple[str, ...] = ()

    def refusal(self, host: str | None, origin: str | None) -> str:
        """Why a request with these headers is refused; empty where it is not."""
        name = _host_name(host or "")
        if not name or not self._is_own(name):
            return f"Host {host!r} is not this endpoint: name it in allowed_hosts"
        if origin is not None and urlsplit(origin).netloc.lower() != (host or "").lower():
            return f"Origin {origin!r} is another one"
        return ""

    def _is_own(self, name: str) -> bool:
        if name in (*_LOCAL_NAMES, self.listen_host.lower(), *map(str.lower, self.hosts)):
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or not is_loopback(self.listen_host)

    @web.middleware
    async def check(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        """The middleware of the application."""
        told = self.refusal(request.headers.get("Host"), request.headers.get("Origin"))
        if told:
            return web.Response(status=403, text=told + "\n")
        return await handler(request)


def is_loopback(host: str) -> bool:
    """Whether an address that is listened on is reached from this machine only."""
    if host.lower() in _LOCAL_NAMES:
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _host_name(host: str) -> str:
    """The name or address of a Host header, without its port."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""
