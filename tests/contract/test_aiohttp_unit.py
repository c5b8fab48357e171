"""The asynchronous client above the connection: how it uses the session and how it maps the session's errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.http_parser import HttpResponseParserPy
from aioresponses import CallbackResult, aioresponses
from yarl import URL

from crawler.core.reasons import FetchErrorKind
from crawler.errors import UsageError
from crawler.fetch import check_client
from crawler.fetch.base import ClientPlan, FetchError, Limits, Request
from crawler.fetch.clients.aiohttp_client import AiohttpFetcher

PAGE = "http://a.test/page"
KEY = ConnectionKey("a.test", 80, False, True, None, None, None)


@pytest.fixture
async def fetcher() -> AsyncIterator[AiohttpFetcher]:
    limits = Limits(first_byte=0.2, max_body=10)
    plan = ClientPlan(limits=limits, headers=(("User-Agent", "unit"),), networks=("127.0.0.0/8",))
    opened = AiohttpFetcher(plan)
    yield opened
    await opened.close()


@pytest.mark.parametrize(
    ("error", "trouble"),
    [
        (aiohttp.ClientConnectorDNSError(KEY, OSError("no name")), FetchErrorKind.DNS),
        (aiohttp.ClientConnectorError(KEY, ConnectionRefusedError(111, "refused")), FetchErrorKind.CONNECT),
        (aiohttp.ClientConnectorSSLError(KEY, OSError("handshake")), FetchErrorKind.TLS),
        (aiohttp.ConnectionTimeoutError("slow"), FetchErrorKind.TIMEOUT),
        (aiohttp.ClientPayloadError("short"), FetchErrorKind.DISCONNECT),
        (aiohttp.InvalidURL("x"), FetchErrorKind.INTERNAL),
        (ValueError("two\r\nlines"), FetchErrorKind.INTERNAL),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
async def test_errors_of_aiohttp_become_fetch_errors(
    fetcher: AiohttpFetcher, error: Exception, trouble: FetchErrorKind
) -> None:
    with aioresponses() as web:
        web.get(PAGE, exception=error)
        with pytest.raises(FetchError) as caught:
            await fetcher.fetch(Request(PAGE))
    assert caught.value.kind is trouble
    assert "\n" not in caught.value.detail


async def test_sweep_ends_overdue_fetches_and_stops_when_idle(fetcher: AiohttpFetcher) -> None:
    async def slow(url: URL, **options: object) -> CallbackResult:
        await asyncio.sleep(5)
        return CallbackResult()

    with aioresponses() as web:
        web.get(PAGE, callback=slow)
        with pytest.raises(FetchError) as caught:
            await fetcher.fetch(Request(PAGE))
    assert (caught.value.kind, caught.value.detail) == (FetchErrorKind.TIMEOUT, "first byte")
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    async with asyncio.timeout(5):
        while fetcher._sweeping is not None:  # noqa: ASYNC110  the sweep has no event to wait for
            await asyncio.sleep(0.001)


def test_without_the_c_parser_the_client_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    check_client("aiohttp")
    monkeypatch.setenv("AIOHTTP_NO_EXTENSIONS", "1")
    check_client("curl")
    with pytest.raises(UsageError, match="unset AIOHTTP_NO_EXTENSIONS"):
        check_client("aiohttp")


async def test_the_parser_is_checked_again_when_the_client_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crawler.fetch.clients.aiohttp_client.HttpResponseParser", HttpResponseParserPy)
    with pytest.raises(UsageError, match="C parser"):
        AiohttpFetcher(ClientPlan())
