"""What lies beneath the aiohttp session: names and connections.

Rules:
- Names are resolved by the system in threads of our own: an installed aiodns would silently replace that resolver, and
  slow names must not block the loop's default threads. aiohttp keeps the answers for five minutes.
- A server may send a few interim replies (1xx) before the response, not an endless stream of them.
"""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import RawResponseMessage

from crawler.fetch.base import ClientPlan
from crawler.fetch.wire import MAX_INTERIM, REUSED_FOR, Routes

_NAMES_TTL = 300
_NAMES_KEPT = 10_000
_RESOLVERS = 16


def connector(plan: ClientPlan, resolver: Resolver) -> aiohttp.TCPConnector:
    """A pool of connections that may all go to one host: how many one may have is the Crawl's decision."""
    return aiohttp.TCPConnector(
        limit=plan.connections,
        keepalive_timeout=REUSED_FOR,
        resolver=resolver,
        ttl_dns_cache=_NAMES_TTL,
        dns_cache_max_size=_NAMES_KEPT,
    )


class Connection(ResponseHandler):
    """A connection that bounds interim replies, and whose failure always reaches the reader of the body."""

    interim = 0

    def feed_data(self, data: tuple[RawResponseMessage, aiohttp.StreamReader], size: int = 0) -> None:
        """Called by aiohttp for each head that was parsed."""
        if self.interim > MAX_INTERIM:
            return
        self.interim = self.interim + 1 if data[0].code < 200 else 0
        if self.interim <= MAX_INTERIM:
            super().feed_data(data, size)
        elif self.transport is not None:
            self.transport.close()
            self.set_exception(HttpProcessingError(code=400, message="too many interim replies"))

    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        """Called by aiohttp when the connection fails; it forgets whoever waits for a body with broken chunks."""
        super().set_exception(exc, *cause)
        if self._payload is not None and not self._payload.is_eof():
            self._payload.set_exception(aiohttp.ClientPayloadError(str(exc)))


class Resolver(AbstractResolver):
    """The system's resolver, in threads of its own, behind the overrides of the plan."""

    def __init__(self, plan: ClientPlan) -> None:
        self._routes = Routes(plan)
        self._threads = ThreadPoolExecutor(_RESOLVERS, thread_name_prefix="names")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Addresses and ports to try. Raises OSError."""
        name, port = self._routes.find(host, port)
        try:
            found = await asyncio.get_running_loop().run_in_executor(
                self._threads, socket.getaddrinfo, name, port, family, socket.SOCK_STREAM
            )
        except UnicodeError as error:  # no name of the DNS: a label is empty or too long
            raise socket.gaierror(socket.EAI_NONAME, str(error)) from None
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=port,
                family=kind,
                proto=proto,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, proto, _, address in found
        ]

    async def close(self) -> None:
        """Let go of the threads; one that still waits for an answer ends with it."""
        self._threads.shutdown(wait=False, cancel_futures=True)
