"""libcurl as people use it: one handle per thread. See crawler/fetch/clients/plain.py.

It repeats a request where a kept connection turns out to be closed. It has no deadline for the first byte: a transfer
that brings nothing for `idle` seconds ends.
"""

from __future__ import annotations

import re
import time

import pycurl

from crawler.core.reasons import NO_MEMORY, FetchErrorKind
from crawler.fetch.base import KEEPALIVE_S, MAX_IDLE, ClientPlan, FetchError, Headers, Request, Response
from crawler.fetch.clients.plain import PlainFetcher
from crawler.fetch.http1.request import Target, request_headers
from crawler.fetch.net.tls import trusted_certificates, usual_ca_file

_FIELD = re.compile(r"([^:\s]+):[ \t]*(.*?)\s*", re.DOTALL)
_KINDS = {
    pycurl.E_COULDNT_CONNECT: FetchErrorKind.CONNECT,
    pycurl.E_OPERATION_TIMEDOUT: FetchErrorKind.TIMEOUT,
    pycurl.E_OUT_OF_MEMORY: FetchErrorKind.RESOURCE_EXHAUSTED,
    pycurl.E_SSL_CONNECT_ERROR: FetchErrorKind.TLS,
    pycurl.E_PEER_FAILED_VERIFICATION: FetchErrorKind.TLS,
    pycurl.E_SSL_CACERT_BADFILE: FetchErrorKind.TLS,
    pycurl.E_GOT_NOTHING: FetchErrorKind.DISCONNECT,
    pycurl.E_RECV_ERROR: FetchErrorKind.DISCONNECT,
    pycurl.E_SEND_ERROR: FetchErrorKind.DISCONNECT,
    pycurl.E_PARTIAL_FILE: FetchErrorKind.DISCONNECT,
}
"""The kinds of libcurl's errors; every other is PROTOCOL."""
_MARKS = {FetchErrorKind.TIMEOUT: "time", FetchErrorKind.DISCONNECT: "disconnect"}


class CurlFetcher(PlainFetcher):
    """A blocking client on libcurl."""

    def __init__(self, plan: ClientPlan) -> None:
        super().__init__(plan)
        limits = plan.limits
        self._curl = pycurl.Curl()
        for option, value in (
            (pycurl.NOSIGNAL, 1),
            (pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1),
            (pycurl.HTTP_CONTENT_DECODING, 0),
            (pycurl.PROXY, ""),
            (pycurl.NETRC, pycurl.NETRC_IGNORED),
            (pycurl.CONNECTTIMEOUT_MS, _milliseconds(limits.connect)),
            (pycurl.TIMEOUT_MS, _milliseconds(limits.total)),
            (pycurl.LOW_SPEED_LIMIT, max(1, int(limits.min_rate))),
            (pycurl.LOW_SPEED_TIME, max(1, round(limits.idle))),
            (pycurl.MAXCONNECTS, max(1, min(MAX_IDLE, plan.connections))),
            (pycurl.MAXAGE_CONN, round(KEEPALIVE_S)),
            (pycurl.BUFFERSIZE, 131_072),
            _trust(plan.ca_file),
        ):
            self._curl.setopt(option, value)

    def _ask(self, request: Request, target: Target, address: str, port: int, started: float) -> Response:
        curl, reply = self._curl, _CurlReply(self, request)
        curl.setopt(pycurl.URL, request.url)
        curl.setopt(pycurl.REQUEST_TARGET, target.path)  # its URL parser turns %c3 into %C3
        curl.setopt(pycurl.CONNECT_TO, [f"{_bracket(target.host)}:{target.port}:{_bracket(address)}:{port}"])
        curl.setopt(pycurl.HTTPHEADER, _lines(request_headers(self.headers, request)))
        curl.setopt(pycurl.HEADERFUNCTION, reply.take_line)
        curl.setopt(pycurl.WRITEFUNCTION, reply.take_block)
        truncated = ""
        try:
            curl.perform()
        except pycurl.error as error:
            truncated = reply.truncated(error)
        return Response(
            status=curl.getinfo(pycurl.RESPONSE_CODE),
            headers=tuple(reply.fields),
            body=b"".join(reply.blocks)[: self.limits.max_body],
            truncated=truncated,
            first_byte=curl.getinfo(pycurl.STARTTRANSFER_TIME),
            seconds=time.monotonic() - started,
            address=address,
        )

    def close(self) -> None:
        """Close its connections."""
        self._curl.close()


class _CurlReply:
    """What arrives during one `perform`: the fields of the last head, and the body up to the cap."""

    def __init__(self, fetcher: PlainFetcher, request: Request) -> None:
        self.fields: list[tuple[str, str]] = []
        self.blocks: list[bytes] = []
        self._size = 0
        self._has_head = False
        self._failure: FetchError | None = None
        self._held = request.held
        self._fetcher = fetcher

    def take_line(self, line: bytes) -> None:
        """A line of a head."""
        if line[:5] == b"HTTP/":
            self.fields.clear()
        elif found := _FIELD.fullmatch(line.decode("latin-1")):
            self.fields.append((found[1], found[2]))
        self._has_head = not line.strip()

    def take_block(self, block: bytes) -> int | None:
        """A block of the body; -1 ends the transfer."""
        self._size += len(block)
        try:
            self._held.grow(len(block))
        except FetchError as error:
            self._failure = error
            return -1
        self.blocks.append(block)
        return -1 if self._size > self._fetcher.limits.max_body or self._fetcher.aborted else None

    def truncated(self, error: pycurl.error) -> str:
        """How the body was truncated where `perform` failed. Raises FetchError where that is not the reason."""
        if self._failure is not None:
            raise self._failure
        code, detail = error.args[:2]
        if self._has_head and code == pycurl.E_WRITE_ERROR:
            return "length"
        kind = _KINDS.get(code, FetchErrorKind.PROTOCOL)
        if self._has_head and kind in _MARKS:
            return _MARKS[kind]
        words = " ".join(str(detail).split())[:300]
        raise FetchError(kind, NO_MEMORY if kind is FetchErrorKind.RESOURCE_EXHAUSTED else words) from error


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


def _bracket(host: str) -> str:
    return f"[{host}]" if ":" in host else host
