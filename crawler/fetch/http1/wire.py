"""What all clients send alike: request headers, URLs, TLS settings.

Rules:
- A header that we send has no control character: CR LF in a value would allow request smuggling.
- Every client sends Host, the headers of the plan, then those of the request (which replace the plan's of that name),
  and Accept-Encoding where neither names one; nothing else.
- A URL is sent as it is; one that is not canonical (spaces, control characters, non-ASCII) is refused, not repaired.
"""

from __future__ import annotations

import functools
import os
import re
import ssl
from pathlib import Path
from typing import NamedTuple

import certifi

from crawler.core.reasons import FetchErrorKind
from crawler.errors import UsageError
from crawler.fetch.base import ClientPlan, FetchError, Headers, Request
from crawler.fetch.http1.decode import ACCEPT_ENCODING

MAX_IDLE = 8
"""The most connections a blocking client keeps: 64 threads of them stay under the usual 1,024 descriptors."""

# Seconds for which an idle connection is reused. A server may close it at any moment, also while a request is in
# flight. An automatic retry, as HTTP clients do it (RFC 9112 section 9.3.1), would be a second request without the
# politeness delay and without a record: so the fetch ends as "disconnect" and the Crawl decides. To keep that rare the
# age stays below the 5 s after which common servers (Apache, Node) close an idle connection.
KEEPALIVE_S = 4.0

BROKEN_CONNECTIONS = (ConnectionResetError, ConnectionAbortedError, BrokenPipeError, ssl.SSLEOFError)
"""Errors of the network, in a TLS handshake too: a retry may succeed."""

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_URL = re.compile(r"(https?)://(?:[^/?#]*@)?([^/?#]*)([^#]*)")
_VALUE = re.compile(r"[\t\x20-\x7e]*")


class Target(NamedTuple):
    """The parts of a URL: `path` with the query, as written."""

    scheme: str
    host: str
    port: int
    path: str


def plan_headers(plan: ClientPlan) -> Headers:
    """The headers of every request. Raises UsageError where one is not a valid header."""
    if bad := invalid_header(plan.headers):
        raise UsageError(f"header {bad!r} cannot be sent: it needs a plain name and a value without control characters")
    if any(name.lower() == "accept-encoding" for name, _ in plan.headers):
        return plan.headers
    return (*plan.headers, ("Accept-Encoding", ACCEPT_ENCODING))


def request_headers(usual: Headers, request: Request) -> Headers:
    """`usual` with the headers of this request in place of those of the same name. Raises FetchError(INTERNAL)."""
    if not request.headers:
        return usual
    if bad := invalid_header(request.headers):
        raise FetchError(FetchErrorKind.INTERNAL, f"header {bad!r} cannot be sent")
    own = {name.lower() for name, _ in request.headers}
    return (*(pair for pair in usual if pair[0].lower() not in own), *request.headers)


def invalid_header(headers: Headers) -> str:
    """The name of the first header whose name or value is invalid; "" where all are valid."""
    for name, value in headers:
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            return name or "(empty)"
    return ""


def check_url(url: str) -> None:
    """Raises FetchError(INTERNAL) for a URL that cannot be sent byte for byte, FetchError(BLOCKED) for port 0, which
    each client would treat differently."""
    if not url.isascii() or not url.isprintable() or " " in url or not url.startswith(("http://", "https://")):
        raise FetchError(FetchErrorKind.INTERNAL, f"not a canonical http(s) URL: {url[:200]!a}")
    if ":0" in url and split_url(url).port == 0:
        raise FetchError(FetchErrorKind.BLOCKED, "port 0 is none of HTTP's")


def split_url(url: str) -> Target:
    """The parts of a canonical http(s) URL, an IPv6 host without its brackets. Raises FetchError(INTERNAL)."""
    match = _URL.match(url)
    if match is None:
        raise FetchError(FetchErrorKind.INTERNAL, f"not a canonical http(s) URL: {url[:200]!a}")
    scheme, address, path = match.groups()
    path = path if path[:1] == "/" else "/" + path
    name, _, digits = address.rpartition(":")
    if name and digits and not digits.strip("0"):
        return Target(scheme, name.strip("[]"), 0, path)
    try:
        host, port = split_port(address)
    except UsageError as error:
        raise FetchError(FetchErrorKind.INTERNAL, str(error)) from None
    return Target(scheme, host, port or (443 if scheme == "https" else 80), path)


def split_port(address: str) -> tuple[str, int]:
    """(host, port) of "host:port", "[v6]:port", "host" or a bare "v6"; port 0 for none. Raises UsageError."""
    name, colon, port = address.rpartition(":")
    if not colon or (":" in name and not name.endswith("]")):
        return address.strip("[]"), 0
    if not port.isdecimal() or not 0 < int(port) < 65_536:
        raise UsageError(f"{address!r} has no valid port")
    return name.strip("[]"), int(port)


class Routes:
    """`ClientPlan.resolve` parsed: where to connect for a name and port. Raises UsageError for a bad port."""

    def __init__(self, plan: ClientPlan) -> None:
        self._routes = {split_port(name.lower()): split_port(address) for name, address in plan.resolve.items()}

    def find(self, host: str, port: int) -> tuple[str, int]:
        """The (address or name, port) to connect to; "host:port" goes before "host"."""
        routes = self._routes
        if not routes:
            return host, port
        address, other = routes.get((host, port)) or routes.get((host, 0)) or (host, port)
        return address, other or port


def one_line(error: BaseException) -> str:
    """The message of an exception in one line of at most 300 characters, as the detail of a FetchError."""
    return " ".join(str(error).split())[:300] or type(error).__name__


def usual_ca_file() -> str:
    """The file of trusted certificates: SSL_CERT_FILE where it is set, else certifi's."""
    return os.environ.get("SSL_CERT_FILE") or certifi.where()


@functools.cache
def tls_context(ca_file: str = "") -> ssl.SSLContext:
    """One verifying context for the process: reading the certificates takes tens of milliseconds.

    It trusts the certificates in `ca_file` too. Raises UsageError where that file cannot be used.
    """
    context = ssl.create_default_context(cafile=usual_ca_file())
    if ca_file:
        try:
            context.load_verify_locations(cafile=ca_file)
        except OSError as error:  # an SSLError is one: what is there is no certificate
            raise UsageError(f"cannot use ca_file {ca_file}: {error.strerror or error}") from error
    context.set_alpn_protocols(["http/1.1"])
    return context


@functools.cache
def trusted_certificates(ca_file: str) -> bytes:
    """The certificates of the usual file and of `ca_file`, in PEM. Raises UsageError as `tls_context` does."""
    tls_context(ca_file)
    return b"\n".join(Path(name).read_bytes() for name in (usual_ca_file(), ca_file))
