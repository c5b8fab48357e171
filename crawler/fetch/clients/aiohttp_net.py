"""The resolver and the connection pool of the aiohttp session.

Rules:
- Names are resolved as for every client (see crawler/fetch/net/dns_cache.py): an installed aiodns would silently
  replace that, and slow names must not block the loop's default threads. aiohttp asks each time it opens a connection.
- Literal addresses bypass the resolver, so the guard checks every address when its socket is made.
"""

from __future__ import annotations

import functools
import socket
from contextvars import ContextVar

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from crawler.fetch.base import KEEPALIVE_S, ClientPlan
from crawler.fetch.net.endpoints import EndpointResolver, family_of
from crawler.fetch.net.guard import Guard

_AddrInfo = tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int]]  # as of getaddrinfo

PATIENT: ContextVar[bool] = ContextVar("PATIENT", default=True)
"""Whether the fetch of this task waits for a slow lookup: a context variable, since aiohttp calls the resolver."""


def connector(plan: ClientPlan) -> aiohttp.TCPConnector:
    """A connection pool without a limit per host: that limit is the Crawl's decision."""
    ways = EndpointResolver(plan)
    return aiohttp.TCPConnector(
        limit=plan.connections,
        keepalive_timeout=KEEPALIVE_S,
        resolver=SharedResolver(ways),
        use_dns_cache=False,
        socket_factory=functools.partial(_socket, ways.guard),
    )


def _socket(guard: Guard, found: _AddrInfo) -> socket.socket:
    family, kind, protocol, _, address = found
    guard.check(address[0], address[1])
    return socket.socket(family, kind, protocol)


class SharedResolver(AbstractResolver):
    """aiohttp's interface to the EndpointResolver: overrides of the plan, shared DNS cache, guard."""

    def __init__(self, ways: EndpointResolver) -> None:
        self._ways = ways

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Addresses and ports to try. Raises OSError."""
        name, port = self._ways.route(host, port)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=family_of(address),
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address in await self._ways.afind(name, port, PATIENT.get())
        ]

    async def close(self) -> None:
        """Nothing to close."""
