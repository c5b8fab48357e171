"""The bytes of a request, and the parts of a URL that they are made of.

Rules:
- A header that we send has no control character: CR LF in a value would allow request smuggling.
- Every client sends Host, the headers of the plan, then those of the request (which replace the plan's of that name),
  and Accept-Encoding where neither names one; nothing else.
- A URL is sent as it is; one that is not canonical (spaces, control characters, non-ASCII) is refused, not repaired.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from crawler.core.reasons import FetchErrorKind
from crawler.errors import UsageError
from crawler.fetch.base import ACCEPT_ENCODING, ClientPlan, FetchError, Headers, Request
from crawler.fetch.proxies import Proxy, ProxyTable

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_URL = re.compile(r"(https?)://(?:[^/?#]*@)?([^/?#]*)([^#]*)")
_AFTER_SCHEME = len("https://")
_MOST_KNOWN = 1_000
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


def host_value(target: Target) -> str:
    """The value of the header Host (RFC 9110 section 7.2)."""
    host = f"[{target.host}]" if ":" in target.host else target.host
    usual = 443 if target.scheme == "https" else 80
    return host if target.port == usual else f"{host}:{target.port}"


def encode_headers(headers: Headers) -> bytes:
    """The lines of valid headers, and the empty line that ends a request."""
    return "".join([f"{name}: {value}\r\n" for name, value in headers]).encode("ascii") + b"\r\n"


class Origin(NamedTuple):
    """What a connection leads to: a site, through `proxy` where there is one. `forwarded`: the connection ends at the
    proxy, which gets requests in absolute form. Even so it is used for one site only: what a proxy that merely relays
    would hand on stays with that site."""

    scheme: str
    host: str
    port: int
    proxy: Proxy | None = None
    forwarded: bool = False


class _Known(NamedTuple):
    """What the requests to one scheme and authority begin with."""

    origin: Origin
    prefix: bytes
    host: bytes
    proxy_lines: bytes


class RequestEncoder:
    """Encodes the requests of one client. `judge(host, port)` raises for a host that no proxy must be asked for. Raises
    UsageError where a header or a proxy of the plan is invalid."""

    def __init__(self, plan: ClientPlan, judge: Callable[[str, int], None] = lambda host, port: None) -> None:
        self._headers = plan_headers(plan)
        self._usual = encode_headers(self._headers)
        self._proxies = ProxyTable(plan.proxy, plan.proxies, plan.proxy_logins)
        self._judge = judge
        self._known: dict[str, _Known] = {}

    def encode(self, request: Request) -> tuple[Origin, bytes]:
        """Where to connect to, and the bytes to send. Raises FetchError(INTERNAL, BLOCKED), and what `judge` raises."""
        url = request.url
        check_url(url)
        end = url.find("/", _AFTER_SCHEME)
        known = self._known.get(url[:end]) if end > 0 else None
        if known is None or "#" in url:
            target = split_url(url)
            path = target.path
            known = self._learn(target)
            if end > 0 and "?" not in url[:end]:
                if len(self._known) >= _MOST_KNOWN:
                    self._known.clear()
                self._known[url[:end]] = known
        else:
            path = url[end:]
        lines = self._usual if not request.headers else encode_headers(request_headers(self._headers, request))
        return known.origin, b"GET %b%b HTTP/1.1\r\nHost: %b\r\n%b%b" % (
            known.prefix,
            path.encode("ascii"),
            known.host,
            known.proxy_lines,
            lines,
        )

    def _learn(self, target: Target) -> _Known:
        host = host_value(target).encode("ascii")
        proxy = self._proxies.find(target.host) if self._proxies else None
        if proxy is None:
            return _Known(Origin(*target[:3]), b"", host, b"")
        self._judge(target.host, target.port)
        if target.scheme == "https" or proxy.scheme == "socks5h":
            return _Known(Origin(*target[:3], proxy), b"", host, b"")
        login = f"Proxy-Authorization: {proxy.authorization}\r\n".encode("ascii") if proxy.login else b""
        return _Known(Origin(*target[:3], proxy, forwarded=True), b"http://" + host, host, login)
