"""urllib3 as people use it: a connection pool per origin and thread. See crawler/fetch/clients/plain.py.

A head may have 100 fields. It encodes the path of a URL anew (%c3 becomes %C3). Its only deadlines are that of the
connect and that of one read; `total` is checked between two reads.
"""

from __future__ import annotations

import time
from collections import OrderedDict

from urllib3 import BaseHTTPResponse, HTTPConnectionPool, HTTPSConnectionPool, Timeout
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    IncompleteRead,
    NewConnectionError,
    ReadTimeoutError,
    SSLError,
)
from urllib3.util import SKIP_HEADER

from crawler.core.reasons import FetchErrorKind
from crawler.fetch.base import MAX_IDLE, ClientPlan, FetchError, Request, Response, one_line
from crawler.fetch.clients.plain import PlainFetcher
from crawler.fetch.http1.request import Target, host_value, request_headers
from crawler.fetch.net.tls import server_name, tls_context

_READ = 65_536


class Urllib3Fetcher(PlainFetcher):
    """A blocking client on urllib3."""

    def __init__(self, plan: ClientPlan) -> None:
        super().__init__(plan)
        limits = plan.limits
        self._context = tls_context(plan.ca_file)
        self._timeout = Timeout(connect=limits.connect, read=min(limits.first_byte, limits.idle, limits.total))
        self._most = max(1, min(MAX_IDLE, plan.connections))
        self._pools: OrderedDict[tuple[str, str, str, int], HTTPConnectionPool] = OrderedDict()

    def _ask(self, request: Request, target: Target, address: str, port: int, started: float) -> Response:
        headers = {"Host": host_value(target), "User-Agent": SKIP_HEADER}
        headers |= dict(request_headers(self.headers, request))
        try:
            reply = self._pool(target, address, port).urlopen(
                "GET",
                target.path,
                headers=headers,
                redirect=False,
                retries=False,
                timeout=self._timeout,
                preload_content=False,
                decode_content=False,
            )
        except (HTTPError, OSError, ValueError) as error:
            raise FetchError(_kind(error), one_line(error)) from error
        head_at = time.monotonic()
        body, truncated = self._body(reply, request, started)
        return Response(
            status=reply.status,
            headers=tuple(reply.headers.iteritems()),
            body=body,
            truncated=truncated,
            first_byte=head_at - started,
            seconds=time.monotonic() - started,
            address=address,
        )

    def _pool(self, target: Target, address: str, port: int) -> HTTPConnectionPool:
        """The pool of an origin at an address; a new one closes the least recently used."""
        key = (target.scheme, target.host, address, port)
        pool = self._pools.pop(key, None)
        if pool is None:
            while len(self._pools) >= self._most:
                self._pools.popitem(last=False)[1].close()
            name = server_name(target.host)
            pool = (
                HTTPSConnectionPool(
                    address, port, ssl_context=self._context, server_hostname=name, assert_hostname=name
                )
                if target.scheme == "https"
                else HTTPConnectionPool(address, port)
            )
        self._pools[key] = pool
        return pool

    def _body(self, reply: BaseHTTPResponse, request: Request, started: float) -> tuple[bytes, str]:
        """The body, and how it was truncated. A truncated body closes its connection."""
        blocks: list[bytes] = []
        size, truncated = 0, ""
        try:
            while not truncated and not self.aborted and (block := reply.read1(_READ, decode_content=False)):
                blocks.append(block)
                size += len(block)
                request.held.grow(len(block))
                if size > self.limits.max_body:
                    truncated = "length"
                elif time.monotonic() - started >= self.limits.total:
                    truncated = "time"
        except ReadTimeoutError:
            truncated = "time"
        except (HTTPError, OSError):
            truncated = "disconnect"
        except BaseException:
            reply.close()
            raise
        if truncated or self.aborted:
            reply.close()
        reply.release_conn()
        return b"".join(blocks)[: self.limits.max_body], truncated or ("time" if self.aborted else "")

    def close(self) -> None:
        """Close its connections."""
        while self._pools:
            self._pools.popitem()[1].close()


def _kind(error: Exception) -> FetchErrorKind:
    """The kind of a failure before the end of the head. The order matters: the classes derive from each other."""
    match error:
        case NewConnectionError():
            return FetchErrorKind.CONNECT
        case ConnectTimeoutError() | ReadTimeoutError():
            return FetchErrorKind.TIMEOUT
        case SSLError():
            return FetchErrorKind.TLS
        case IncompleteRead():
            return FetchErrorKind.DISCONNECT
    return (
        FetchErrorKind.DISCONNECT
        if "closed connection" in str(error) or "reset" in str(error)
        else FetchErrorKind.PROTOCOL
    )
