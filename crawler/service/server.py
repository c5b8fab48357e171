"""Serves the application on a socket, from the first request to an orderly end.

Rules:
- Only loopback is listened on, unless a flag says otherwise.
- The socket is bound first: a port that is taken is an error before any file is touched.
- A line, a header and their number have limits. A connection on which no request arrives in IDLE, or whose client does
  not take what is sent in SLOWEST, is closed by us or by the kernel; what waits for a client in the kernel has a bound.
- `address.json` in the data folder names the address, so that commands find the service.
- The end: streams first, then requests under way, then the service with its runs.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import socket
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from aiohttp import web

from crawler.errors import UsageError
from crawler.service.address import ServedAt, remove_address, write_address
from crawler.service.app import make_app
from crawler.service.config import ServiceConfig
from crawler.service.connections import accept_on

if TYPE_CHECKING:
    from crawler.service.service import Service

IDLE = 30.0
SLOWEST = 30.0
LINGER = 2.0
"""Seconds in which the rest of a body that was refused is read, so that its sender sees the answer."""
LONGEST_LINE = 65_536  # app.py refuses shorter ones already, with a problem
LONGEST_HEADER = 8190
MOST_HEADERS = 64
SEND_BUFFER = 256 * 1024
BACKLOG = 256
SHUTDOWN = 5.0
"""Seconds that requests under way get at the end."""
LISTEN = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})", re.ASCII)


class ListenAddress(NamedTuple):
    """A host and a port to listen on; port 0: any."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        if self.host == "localhost":
            return True
        with suppress(ValueError):
            return ip_address(self.host).is_loopback
        return False


def parse_listen(text: str) -> ListenAddress:
    """HOST:PORT, [IPV6]:PORT. Raises UsageError."""
    match = LISTEN.fullmatch(text)
    if match is None or int(match[2]) > 65_535:
        raise UsageError(f"bad value for --listen = {text!r}: expected HOST:PORT, such as 127.0.0.1:8765")
    return ListenAddress(match[1].strip("[]"), int(match[2]))


def listen_on(address: ListenAddress, allow_remote: bool) -> socket.socket:
    """A listening socket. Raises UsageError, also for an address beyond loopback that is not allowed."""
    if not address.is_loopback and not allow_remote:
        raise UsageError(
            f"{address.host} can be reached from other machines; add --allow-remote if that is meant, and let a proxy"
            " with TLS stand before it"
        )
    try:
        (family, _, _, _, where), *_ = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        bound = socket.create_server(where[:2], family=family, backlog=BACKLOG)
    except OSError as error:
        raise UsageError(
            f"cannot listen on {address.host}:{address.port}: {error.strerror or error}; choose another --listen"
        ) from error
    bound.setblocking(False)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)  # accepted sockets inherit these
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(SLOWEST * 1000))
    return bound


async def serve(
    service: Service,
    data: Path,
    listening: socket.socket,
    host: str,
    config: ServiceConfig,
    announce: Callable[[ServedAt], None],
    stopped: asyncio.Event,
) -> None:
    """Serve until `stopped` is set, then close the service. Raises StorageError."""
    app = make_app(service, _answering_to(config, host), session_key(service.token_file))
    runner = web.AppRunner(app, shutdown_timeout=SHUTDOWN)
    working = asyncio.create_task(service.run_forever())
    accepting: asyncio.Server | None = None
    try:
        await runner.setup()
        assert runner.server is not None
        accepting = await accept_on(listening, runner.server, _options())
        await asyncio.sleep(0)  # it recovers in its first step, and is ready or has failed then
        if not working.done():
            announce(_address(service, data, listening, host))
            await _first(working, stopped)
    finally:
        if accepting is not None:
            accepting.close()
        await runner.cleanup()
        remove_address(data)
        await service.close()
    await working


async def _first(working: asyncio.Task[None], stopped: asyncio.Event) -> None:
    """Wait until the service ends by itself or is stopped."""
    waiting = asyncio.create_task(stopped.wait())
    await asyncio.wait([working, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()


def _answering_to(config: ServiceConfig, host: str) -> ServiceConfig:
    """The configuration, with the name that is listened on among its hosts; an address needs no entry."""
    return msgspec.structs.replace(config, allowed_hosts=(*map(str.lower, config.allowed_hosts), host.lower()))


def _address(service: Service, data: Path, listening: socket.socket, host: str) -> ServedAt:
    """Store where we listen. Raises StorageError."""
    port = listening.getsockname()[1]
    shown = f"[{host}]" if ":" in host else host
    at = ServedAt(f"http://{shown}:{port}", str(service.token_file), os.getpid())
    write_address(data, at)
    return at


def session_key(token: Path) -> bytes | None:
    """The key that signs sessions. It follows from the first token, so that sessions survive a restart, and end where
    that token is replaced."""
    try:
        return sha256(b"session " + token.read_bytes()).digest()
    except OSError:
        return None


def _options() -> dict[str, Any]:
    """What bounds a connection."""
    return {
        "access_log": None,
        "logger": _silent(),
        "keepalive_timeout": IDLE,
        "lingering_time": LINGER,
        "max_line_size": LONGEST_LINE,
        "max_field_size": LONGEST_HEADER,
        "max_headers": MOST_HEADERS,
    }


def _silent() -> logging.Logger:
    """A logger for what aiohttp says of broken requests: anybody can send those, and they must not fill a log."""
    logger = logging.getLogger("crawler.service.http")
    logger.propagate = False
    logger.addHandler(logging.NullHandler())
    return logger
