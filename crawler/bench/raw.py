"""The raw client loops: they fetch known URLs, read the bodies and discard them. Nothing is parsed, stored or decided.

- `aiohttp`: one event loop of uvloop, without any code of the crawler. It is the baseline of all ratios.
- `curl`: libcurl in as many threads as fetches in flight, one handle each, without any code of the crawler.
- `native`, `native-threads`: the crawler's own client, on one event loop of uvloop and in as many threads.

`python -m crawler.bench.raw LOOP URLS CONCURRENCY` in a fresh process.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path

import aiohttp  # noqa: F401 - starting up is not measured, so all is imported before
import uvloop

from crawler.bench.child_result import print_result
from crawler.compare.raw import RawTarget, fetch_all
from crawler.fetch.base import ClientPlan, Request
from crawler.fetch.clients.native_async import AsyncNativeFetcher
from crawler.fetch.clients.native_blocking import NativeFetcher


def in_threads(urls: list[str], in_flight: int, fetch_until_empty: Callable[[deque[str]], list[int]]) -> Counter[str]:
    """Fetch every URL once in so many threads; returns the count of each status. Raises an error of a thread."""
    left, answered, errors = deque(urls), list[int](), list[Exception]()

    def work() -> None:
        try:
            answered.extend(fetch_until_empty(left))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(in_flight)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return Counter(map(str, answered))


def with_curl(left: deque[str]) -> list[int]:
    """Fetch with libcurl, which is of the extra `clients`, until nothing is left; returns the statuses."""
    import pycurl

    curl, statuses = pycurl.Curl(), list[int]()
    for option, value in (
        (pycurl.NOSIGNAL, 1),
        (pycurl.NOPROXY, "*"),
        (pycurl.BUFFERSIZE, 131_072),
        (pycurl.WRITEFUNCTION, len),  # returns the block's length: all of it is consumed
    ):
        curl.setopt(option, value)
    while url := _next(left):
        curl.setopt(pycurl.URL, url)
        curl.perform()
        statuses.append(curl.getinfo(pycurl.RESPONSE_CODE))
    curl.close()
    return statuses


def with_native(plan: ClientPlan, left: deque[str]) -> list[int]:
    """Fetch with the crawler's client until nothing is left; returns the statuses."""
    fetcher, statuses = NativeFetcher(plan), list[int]()
    while url := _next(left):
        statuses.append(fetcher.fetch(Request(url)).status)
    fetcher.close()
    return statuses


async def on_a_loop(plan: ClientPlan, urls: list[str], in_flight: int) -> Counter[str]:
    """Fetch every URL once with the crawler's client on this event loop; returns the count of each status."""
    fetcher, left, statuses = AsyncNativeFetcher(plan), deque(urls), Counter[str]()

    async def work() -> None:
        while url := _next(left):
            statuses[str((await fetcher.fetch(Request(url))).status)] += 1

    await asyncio.gather(*(work() for _ in range(in_flight)))
    await fetcher.close()
    return statuses


def _next(left: deque[str]) -> str | None:
    try:
        return left.popleft()
    except IndexError:
        return None


def main(loop: str, urls: list[str], in_flight: int) -> None:
    """Run one loop and print its result."""
    plan = ClientPlan(connections=in_flight, seeds=tuple(urls[:1]))
    fetch: Callable[[], Counter[str]]
    match loop:
        case "curl":
            fetch = partial(in_threads, urls, in_flight, with_curl)
        case "native-threads":
            fetch = partial(in_threads, urls, in_flight, partial(with_native, plan))
        case "native":
            fetch = partial(_run, partial(on_a_loop, plan, urls, in_flight))
        case _:
            fetch = partial(_run, partial(fetch_all, map(RawTarget, urls), in_flight))
    print_result(fetch, len(urls))


def _run(loop: Callable[[], Coroutine[None, None, Counter[str]]]) -> Counter[str]:
    return uvloop.run(loop())


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]).read_text(encoding="utf-8").split(), int(sys.argv[3]))
