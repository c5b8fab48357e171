"""Proxies: which one a host is fetched through, and how a connection through it begins. Pure.

Rules:
- `proxy` is for every host, `[proxies]` for the hosts of a pattern: a name, or "*.domain" for the names below it. The
  most exact pattern counts; "direct" means none.
- `http://` and `https://` proxies are sent `http` URLs in absolute form (RFC 9112 section 3.2.2). For `https` URLs they
  are asked to connect (CONNECT, RFC 9110 section 9.3.6). `socks5h://` is SOCKS 5 (RFC 1928, 1929) for both.
- A connection for absolute form serves one site, and is kept only where the proxy says so: see http1/exchange.py.
- Names are resolved by the proxy. So the guard judges names, ports and literal addresses here, but not what a name
  resolves to: that is for the proxy to allow or not.
- The login of a proxy is sent to that proxy alone, never to a site. A URL of a proxy that holds one is refused: it
  would be kept in the crawl's directory.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from ipaddress import ip_address
from typing import NamedTuple, Protocol

from crawler.core.reasons import FetchErrorKind
from crawler.errors import UsageError
from crawler.fetch.base import FetchError
from crawler.fetch.http1.framing import read_head

SCHEMES = ("http", "https", "socks5h")
DIRECT = "direct"
USUAL_PORTS = {"http": 80, "https": 443, "socks5h": 1080}
_URL = re.compile(r"(?P<scheme>[a-z0-9]+)://(?P<host>\[[0-9A-Fa-f:.]+\]|[\w.-]+)(?::(?P<port>[0-9]{1,5}))?/?", re.ASCII)
_PATTERN = re.compile(r"(?:\*\.)?[\w.-]+|\[?[0-9A-Fa-f:.]+\]?", re.ASCII)
_LONGEST_REPLY = 16 * 1024
_SOCKS_ERRORS = {
    1: "general failure",
    2: "not allowed by its rules",
    3: "network unreachable",
    4: "host unreachable",
    5: "connection refused",
    6: "TTL expired",
    7: "command not supported",
    8: "address type not supported",
}
"""RFC 1928 section 6."""


class Proxy(NamedTuple):
    """A proxy; `login` is "user:password", or "" for none."""

    scheme: str
    host: str
    port: int
    login: str = ""

    def __repr__(self) -> str:
        return f"Proxy({self.url})"

    @property
    def url(self) -> str:
        """Its URL without the login."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def authorization(self) -> str:
        """The value of Proxy-Authorization (Basic, RFC 7617), "" without a login."""
        return f"Basic {b64encode(self.login.encode()).decode()}" if self.login else ""


class ProxyTable:
    """The proxies of a plan. `proxies`: pattern -> URL or "direct"; `logins`: URL as `Proxy.url` -> login. Raises
    UsageError."""

    def __init__(self, proxy: str, proxies: Mapping[str, str], logins: Mapping[str, str]) -> None:
        self._default = parse_proxy(proxy, logins) if proxy else None
        self._by_pattern = {_pattern(name): parse_proxy(url, logins) for name, url in proxies.items()}

    def __bool__(self) -> bool:
        return self._default is not None or bool(self._by_pattern)

    def find(self, host: str) -> Proxy | None:
        """The proxy of a host, None where it is reached directly. `host` as in a canonical URL, IPv6 bare."""
        name = host.rstrip(".").lower()
        if name in self._by_pattern:
            return self._by_pattern[name]
        labels = name.split(".")
        for start in range(1, len(labels)):
            below = "*." + ".".join(labels[start:])
            if below in self._by_pattern:
                return self._by_pattern[below]
        return self._default


def parse_proxy(url: str, logins: Mapping[str, str]) -> Proxy | None:
    """The proxy of a URL, None for "direct". Raises UsageError, whose message has no login."""
    if url == DIRECT:
        return None
    if "@" in url:
        raise UsageError("the URL of a proxy must not hold a login: put it into [proxy_credentials] of a --config file")
    found = _URL.fullmatch(url)
    if found is None or found["scheme"] not in SCHEMES or int(found["port"] or 1) not in range(1, 65_536):
        raise UsageError(
            f"bad value for a proxy: {url[:200]!r}: expected http://, https:// or socks5h:// with a host and a port,"
            f' or "{DIRECT}"'
        )
    host, port = found["host"].strip("[]"), int(found["port"] or USUAL_PORTS[found["scheme"]])
    proxy = Proxy(found["scheme"], host, port)
    return proxy._replace(login=logins.get(proxy.url, ""))


