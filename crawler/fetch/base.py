"""One HTTP request, one answer: the interface of every client.

Rules that hold for `native` and `aiohttp`; the plain clients (crawler/fetch/clients/plain.py) leave some to their
libraries: some of the deadlines, what is valid HTTP, and that a request is sent once.
- It never follows redirects, retries, sleeps, reads robots.txt, keeps cookies, reads netrc or proxy variables, or
  decompresses: those are decisions of the Crawl, or shared code (`decode`).
- The body is the raw body as sent (after transfer coding), cut at exactly `Limits.max_body` bytes.
- After a complete head, a truncated body is not an error but a mark: `Response.truncated` is "length" (more than the
  cap came), "time" (idle or total deadline) or "disconnect" (fewer bytes than promised, no last chunk).
- Before that, every failure raises `FetchError` and nothing else.
- Four deadlines bound every fetch: connect, first byte (end of the response head), idle (of a body), total. A body
  slower than `min_rate` over the idle time counts as idle.
- Shared code (`framing`, `chunks`) validates what came, not a client's parser: a head or chunks that are not valid HTTP
  raise FetchError(PROTOCOL) in every client, also where part of a body had come.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec

from crawler.core.reasons import FetchErrorKind

Headers = tuple[tuple[str, str], ...]
NO_C_PARSER = (
    "aiohttp is without its C parser: unset AIOHTTP_NO_EXTENSIONS, install aiohttp from a wheel, or use --mode threads"
)

ACCEPT_ENCODING = "gzip, deflate, br, zstd"
"""The Accept-Encoding of every client: exactly what `decode` supports."""

MAX_IDLE = 8
"""The most connections a blocking client keeps: 64 threads of them stay under the usual 1,024 descriptors."""

# Seconds for which an idle connection is reused. A server may close it at any moment, also while a request is in
# flight. An automatic retry, as HTTP clients do it (RFC 9112 section 9.3.1), would be a second request without the
# politeness delay and without a record: so the fetch ends as "disconnect" and the Crawl decides. To keep that rare the
# age stays below the 5 s after which common servers (Apache, Node) close an idle connection.
KEEPALIVE_S = 4.0


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of every fetch: seconds, bytes, and bytes per second (0: no minimum)."""

    connect: float = 10.0
    first_byte: float = 20.0
    idle: float = 15.0
    total: float = 60.0
    min_rate: float = 0.0
    max_body: int = 10 * 1024 * 1024
    max_head: int = 64 * 1024


class ClientPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration of a client: values only, so that it can be sent to another process.

    `headers` go with every request. `resolve` overrides names: "host" or "host:port" -> "address:port" or "address"
    (the port of the URL is then kept). `connections` is the most that may be open at once. `ca_file` names certificates
    (PEM) to trust in addition to the usual ones. Private addresses are reachable where `seeds`, `resolve` or
    `networks` ("net/bits") name them: see crawler/fetch/net/guard.py. `proxy`, `proxies` and `proxy_logins`: those of a
    ProxyTable, which only the native client has.
    """

    limits: Limits = Limits()
    headers: Headers = ()
    resolve: Mapping[str, str] = {}
    connections: int = 100
    ca_file: str = ""
    seeds: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    proxy: str = ""
    proxies: Mapping[str, str] = {}
    proxy_logins: Mapping[str, str] = {}


class Held(Protocol):
    """Accounts for the bytes of one body while they are in memory."""

    def grow(self, size: int) -> None:
        """Add `size` bytes. Raises FetchError(RESOURCE_EXHAUSTED) where that exceeds the limit."""

    def release(self) -> None:
        """Subtract all bytes that were added."""


class Uncounted:
    """Counts nothing."""

    def grow(self, size: int) -> None:
        """Does nothing."""

    def release(self) -> None:
        """Does nothing."""


UNCOUNTED = Uncounted()


class Request(msgspec.Struct, frozen=True):
    """A GET of one canonical URL, sent byte for byte as written, with extra headers. `wait_for_dns`: see Fetch. `held`
    counts each block of the body as it comes."""

    url: str
    headers: Headers = ()
    wait_for_dns: bool = False
    held: Held = UNCOUNTED


class Response(msgspec.Struct, frozen=True):
    """What came back. `headers` keep order and case, decoded as Latin-1; durations are seconds since the start.

    `first_byte` is when the client's code first saw the response, so it includes waiting for the loop or the GIL.
    `address` is the IP address of the server, without its port.
    """

    status: int
    headers: Headers
    body: bytes
    truncated: str = ""
    first_byte: float = 0.0
    seconds: float = 0.0
    address: str = ""

    def header(self, name: str) -> str:
        """The first value of a header, "" where there is none. `name` in lower case."""
        for key, value in self.headers:
            if key.lower() == name:
                return value
        return ""


class FetchError(Exception):
    """A fetch without a response: `kind` classifies the failure, `detail` is the client's message (one line,
    untrusted)."""

    def __init__(self, trouble: FetchErrorKind, detail: str = "") -> None:
        super().__init__(f"{trouble}: {detail}")
        self.kind = trouble
        self.detail = detail


def one_line(error: BaseException) -> str:
    """The message of an exception in one line of at most 300 characters, as the detail of a FetchError."""
    return " ".join(str(error).split())[:300] or type(error).__name__


class Fetcher(Protocol):
    """A blocking client. One instance belongs to one thread."""

    def fetch(self, request: Request) -> Response:
        """Send one request. Raises FetchError."""

    def abort(self) -> None:
        """End the running fetch within a second; may be called from another thread."""

    def close(self) -> None:
        """Close its connections."""


class AsyncFetcher(Protocol):
    """A client of one event loop."""

    async def fetch(self, request: Request) -> Response:
        """Send one request. Raises FetchError."""

    async def close(self) -> None:
        """Close its connections."""
