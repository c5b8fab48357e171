"""HTTP clients: a URL goes in, a response comes out. Each is imported only on use, to keep start-up fast."""

from __future__ import annotations

import os
from importlib.machinery import PathFinder
from importlib.util import find_spec

from crawler.errors import UsageError
from crawler.fetch.base import NO_C_PARSER, AsyncFetcher, ClientPlan, Fetcher
from crawler.system.invocation import pip_install

SYNC_CLIENTS = ("native", "curl", "urllib3")
ASYNC_CLIENTS = ("aiohttp", "native")


EXTRA = {"curl": "pycurl", "urllib3": "urllib3"}
"""The clients of the extra `clients`, and the package that each needs."""


def check_client(client: str, instead: str = "--client native") -> None:
    """Raises UsageError where a client cannot work here, before a crawl begins; it says what to use `instead`. Finds
    the package without an import."""
    if client in EXTRA and find_spec(EXTRA[client]) is None:
        raise UsageError(
            f"the client {client!r} needs the package {EXTRA[client]}: {pip_install('clients')}, or use {instead}"
        )
    if client == "aiohttp":
        package = find_spec("aiohttp")
        paths = package.submodule_search_locations if package else None
        if os.environ.get("AIOHTTP_NO_EXTENSIONS") or not PathFinder.find_spec("aiohttp._http_parser", paths):
            raise UsageError(NO_C_PARSER)


def open_fetcher(client: str, plan: ClientPlan) -> Fetcher:
    """A blocking client for the calling thread. Raises UsageError for a name that is not in SYNC_CLIENTS."""
    if client == "curl":
        from crawler.fetch.clients.curl_client import CurlFetcher

        return CurlFetcher(plan)
    if client == "urllib3":
        from crawler.fetch.clients.urllib3_client import Urllib3Fetcher

        return Urllib3Fetcher(plan)
    if client == "native":
        from crawler.fetch.clients.native_blocking import NativeFetcher

        return NativeFetcher(plan)
    raise UsageError(f"no blocking client {client!r}: choose one of {', '.join(SYNC_CLIENTS)}")


def open_async_fetcher(client: str, plan: ClientPlan) -> AsyncFetcher:
    """A client for the running event loop. Raises UsageError for a name that is not in ASYNC_CLIENTS."""
    if client == "aiohttp":
        from crawler.fetch.clients.aiohttp_client import AiohttpFetcher

        return AiohttpFetcher(plan)
    if client == "native":
        from crawler.fetch.clients.native_async import AsyncNativeFetcher

        return AsyncNativeFetcher(plan)
    raise UsageError(f"no asynchronous client {client!r}: choose one of {', '.join(ASYNC_CLIENTS)}")
