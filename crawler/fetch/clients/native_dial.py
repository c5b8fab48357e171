"""How the asynchronous native client opens connections: TCP (RFC 8305), and what a proxy needs before the request."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Any, cast

import aiohappyeyeballs

from crawler.fetch.clients.native_connection import NativeConnection
from crawler.fetch.http1.request import Origin
from crawler.fetch.net.dial import ATTEMPT_DELAY, in_turn, open_socket
from crawler.fetch.net.endpoints import family_of
from crawler.fetch.net.guard import Guard
from crawler.fetch.net.tls import server_name, tls_context
from crawler.fetch.proxies import Proxy, Tunnel, proxy_failure, tunnel

_READ = 4_096
Make = Callable[[], NativeConnection]


async def dial_on_loop(
    loop: asyncio.AbstractEventLoop, guard: Guard, addresses: tuple[str, ...], port: int
) -> socket.socket:
    """A connected socket; the rules are those of crawler/fetch/net/dial.py. Raises Blocked, OSError."""
    if len(addresses) == 1:
        line = open_socket(guard, addresses[0], port)
        try:
            await loop.sock_connect(line, (addresses[0], port))
        except BaseException:
            line.close()
            raise
        return line
    found: list[Any] = [
        (family_of(one), socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (one, port)) for one in in_turn(addresses)
    ]
    return await aiohappyeyeballs.start_connection(
        found,
        happy_eyeballs_delay=ATTEMPT_DELAY,
        loop=loop,
        socket_factory=lambda info: open_socket(guard, str(info[4][0]), int(info[4][1])),
    )


async def connect(
    loop: asyncio.AbstractEventLoop, line: socket.socket, origin: Origin, ca_file: str, make: Make
) -> NativeConnection:
    """A connection to an origin over a socket that is connected to it. Raises OSError."""
    if origin.scheme == "https":
        name = server_name(origin.host)
        return (await loop.create_connection(make, sock=line, ssl=tls_context(ca_file), server_hostname=name))[1]
    return (await loop.create_connection(make, sock=line))[1]


async def connect_through(
    loop: asyncio.AbstractEventLoop, proxy: Proxy, line: socket.socket, origin: Origin, ca_file: str, make: Make
) -> NativeConnection:
    """A connection to an origin over a socket that is connected to its proxy. The caller closes the socket where this
    raises FetchError or OSError."""
    if proxy.scheme == "https":
        return await _through_tls(loop, proxy, line, origin, tls_context(ca_file), make)
    if not origin.forwarded:
        await _open_tunnel(loop, proxy, line, origin)
    made = await connect(loop, line, origin, ca_file, make)
    made.address = ""  # that of the proxy says nothing about the host
    return made


async def _open_tunnel(loop: asyncio.AbstractEventLoop, proxy: Proxy, line: socket.socket, origin: Origin) -> None:
    begin = tunnel(proxy, origin.host, origin.port)
    reply: bytes | None = begin.start()
    while reply is not None:
        if reply:
            await loop.sock_sendall(line, reply)
        data = await loop.sock_recv(line, _READ)
        if not data:
            raise proxy_failure(proxy, "closed the connection")
        reply = begin.receive(data)


async def _through_tls(
    loop: asyncio.AbstractEventLoop,
    proxy: Proxy,
    line: socket.socket,
    origin: Origin,
    context: ssl.SSLContext,
    make: Make,
) -> NativeConnection:
    """The same where the proxy itself is spoken to by TLS."""
    proxy_name = server_name(proxy.host)
    if origin.forwarded:
        _, made = await loop.create_connection(make, sock=line, ssl=context, server_hostname=proxy_name)
        made.address = ""
        return made
    opening = _TunnelProtocol(loop, tunnel(proxy, origin.host, origin.port), proxy)
    transport, _ = await loop.create_connection(lambda: opening, sock=line, ssl=context, server_hostname=proxy_name)
    try:
        await opening.opened
        made = make()
        secure = await loop.start_tls(transport, made, context, server_hostname=server_name(origin.host))
    except BaseException:
        transport.abort()
        raise
    assert secure is not None
    made.connection_made(secure)
    made.address = ""
    return made


class _TunnelProtocol(asyncio.Protocol):
    """Opens a tunnel on a transport; `opened` is done when it is open, or fails."""

    def __init__(self, loop: asyncio.AbstractEventLoop, begin: Tunnel, proxy: Proxy) -> None:
        self.opened: asyncio.Future[None] = loop.create_future()
        self._begin = begin
        self._proxy = proxy
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first bytes."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._begin.start())

    def data_received(self, data: bytes) -> None:
        """Go on with the tunnel."""
        try:
            reply = self._begin.receive(data)
        except Exception as error:
            self._fail(error)
            return
        if reply is None and not self.opened.done():
            self.opened.set_result(None)
        elif reply and self._transport is not None:
            self._transport.write(reply)

    def connection_lost(self, error: Exception | None) -> None:
        """The proxy has closed the connection."""
        self._fail(error or proxy_failure(self._proxy, "closed the connection"))

    def _fail(self, error: Exception) -> None:
        if not self.opened.done():
            self.opened.set_exception(error)