def _pattern(name: str) -> str:
    if not _PATTERN.fullmatch(name):
        raise UsageError(f'bad value for proxies: {name[:200]!r}: expected a host, or "*.domain" for those below it')
    return name.strip("[]").rstrip(".").lower()


class Tunnel(Protocol):
    """The begin of a connection through a proxy: bytes in, bytes out."""

    def start(self) -> bytes:
        """What to send first."""

    def receive(self, data: bytes) -> bytes | None:
        """Takes bytes of the proxy; returns what to send next, maybe nothing, or None once the tunnel is open. Raises
        FetchError."""


def tunnel(proxy: Proxy, host: str, port: int) -> Tunnel:
    """How to reach a host through a proxy."""
    return SocksTunnel(proxy, host, port) if proxy.scheme == "socks5h" else ConnectTunnel(proxy, host, port)


class ConnectTunnel:
    """A tunnel by CONNECT."""

    def __init__(self, proxy: Proxy, host: str, port: int) -> None:
        self._proxy = proxy
        self._target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._raw = b""

    def start(self) -> bytes:
        """The request."""
        lines = [f"CONNECT {self._target} HTTP/1.1", f"Host: {self._target}"]
        if self._proxy.login:
            lines.append(f"Proxy-Authorization: {self._proxy.authorization}")
        return "\r\n".join((*lines, "", "")).encode("ascii")

    def receive(self, data: bytes) -> bytes | None:
        """The reply: 2xx opens the tunnel, whatever else it says (RFC 9110 section 9.3.6)."""
        self._raw += data
        found = read_head(self._raw, _LONGEST_REPLY)
        if found is None:
            return b""
        head, end = found
        if not 200 <= head.status <= 299:
            raise proxy_failure(self._proxy, f"answered {head.status}")
        if end < len(self._raw):
            raise proxy_failure(self._proxy, "sent bytes before the site could")
        return None


class SocksTunnel:
    """A tunnel by SOCKS 5, with the name resolved by the proxy."""

    def __init__(self, proxy: Proxy, host: str, port: int) -> None:
        self._proxy = proxy
        self._target = _socks_address(host) + port.to_bytes(2, "big")
        self._raw = b""
        self._stage = self._choose

    def start(self) -> bytes:
        """The methods of authentication that we offer: none, or user and password."""
        return b"\x05\x02\x00\x02" if self._proxy.login else b"\x05\x01\x00"

    def receive(self, data: bytes) -> bytes | None:
        """One reply after the other: method, login, connect."""
        self._raw += data
        return self._stage()

    def _choose(self) -> bytes | None:
        if len(self._raw) < 2:
            return b""
        version, method = self._take(2)
        if version != 5 or method not in (0, 2) or (method == 2 and not self._proxy.login):
            raise proxy_failure(self._proxy, "speaks no SOCKS 5, or wants another login")
        if method == 0:
            return self._connect()
        user, _, password = (part.encode() for part in self._proxy.login.partition(":"))
        self._stage = self._log_in
        return b"\x01" + bytes([len(user)]) + user + bytes([len(password)]) + password

    def _log_in(self) -> bytes | None:
        if len(self._raw) < 2:
            return b""
        if self._take(2)[1]:
            raise proxy_failure(self._proxy, "refused the login")
        return self._connect()

    def _connect(self) -> bytes:
        self._stage = self._connected
        return b"\x05\x01\x00" + self._target

    def _connected(self) -> bytes | None:
        """The reply ends with the address of the proxy's own end: 4 bytes, 16, or a name with its length."""
        if len(self._raw) < 5:
            return b""
        length = {1: 4, 3: 1 + self._raw[4], 4: 16}.get(self._raw[3])
        if self._raw[1] or length is None:
            raise proxy_failure(self._proxy, _SOCKS_ERRORS.get(self._raw[1], "failed"))
        if len(self._raw) < 4 + length + 2:
            return b""
        self._take(4 + length + 2)
        if self._raw:
            raise proxy_failure(self._proxy, "sent bytes before the site could")
        return None

    def _take(self, size: int) -> bytes:
        taken, self._raw = self._raw[:size], self._raw[size:]
        return taken


def _socks_address(host: str) -> bytes:
    try:
        packed = ip_address(host).packed
    except ValueError:
        name = host.encode("ascii")
        return b"\x03" + bytes([len(name)]) + name
    return (b"\x01" if len(packed) == 4 else b"\x04") + packed


def proxy_failure(proxy: Proxy, why: str) -> FetchError:
    """The FetchError for a proxy that does not connect."""
    return FetchError(FetchErrorKind.CONNECT, f"proxy {proxy.url}: {why}")
