"""The project's own client on blocking sockets: a driver of `Exchange`, one instance per thread.

Rules:
- It reads with a timeout of one tick and then checks the deadlines itself, so it needs no thread that watches it.
  `abort` only sets a flag, which is seen within a tick, or with the end of a lookup of a name: no other thread ever
  touches its sockets.
- Where the read is plain TCP the kernel keeps the timeout (SO_RCVTIMEO): a timeout of Python's costs a `poll` per read.
- A kept connection that is readable before a request was closed by the server, or has sent something unasked. It is not
  used again. A request is never sent twice: retries are the Crawl's decision (see `base.KEEPALIVE_S`).
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections import OrderedDict
from collections.abc import Callable
from time import monotonic
from typing import TypeVar

from crawler.core.reasons import NO_MEMORY, FetchErrorKind
from crawler.fetch.base import KEEPALIVE_S, MAX_IDLE, ClientPlan, FetchError, Request, Response, one_line
from crawler.fetch.http1.deadlines import tick
from crawler.fetch.http1.exchange import Exchange
from crawler.fetch.http1.request import Origin, RequestEncoder
from crawler.fetch.net.dial import dial
from crawler.fetch.net.endpoints import EndpointResolver, proxy_endpoints, resolve_error
from crawler.fetch.net.failures import connect_failure
from crawler.fetch.net.tls import server_name, tls_context
from crawler.fetch.net.tls_in_tls import TlsInTls
from crawler.fetch.proxies import Proxy, proxy_failure, tunnel

T = TypeVar("T")
Line = socket.socket | TlsInTls
READ = 128 * 1024
_TUNNEL_READ = 4_096
LONGEST_TICK = 0.25
"""Seconds within which `abort` is seen."""


class NativeFetcher:
    """The blocking driver."""

    def __init__(self, plan: ClientPlan) -> None:
        self._limits = plan.limits
        self._endpoints = EndpointResolver(plan)
        self._proxy_endpoints = proxy_endpoints(plan)
        self._encoder = RequestEncoder(plan, self._endpoints.judge_unresolved)
        self._ca_file = plan.ca_file
        if plan.ca_file:
            tls_context(plan.ca_file)
        self._most_kept = max(1, min(MAX_IDLE, plan.connections))
        self._kept: OrderedDict[Origin, _Connection] = OrderedDict()
        self._tick = min(tick(plan.limits), LONGEST_TICK)
        self._aborted = False

    def fetch(self, request: Request) -> Response:
        """Send one request. Raises FetchError; of kind LEASE_EXPIRED where the fetcher was aborted."""
        origin, message = self._encoder.encode(request)
        exchange = Exchange(self._limits, request.held, monotonic(), origin.forwarded)
        self._check_aborted()
        connection = self._take(origin, exchange)
        try:
            if connection is None:
                connection = self._open(origin, request.wait_for_dns, exchange)
            self._run(connection, message, exchange)
            response = exchange.response(connection.address)
        except BaseException:
            if connection is not None:
                connection.close()
            raise
        if exchange.reusable:
            self._keep(origin, connection)
        else:
            connection.close()
        return response

    def _run(self, connection: _Connection, message: bytes, exchange: Exchange) -> None:
        """Send the request, receive until the exchange has ended."""
        check_at = monotonic() + self._tick
        try:
            connection.send(message)
            while not exchange.ended:
                data = connection.receive()
                now = monotonic()
                if data:
                    exchange.receive(data, now)
                elif data is not None:
                    exchange.end_of_stream(now)
                if now >= check_at and not exchange.ended:
                    check_at = now + self._tick
                    self._check_aborted()
                    exchange.check_deadlines(now)
        except MemoryError:
            raise FetchError(FetchErrorKind.RESOURCE_EXHAUSTED, NO_MEMORY) from None
        except OSError as error:
            exchange.end_of_stream(monotonic(), one_line(error), broken=True)

    # ---- connections -------------------------------------------------------------------------------------------------

    def _take(self, origin: Origin, exchange: Exchange) -> _Connection | None:
        """The kept connection to an origin, if it can still be used."""
        connection = self._kept.pop(origin, None)
        if connection is None or connection.is_idle(exchange.timer.started):
            return connection
        connection.close()
        return None

    def _keep(self, origin: Origin, connection: _Connection) -> None:
        connection.used_at = monotonic()
        self._kept[origin] = connection
        if len(self._kept) > self._most_kept:
            self._kept.popitem(last=False)[1].close()

    def _open(self, origin: Origin, wait_for_dns: bool, exchange: Exchange) -> _Connection:
        """A new connection. Raises FetchError."""
        proxy = origin.proxy
        endpoints, peer = (self._endpoints, origin) if proxy is None else (self._proxy_endpoints, proxy)
        try:
            name, port = endpoints.route(peer.host, peer.port)
            addresses = endpoints.find(name, port, wait_for_dns)
        except OSError as error:
            raise resolve_error(error) from error
        while len(self._kept) >= self._most_kept:
            self._kept.popitem(last=False)[1].close()
        give_up_at, reason = exchange.timer.connect_until(self._limits, monotonic())
        line: Line | None = None
        try:
            line = dial(endpoints.guard, addresses, port, give_up_at, self._wait)
            address = str(line.getpeername()[0]) if proxy is None else ""
            if proxy is not None and proxy.scheme == "https":
                line = self._secure(line, proxy.host, give_up_at)
            if proxy is not None and not origin.forwarded:
                self._open_tunnel(proxy, line, origin, give_up_at)
            if origin.scheme == "https":
                line = self._secure(line, origin.host, give_up_at)
        except BaseException as error:
            if line is not None:
                line.close()
            if isinstance(error, TimeoutError):
                raise FetchError(FetchErrorKind.TIMEOUT, reason) from None
            if isinstance(error, OSError | ValueError):
                raise connect_failure(error, tls=line is not None) from error
            raise
        return _Connection(line, address, self._tick)

    def _open_tunnel(self, proxy: Proxy, line: Line, origin: Origin, give_up_at: float) -> None:
        """Let a proxy connect to an origin. Raises FetchError, OSError."""
        begin = tunnel(proxy, origin.host, origin.port)
        reply: bytes | None = begin.start()
        while reply is not None:
            if reply:
                line.sendall(reply)
            data = self._in_ticks(line, lambda: line.recv(_TUNNEL_READ), give_up_at)
            if not data:
                raise proxy_failure(proxy, "closed the connection")
            reply = begin.receive(data)

    def _secure(self, line: Line, host: str, give_up_at: float) -> Line:
        """TLS on a connected socket, or inside the TLS of one; closes it where that fails. Raises OSError."""
        context, name = tls_context(self._ca_file), server_name(host)
        secure: Line
        if isinstance(line, socket.socket) and not isinstance(line, ssl.SSLSocket):
            secure = context.wrap_socket(
                line, server_hostname=name, do_handshake_on_connect=False, suppress_ragged_eofs=False
            )
        else:
            assert isinstance(line, ssl.SSLSocket)
            secure = TlsInTls(line, context, name)
        try:
            self._in_ticks(secure, secure.do_handshake, give_up_at)
        except BaseException:
            secure.close()
            raise
        return secure

    def _in_ticks(self, line: Line, step: Callable[[], T], give_up_at: float) -> T:
        """Repeat a step that waits for the network until it succeeds; between two ticks `abort` is seen. Raises
        TimeoutError, and what the step raises."""
        while True:
            line.settimeout(self._wait(give_up_at - monotonic()))
            try:
                return step()
            except TimeoutError:
                if monotonic() >= give_up_at:
                    raise

    def _wait(self, seconds: float) -> float:
        """How long to wait now where so many seconds are left; 0 would mean not to wait at all."""
        self._check_aborted()
        return max(0.001, min(seconds, self._tick))

    def _check_aborted(self) -> None:
        if self._aborted:
            raise FetchError(FetchErrorKind.LEASE_EXPIRED, "aborted")

    def abort(self) -> None:
        """End the running fetch within a tick, and refuse all later ones. From any thread."""
        self._aborted = True

    def close(self) -> None:
        """Close its connections."""
        while self._kept:
            self._kept.popitem()[1].close()


class _Connection:
    """A connected socket whose reads return after a tick. `used_at`: monotonic seconds."""

    __slots__ = ("_line", "_plain", "address", "used_at")

    def __init__(self, line: Line, address: str, tick: float) -> None:
        self._line = line
        self._plain = line if isinstance(line, socket.socket) and not isinstance(line, ssl.SSLSocket) else None
        self.address = address
        self.used_at = 0.0
        if self._plain is None:
            line.settimeout(tick)
        else:
            line.settimeout(None)
            whole = int(tick)
            self._plain.setsockopt(
                socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", whole, int((tick - whole) * 1e6))
            )

    def send(self, message: bytes) -> None:
        """Send a request. Raises OSError."""
        self._line.sendall(message)

    def receive(self) -> bytes | None:
        """The next bytes; b"" at the end of the stream, None after a tick without any. Raises OSError."""
        try:
            return self._line.recv(READ)
        except (BlockingIOError, TimeoutError, ssl.SSLWantReadError):
            return None

    def is_idle(self, now: float) -> bool:
        """Whether it may be used again: young enough, and there is nothing to read."""
        if now - self.used_at > KEEPALIVE_S:
            return False
        try:
            if self._plain is None:
                return self._nothing_unread()
            self._plain.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def _nothing_unread(self) -> bool:
        """Under TLS the only way to see whether there is something is to read it."""
        patience = self._line.gettimeout()
        self._line.settimeout(0)
        try:
            self._line.recv(1)
        except ssl.SSLWantReadError:
            return True
        finally:
            self._line.settimeout(patience)
        return False

    def close(self) -> None:
        """Close it."""
        self._line.close()
