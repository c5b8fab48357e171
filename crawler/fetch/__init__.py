"""Clients: how a URL becomes a response. Each is imported only when asked for: start-up time is part of the product."""

from __future__ import annotations

from crawler.errors import UsageError
from crawler.fetch.base import AsyncFetcher, ClientPlan, Fetcher

SYNC_CLIENTS = ("curl", "urllib3")
ASYNC_CLIENTS = ("aiohttp",)


def open_fetcher(client: str, plan: ClientPlan) -> Fetcher:
    """A blocking client for the calling thread. Raises UsageError for a name that is none of SYNC_CLIENTS."""
    if client == "curl":
        from crawler.fetch.curl_client import CurlFetcher

        return CurlFetcher(plan)
    if client == "urllib3":
        from crawler.fetch.urllib3_client import Urllib3Fetcher

        return Urllib3Fetcher(plan)
    raise UsageError(f"no blocking client {client!r}: choose one of {', '.join(SYNC_CLIENTS)}")


def open_async_fetcher(client: str, plan: ClientPlan) -> AsyncFetcher:
    """A client of the running loop. Raises UsageError for a name that is none of ASYNC_CLIENTS."""
    if client == "aiohttp":
        from crawler.fetch.aiohttp_client import AiohttpFetcher

        return AiohttpFetcher(plan)
    raise UsageError(f"no asynchronous client {client!r}: choose one of {', '.join(ASYNC_CLIENTS)}")
