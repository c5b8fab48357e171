"""The default blocking client: libcurl, one handle for the life of the fetcher.

Rules:
- Whatever libcurl can do is done there, without the GIL: connect and total deadline, framing, keep-alive.
- A callback in Python contends for the GIL when many threads fetch, so header lines go straight into a list, which
  `framing` validates once the body begins (libcurl itself bounds a head to 300 KiB), and only blocks of the body reach
  Python code. Chunks come raw, for `chunks`; libcurl parses them only to find their end.
- First-byte and idle deadlines are the sweeper's, which knows the descriptors of this handle by its socket callbacks.
- libcurl never resolves a name: the addresses are pinned in the handle before (see crawler/fetch/net/dns_cache.py), and
  each socket is made here, after the guard has checked its address.
- libcurl would repeat a request by itself where a kept connection turns out to be dead before a byte came. It calls
  PREREQFUNCTION before each request, and the second within one fetch is refused (see `base.KEEPALIVE_S`). It looks for
  dead connections only once a second, so we check before each fetch: an idle one that is readable has been closed.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from collections import OrderedDict
from contextlib import suppress
from typing import Protocol

import pycurl

from crawler.core.reasons import NO_MEMORY, FetchErrorKind
from crawler.fetch.base import (
    KEEPALIVE_S,
    MAX_IDLE,
    UNCOUNTED,
    ClientPlan,
    FetchError,
    Headers,
    Held,
    Limits,
    Request,
    Response,
)
from crawler.fetch.deadlines import BlockingFetcher
from crawler.fetch.exhaustion import STARVING, lacks_memory
from crawler.fetch.http1.chunks import Chunks
from crawler.fetch.http1.deadlines import FetchTimer
from crawler.fetch.http1.framing import Head, check_partial, read_head
from crawler.fetch.http1.request import plan_headers, request_headers, split_port, split_url
from crawler.fetch.net.address_classes import is_address
from crawler.fetch.net.endpoints import Addresses, EndpointResolver, resolve_error
from crawler.fetch.net.guard import Blocked
from crawler.fetch.net.tls import trusted_certificates, usual_ca_file

_PINNED = 1_000
"""The most names that are pinned in one handle."""
_TOO_LARGE = 100  # CURLE_TOO_LARGE, not named by pycurl
_RESET = (errno.ECONNRESET, errno.ECONNABORTED)
_BROKEN_HANDSHAKE = (
    "Connection reset",
    "Broken pipe",
    "Send failure",
    "Recv failure",
    "SSL_ERROR_SYSCALL",
    "unexpected eof",
)
"""Messages of libcurl for a TLS handshake that the network has broken. Its code is that of a wrong certificate."""
_TROUBLE = {
    pycurl.E_OK: FetchErrorKind.DISCONNECT,  # looked at only where the head is incomplete
    pycurl.E_COULDNT_RESOLVE_HOST: FetchErrorKind.DNS,
    pycurl.E_COULDNT_CONNECT: FetchErrorKind.CONNECT,
    pycurl.E_INTERFACE_FAILED: FetchErrorKind.CONNECT,
    pycurl.E_OUT_OF_MEMORY: FetchErrorKind.RESOURCE_EXHAUSTED,  # of descriptors, as a rule
    pycurl.E_FAILED_INIT: FetchErrorKind.RESOURCE_EXHAUSTED,
    pycurl.E_WRITE_ERROR: FetchErrorKind.RESOURCE_EXHAUSTED,  # in the head: a list of lines could not grow
    pycurl.E_OPERATION_TIMEDOUT: FetchErrorKind.TIMEOUT,
    pycurl.E_SSL_CONNECT_ERROR: FetchErrorKind.TLS,
    pycurl.E_PEER_FAILED_VERIFICATION: FetchErrorKind.TLS,
    pycurl.E_SSL_CERTPROBLEM: FetchErrorKind.TLS,
    pycurl.E_SSL_CIPHER: FetchErrorKind.TLS,
    pycurl.E_SSL_ISSUER_ERROR: FetchErrorKind.TLS,
    pycurl.E_SSL_INVALIDCERTSTATUS: FetchErrorKind.TLS,
    pycurl.E_SSL_CACERT_BADFILE: FetchErrorKind.TLS,
    pycurl.E_GOT_NOTHING: FetchErrorKind.DISCONNECT,
    pycurl.E_RECV_ERROR: FetchErrorKind.DISCONNECT,
    pycurl.E_SEND_ERROR: FetchErrorKind.DISCONNECT,
    pycurl.E_PARTIAL_FILE: FetchErrorKind.DISCONNECT,
    pycurl.E_ABORTED_BY_CALLBACK: FetchErrorKind.DISCONNECT,  # it wanted to send the request once more
    pycurl.E_UNSUPPORTED_PROTOCOL: FetchErrorKind.PROTOCOL,  # a reply that does not start with HTTP/
    pycurl.E_FTP_WEIRD_SERVER_REPLY: FetchErrorKind.PROTOCOL,
    pycurl.E_BAD_CONTENT_ENCODING: FetchErrorKind.PROTOCOL,
    _TOO_LARGE: FetchErrorKind.PROTOCOL,
}


class CurlFetcher(BlockingFetcher):
    """A blocking client on libcurl."""

    def __init__(self, plan: ClientPlan) -> None:
        self._headers = plan_headers(plan)
        self._descriptors: set[int] = set()
        self._reply = _Reply(FetchTimer(0.0), plan.limits, UNCOUNTED)
        self._ways = EndpointResolver(plan)
        self._pinned: OrderedDict[tuple[str, int], Addresses] = OrderedDict()
        self._blocked: Blocked | None = None
        self._curl = curl = pycurl.Curl()
        limits = plan.limits
        for option, value in (
            (pycurl.NOSIGNAL, 1),
            (pycurl.FOLLOWLOCATION, 0),
            (pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS),
            (pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1),
            (pycurl.HTTP_CONTENT_DECODING, 0),
            (pycurl.HTTP_TRANSFER_DECODING, 0),
            (pycurl.NETRC, pycurl.NETRC_IGNORED),
            (pycurl.PROXY, ""),
            (pycurl.NOPROXY, "*"),
            _trust(plan.ca_file),
            (pycurl.CONNECTTIMEOUT_MS, _milliseconds(limits.connect)),
            (pycurl.TIMEOUT_MS, _milliseconds(limits.total)),
            (pycurl.MAXCONNECTS, max(1, min(MAX_IDLE, plan.connections))),
            (pycurl.MAXAGE_CONN, round(KEEPALIVE_S)),
            (pycurl.PREREQFUNCTION, self._about_to_send),
            (pycurl.BUFFERSIZE, 131_072),
            (pycurl.OPENSOCKETFUNCTION, self._open),
            (pycurl.SOCKOPTFUNCTION, self._opened),
            (pycurl.CLOSESOCKETFUNCTION, self._closed),
            (pycurl.CONNECT_TO, _routes(plan)),
            (pycurl.HTTPHEADER, _lines(self._headers)),
        ):
            curl.setopt(option, value)
        super().__init__(limits)

    def sweep(self, now: float) -> None:
        """End the fetch if it is overdue."""
        flight, reply = self._flight, self._reply
        if flight is reply.flight and not flight.head_at:
            with suppress(FetchError):  # raised again in the thread that fetches
                flight.head_at = now if reply.head() else 0.0
        super().sweep(now)

    def _ask(self, request: Request, flight: FetchTimer) -> Response:
        curl = self._curl
        reply = self._reply = _Reply(flight, self.limits, request.held)
        target = split_url(request.url)
        self._pin(target.host, target.port, request.wait_for_dns)
        curl.setopt(pycurl.URL, request.url)
        curl.setopt(pycurl.REQUEST_TARGET, target.path)  # its URL parser turns %c3 into %C3
        curl.setopt(pycurl.HEADERFUNCTION, reply.lines.append)
        curl.setopt(pycurl.WRITEFUNCTION, reply.take)
        if request.headers:
            curl.setopt(pycurl.HTTPHEADER, _lines(request_headers(self._headers, request)))
        curl.setopt(pycurl.FRESH_CONNECT, self._has_dead_connections())
        code, detail = pycurl.E_OK, ""
        try:
            curl.perform()
        except pycurl.error as error:
            code, detail = error.args[0], " ".join(str(error.args[1]).split())[:300]
        finally:
            if request.headers:
                curl.setopt(pycurl.HTTPHEADER, _lines(self._headers))
        now = time.monotonic()
        if reply.exhausted or code == pycurl.E_OUT_OF_MEMORY:
            raise FetchError(FetchErrorKind.RESOURCE_EXHAUSTED, f"{NO_MEMORY} ({detail})")
        head = reply.head()
        if head is None:
            check_partial(b"".join(reply.lines), self.limits.max_head)
            raise self._trouble(code, detail, flight)
        truncated = reply.truncated(code)
        if head.ambiguous or reply.has_surplus():
            with self._lock:
                self._cut()
        return Response(
            status=head.status,
            headers=head.fields,
            body=reply.body(),
            truncated=truncated,
            first_byte=(flight.head_at or now) - flight.started,
            seconds=now - flight.started,
            address=curl.getinfo(pycurl.PRIMARY_IP),
        )

    def _trouble(self, code: int, detail: str, flight: FetchTimer) -> FetchError:
        """The FetchError for a failure before the end of the head."""
        if self._blocked is not None and code == pycurl.E_COULDNT_CONNECT:
            return resolve_error(self._blocked)
        if code == pycurl.E_OPERATION_TIMEDOUT:
            whole = time.monotonic() - flight.started >= self.limits.total
            sent = self._curl.getinfo(pycurl.REQUEST_SIZE) > 0
            return FetchError(FetchErrorKind.TIMEOUT, "total" if whole or sent else "connect")
        if code == pycurl.E_COULDNT_CONNECT:
            number = self._curl.getinfo(pycurl.OS_ERRNO)
            if number in STARVING:
                return FetchError(FetchErrorKind.RESOURCE_EXHAUSTED, detail)
            if number in _RESET:
                return FetchError(FetchErrorKind.DISCONNECT, detail)
        if code == pycurl.E_SSL_CONNECT_ERROR and any(words in detail for words in _BROKEN_HANDSHAKE):
            return FetchError(FetchErrorKind.DISCONNECT, detail)
        return FetchError(_TROUBLE.get(code, FetchErrorKind.INTERNAL), detail or "closed inside the head")

    def _pin(self, host: str, port: int, wait_for_dns: bool) -> None:
        """Pin the addresses of a name in the handle, where they are new. Raises FetchError."""
        self._blocked = None
        try:
            way = self._ways.route(host, port)
            addresses = self._ways.find(*way, wait_for_dns)
        except OSError as error:
            raise resolve_error(error) from None
        if is_address(way[0]) or self._pinned.get(way) == addresses:
            return
        lines = [f"{way[0]}:{way[1]}:{','.join(map(_bracket, addresses))}"]
        self._pinned[way] = addresses
        if len(self._pinned) > _PINNED:
            (name, number), _ = self._pinned.popitem(last=False)
            lines.append(f"-{name}:{number}")
        self._curl.setopt(pycurl.RESOLVE, lines)

    def _open(self, _: int, peer: _Peer) -> socket.socket | int:
        """The socket for a connection to `peer`, if the guard allows its address."""
        try:
            self._ways.guard.check(peer.addr[0], peer.addr[1])
            return socket.socket(peer.family, peer.socktype, peer.protocol)
        except Blocked as error:
            self._blocked = error
        except (OSError, MemoryError) as error:
            if not lacks_memory(error):
                raise
            self._reply.exhausted = True
        return int(pycurl.SOCKET_BAD)

    def _has_dead_connections(self) -> bool:
        poll = select.poll()
        for descriptor in self._descriptors:
            poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(0))

    def _about_to_send(self, *_: object) -> int:
        first, self._reply.sent = not self._reply.sent, True
        return int(pycurl.PREREQFUNC_OK if first else pycurl.PREREQFUNC_ABORT)

    def _opened(self, descriptor: int, purpose: int) -> int:
        with self._lock:
            self._descriptors.add(descriptor)
            flight = self._flight
        over = flight is not None and flight.ended  # it was ended, and libcurl wants to try once more
        return int(pycurl.SOCKOPT_ERROR if over else pycurl.SOCKOPT_OK)

    def _closed(self, descriptor: int) -> int:
        with self._lock:  # a descriptor in the set is open: the sweeper cannot hit one that has been given away again
            self._descriptors.discard(descriptor)
            os.close(descriptor)
        return 0

    def _cut(self) -> None:
        for descriptor in self._descriptors:
            line = socket.socket(fileno=descriptor)
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
            line.detach()

    def _close(self) -> None:
        self._curl.close()


class _Peer(Protocol):
    """An address as libcurl passes it to OPENSOCKETFUNCTION."""

    family: int
    socktype: int
    protocol: int
    addr: tuple[str, int]


class _Reply:
    """The response that arrives during one `perform`."""

    def __init__(self, flight: FetchTimer, limits: Limits, held: Held) -> None:
        self.flight = flight
        self._held = held
        self.lines: list[bytes] = []
        self.sent = False
        self.exhausted = False  # a callback had no memory: libcurl learns only that it failed
        self._blocks: list[bytes] = []
        self._begun = False
        self._head: Head | None = None
        self._chunks: Chunks | None = None
        self._max_body = limits.max_body
        self._max_head = limits.max_head

    def take(self, block: bytes) -> int | None:
        """A block of the body; refusing it ends the transfer and closes the connection."""
        try:
            return self._take(block)
        except (MemoryError, FetchError):
            self.exhausted = True
            return -1

    def _take(self, block: bytes) -> int | None:
        flight = self.flight
        if not self._begun:
            self._begun = True
            flight.head_at = flight.head_at or time.monotonic()
            try:
                head = self.head()
            except FetchError:  # raised again when the transfer has ended
                return -1
            self._chunks = Chunks() if head and head.chunked else None
        chunks = self._chunks
        if chunks is not None:
            block = b"".join(chunks.feed(block))
        flight.size += len(block)
        self._held.grow(len(block))
        self._blocks.append(block)
        if flight.ended or flight.size > self._max_body or (chunks is not None and chunks.error):
            return -1  # what the kernel holds can be read long after a deadline has shut the socket
        return None

    def head(self) -> Head | None:
        """The head of the response, None where it is incomplete. Raises FetchError(PROTOCOL)."""
        if self._head is None:
            found = read_head(b"".join(self.lines), self._max_head)
            self._head = found[0] if found else None
        return self._head

    def body(self) -> bytes:
        """The body so far, up to the cap."""
        body = b"".join(self._blocks)
        return body if len(body) <= self._max_body else body[: self._max_body]

    def has_surplus(self) -> bool:
        """Whether bytes came after the last chunk; libcurl itself checks for more bytes than Content-Length."""
        return self._chunks is not None and self._chunks.excess_data

    def truncated(self, code: int) -> str:
        """`Response.truncated` after `perform` ended with this code. Raises FetchError(PROTOCOL)."""
        chunks = self._chunks
        if self.flight.size > self._max_body:
            return "length"
        if chunks and chunks.error:
            raise chunks.error
        if self.flight.ended or code == pycurl.E_OPERATION_TIMEDOUT:  # the sweeper's cut looks like the end of a stream
            return "time"
        return "" if code == pycurl.E_OK or (chunks and chunks.done) else "disconnect"


def _milliseconds(seconds: float) -> int:
    """At least 1: libcurl takes 0 for "no limit"."""
    return max(1, round(seconds * 1000))


def _trust(ca_file: str) -> tuple[int, str | bytes]:
    """The option that names the certificates to trust: libcurl reads one file, or one block of memory."""
    return (pycurl.CAINFO_BLOB, trusted_certificates(ca_file)) if ca_file else (pycurl.CAINFO, usual_ca_file())


def _lines(headers: Headers) -> list[str]:
    """Headers in libcurl's notation: "Name;" is an empty value, "Name:" removes a default header."""
    names = {name.lower() for name, _ in headers}
    own = [f"{name}:" for name in ("Accept", "User-Agent") if name.lower() not in names]
    return [f"{name}: {value}" if value.strip() else f"{name};" for name, value in headers] + own


def _routes(plan: ClientPlan) -> list[str]:
    """HOST:PORT:ADDRESS:PORT lines; the first match counts, an empty port is any port or the same port."""
    routes = []
    for name, address in sorted(plan.resolve.items(), key=lambda pair: -split_port(pair[0])[1]):
        (host, port), (other, other_port) = split_port(name), split_port(address)
        routes.append(f"{_bracket(host)}:{port or ''}:{_bracket(other)}:{other_port or ''}")
    return routes


def _bracket(host: str) -> str:
    return f"[{host}]" if ":" in host else host
