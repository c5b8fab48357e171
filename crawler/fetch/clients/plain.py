"""What the plain clients share: libraries used as people use them, to be compared with the native client.

Rules:
- Names are resolved and judged by the guard here. The library gets an address, and tries no other.
- What the library does is left to it: which replies are valid, when a kept connection may be used again, how exactly a
  deadline is kept. `native` and `aiohttp` promise more (crawler/fetch/base.py).
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod

from crawler.core.reasons import FetchErrorKind
from crawler.fetch.base import ClientPlan, FetchError, Request, Response
from crawler.fetch.http1.request import Target, check_url, plan_headers, split_url
from crawler.fetch.net.endpoints import EndpointResolver, resolve_error


class PlainFetcher(ABC):
    """Base of the plain clients. `abort` ends a fetch with its next block or deadline."""

    def __init__(self, plan: ClientPlan) -> None:
        self.limits = plan.limits
        self.headers = plan_headers(plan)
        self.aborted = False
        self._endpoints = EndpointResolver(plan)

    def fetch(self, request: Request) -> Response:
        """Send one request. Raises FetchError; of kind LEASE_EXPIRED where the fetcher was aborted."""
        check_url(request.url)
        started = time.monotonic()
        target = split_url(request.url)
        failure = FetchError(FetchErrorKind.CONNECT, "no address")
        for address, port in self._addresses(target, request.wait_for_dns):
            if self.aborted:
                break
            try:
                response = self._ask(request, target, address, port, started)
            except FetchError as error:
                failure = error
                if error.kind is FetchErrorKind.CONNECT:
                    continue
                break
            if not (self.aborted and response.truncated):
                return response
        raise FetchError(FetchErrorKind.LEASE_EXPIRED, "aborted") if self.aborted else failure

    def _addresses(self, target: Target, wait_for_dns: bool) -> list[tuple[str, int]]:
        """Where to connect to, each judged by the guard. Raises FetchError."""
        try:
            name, port = self._endpoints.route(target.host, target.port)
            addresses = self._endpoints.find(name, port, wait_for_dns)
            for address in addresses:
                self._endpoints.guard.check(address, port)
        except OSError as error:
            raise resolve_error(error) from error
        return [(address, port) for address in addresses]

    @abstractmethod
    def _ask(self, request: Request, target: Target, address: str, port: int, started: float) -> Response:
        """One request to one address; `started` in monotonic seconds. Raises FetchError."""

    def abort(self) -> None:
        """End the running fetch with its next block or deadline, and refuse all later ones. From any thread."""
        self.aborted = True

    @abstractmethod
    def close(self) -> None:
        """Close its connections."""
