"""Resolves the host of a URL to addresses: `resolve` of the plan, then the DNS cache, both filtered by the guard."""

from __future__ import annotations

import socket

from crawler.core.reasons import FetchErrorKind
from crawler.fetch.base import ClientPlan, FetchError, one_line
from crawler.fetch.http1.request import split_port
from crawler.fetch.net.address_classes import is_address
from crawler.fetch.net.dns_cache import NAMES, LookupPending
from crawler.fetch.net.guard import Blocked, Guard

Addresses = tuple[str, ...]


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


class EndpointResolver:
    """Resolves endpoints for one client. Raises UsageError for a plan with a bad port or network."""

    def __init__(self, plan: ClientPlan) -> None:
        self.guard = Guard(plan)
        self._routes = Routes(plan)
        self._deadline = plan.limits.connect

    def route(self, host: str, port: int) -> tuple[str, int]:
        """The (name or address, port) to connect to for those of a URL. Raises Blocked."""
        name, port = self._routes.find(host, port)
        self.guard.check_name(name, port)
        return name, port

    def find(self, name: str, port: int, wait_for_dns: bool) -> Addresses:
        """The allowed addresses of a result of `route`. Raises OSError (Blocked, LookupPending, Unanswered)."""
        if is_address(name):
            return (name,)
        return self.guard.found(name, port, NAMES.find(name, self._deadline, wait_for_dns))

    async def afind(self, name: str, port: int, wait_for_dns: bool) -> Addresses:
        """`find` on an event loop."""
        if is_address(name):
            return (name,)
        return self.guard.found(name, port, await NAMES.afind(name, self._deadline, wait_for_dns))

    def judge_unresolved(self, host: str, port: int) -> None:
        """Judges a host whose name a proxy will resolve: by its name, its port, its address if it is one. Raises
        FetchError(BLOCKED)."""
        try:
            self.guard.check_name(host, port)
            if is_address(host):
                self.guard.check(host, port)
        except Blocked as error:
            raise resolve_error(error) from None


def proxy_endpoints(plan: ClientPlan) -> EndpointResolver:
    """Resolves the hosts of proxies. The operator named them, so they may be anywhere."""
    return EndpointResolver(ClientPlan(limits=plan.limits, networks=("0.0.0.0/0", "::/0")))


def resolve_error(error: OSError) -> FetchError:
    """The FetchError for a failure to get an address: BLOCKED, DNS_PENDING or DNS."""
    match error:
        case Blocked():
            return FetchError(FetchErrorKind.BLOCKED, one_line(error))
        case LookupPending():
            return FetchError(FetchErrorKind.DNS_PENDING, one_line(error))
    return FetchError(FetchErrorKind.DNS, one_line(error))


def family_of(address: str) -> socket.AddressFamily:
    """AF_INET or AF_INET6."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET
