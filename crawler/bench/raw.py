"""The raw client loops: they fetch known URLs, read the bodies and discard them. Nothing is parsed, stored or decided.

- `aiohttp`: one event loop of uvloop, without any code of the crawler. It is the baseline of all ratios.
- `curl`: libcurl in as many threads as fetches in flight, one handle each, without any code of the crawler.
- `native`, `native-threads`: the crawler's own client, on one event loop of uvloop and in as many threads.

`python -m crawler.bench.raw LOOP URLS CONCURRENCY [CA_FILE NAME=VALUE...]` in a fresh process. With CA_FILE ("": only
the usual authorities) all loops but `curl` verify certificates by one and the same TLS context, send these headers, and
the TCP connections that the process begins are counted: by the interpreter, which no client of Python gets around.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path

import aiohttp  # noqa: F401 - starting up is not measured, so all is imported before
import uvloop

from crawler.bench.child_result import print_result
from crawler.compare.raw import RawAnswers, RawTarget, fetch_all
from crawler.fetch.base import ClientPlan, Headers, Request
from crawler.fetch.clients.native_async import AsyncNativeFetcher
from crawler.fetch.clients.native_blocking import NativeFetcher
from crawler.fetch.net.tls import tls_context

Answered = list[tuple[int, int]]
"""The status of each answer and the bytes of its body."""


def in_threads(urls: list[str], in_flight: int, fetch_until_empty: Callable[[deque[str]], Answered]) -> RawAnswers:
    """Fetch every URL once in so many threads. Raises an error of a thread."""
    left, answered, errors, received = deque(urls), Answered(), list[Exception](), RawAnswers()

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
    for status, size in answered:
        received.add(status, size)
    return received


def with_curl(left: deque[str]) -> Answered:
    """Fetch with libcurl, which is of the extra `clients`, until nothing is left."""
    import pycurl

    curl, answered = pycurl.Curl(), Answered()
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
        answered.append((curl.getinfo(pycurl.RESPONSE_CODE), int(curl.getinfo(pycurl.SIZE_DOWNLOAD))))
    curl.close()
    return answered


def with_native(plan: ClientPlan, left: deque[str]) -> Answered:
    """Fetch with the crawler's client until nothing is left."""
    fetcher, answered = NativeFetcher(plan), Answered()
    while url := _next(left):
        response = fetcher.fetch(Request(url))
        answered.append((response.status, len(response.body)))
    fetcher.close()
    return answered


async def on_a_loop(plan: ClientPlan, urls: list[str], in_flight: int) -> RawAnswers:
    """Fetch every URL once with the crawler's client on this event loop."""
    fetcher, left, received = AsyncNativeFetcher(plan), deque(urls), RawAnswers()

    async def work() -> None:
        while url := _next(left):
            response = await fetcher.fetch(Request(url))
            received.add(response.status, len(response.body))

    await asyncio.gather(*(work() for _ in range(in_flight)))
    await fetcher.close()
    return received


def _next(left: deque[str]) -> str | None:
    try:
        return left.popleft()
    except IndexError:
        return None


def main(loop: str, urls: list[str], in_flight: int, ca_file: str | None = None, headers: Headers = ()) -> None:
    """Run one loop and print its result. `ca_file` None: TLS is left to the client, and connections are not counted."""
    plan = ClientPlan(connections=in_flight, seeds=tuple(urls[:1]), ca_file=ca_file or "", headers=headers)
    tls = None if ca_file is None else tls_context(ca_file)
    connections = (lambda: 0) if ca_file is None else count_connections()
    fetch: Callable[[], RawAnswers]
    match loop:
        case "curl":
            fetch = partial(in_threads, urls, in_flight, with_curl)
        case "native-threads":
            fetch = partial(in_threads, urls, in_flight, partial(with_native, plan))
        case "native":
            fetch = partial(_run, partial(on_a_loop, plan, urls, in_flight))
        case _:
            fetch = partial(_run, partial(fetch_all, map(RawTarget, urls), in_flight, dict(headers), tls))
    print_result(fetch, len(urls), connections)


def count_connections() -> Callable[[], int]:
    """Count from now on the TCP connections that this process begins; returns what tells their number."""
    begun: list[None] = []

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event == "socket.connect" and isinstance(arguments[1], tuple):
            begun.append(None)  # also from threads

    sys.addaudithook(hook)
    return lambda: len(begun)


def _run(loop: Callable[[], Coroutine[None, None, RawAnswers]]) -> RawAnswers:
    return uvloop.run(loop())


def _header(word: str) -> tuple[str, str]:
    name, _, value = word.partition("=")
    return name, value


if __name__ == "__main__":
    main(
        sys.argv[1],
        Path(sys.argv[2]).read_text(encoding="utf-8").split(),
        int(sys.argv[3]),
        sys.argv[4] if len(sys.argv) > 4 else None,
        tuple(map(_header, sys.argv[5:])),
    )
