"""Engines with a planted fault, each a real crawler with a few lines changed: `python -m tests.live.planted NAME ...`
runs the command line of the crawler with the fault of that name. All are `async`, on one event loop."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from crawler import run
from crawler.__main__ import main
from crawler.compare.workload import SEED
from crawler.core.bounds import PLENTY
from crawler.core.page.links import Reading
from crawler.fetch.base import AsyncFetcher, Request, Response
from crawler.pipeline.page_processor import PageProcessor
from crawler.runtime import recorder
from crawler.storage.frontier import schema, sqlite
from crawler.storage.pages import sqlite_writer
from crawler.testweb.flat import FlatWeb
from crawler.testweb.oracle import split
from crawler.testweb.web import Web
from variants import loop_workers as workers

QUIET = 0.25
"""Seconds without a fetch after which an engine believes that the last one is over."""


def plant(owner: object, name: str, new: object) -> Any:
    """Put something in the place of a name of a module or class; returns what was there."""
    old = getattr(owner, name)
    setattr(owner, name, new)
    return old


def honest() -> None:
    """Nothing is changed."""


# ---- what is parsed and stored ---------------------------------------------------------------------------------------


def parses_at_the_end() -> None:
    """Reads no page while any fetch runs, and starts new ones meanwhile."""
    sys.argv[sys.argv.index("--per-host") + 1] = "1000"  # its own slots keep to what was asked for
    waiting, fetching, ended = 0, 0, 0.0

    def init(self: workers.LoopWorkers, *how: Any) -> None:
        honest_init(self, *how)

        async def wait() -> None:
            nonlocal waiting
            waiting += 1
            self.wake()  # its slot is free
            while fetching or time.monotonic() < ended + QUIET:  # noqa: ASYNC110
                await asyncio.sleep(QUIET / 5)
            waiting -= 1

        plant(self._turns, "wait", wait)

    async def counted(inner: AsyncFetcher, request: Request) -> Response:
        nonlocal fetching, ended
        fetching += 1
        try:
            return await inner.fetch(request)
        finally:
            fetching, ended = fetching - 1, time.monotonic()

    fetch_by(counted)
    honest_init = plant(workers.LoopWorkers, "__init__", init)
    plant(workers.LoopWorkers, "room", property(lambda self: self._concurrency - len(self._tasks) + waiting))
    plant(workers.LoopWorkers, "in_flight", property(lambda self: len(self._tasks) - waiting))
    plant(recorder.Recorder, "room", property(lambda self: PLENTY))


def never_parses() -> None:
    """Has the links of each page of the graph from a cache; on the flat web those of the root are enough."""
    graph = Web(SEED, 13, 150)

    def read_here(self: PageProcessor, body: bytes, url: str, *rest: Any) -> Any:
        host, path = split(url)
        if host not in graph.names and path == "/":
            return honest_read(self, body, url, *rest)
        links = graph.document(host, path).links if host in graph.names else ()
        return Reading("UTF-8", links)

    honest_read = plant(PageProcessor, "_read_here", read_here)


def stores_no_bodies() -> None:
    """Stores each page without its body."""

    def put(self: Any, page: Any, file: str | None) -> Any:
        return honest_put(self, replace(page, body=b""), file)

    honest_put = plant(sqlite_writer.SqliteWriter, "_put", put)


def syncs_nothing() -> None:
    """Opens every database with synchronous=OFF."""

    def connect(*how: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = honest_connect(*how)
        connection.execute("PRAGMA synchronous=OFF")
        return connection

    plant(schema, "connect", connect)
    honest_connect = plant(sqlite_writer, "connect", connect)


def commits_at_the_end() -> None:
    """Keeps everything in memory until the last page is fetched."""
    for name in ("CLOSE_AT", "MAX_UNCOMMITTED", "MAX_AGE", "ANSWER_AGE", "URGENT_AGE"):
        plant(recorder, name, 10**9)


def skips_pages() -> None:
    """Skips every page whose number ends with 49 or 50."""
    sys.argv += ["--exclude", r"-\d*(49|50)\b"]


# ---- what is fetched -------------------------------------------------------------------------------------------------


def fetch_by(fetch: Callable[[AsyncFetcher, Request], Awaitable[Response]]) -> None:
    """Fetch by a function instead, which gets the fetcher and the request."""

    class Planted:
        def __init__(self, *how: Any) -> None:
            self.inner = honest_open(*how)

        async def fetch(self, request: Request) -> Response:
            return await fetch(self.inner, request)

        async def close(self) -> None:
            await self.inner.close()

    honest_open = plant(workers, "open_async_fetcher", Planted)


def has_a_hidden_limit() -> None:
    """Fetches three at a time, whatever was asked for."""
    slots = asyncio.Semaphore(3)

    async def limited(inner: AsyncFetcher, request: Request) -> Response:
        async with slots:
            return await inner.fetch(request)

    fetch_by(limited)


def asks_more_at_once() -> None:
    """Has twice as many in flight as it was asked for."""
    for flag in ("--concurrency", "--per-host"):
        place = sys.argv.index(flag) + 1
        sys.argv[place] = str(2 * int(sys.argv[place]))


def fetches_twice() -> None:
    """Fetches every page a second time, and uses that."""

    async def twice(inner: AsyncFetcher, request: Request) -> Response:
        await inner.fetch(request)
        return await inner.fetch(request)

    fetch_by(twice)


def answers_from_a_cache() -> None:
    """Knows every page of the graph that has a number that 7 divides, and so it does of a flat web of 160 pages."""
    webs = FlatWeb(160, 0.05, 2000, spread=0.5), Web(SEED, 13, 150)

    async def cached(inner: AsyncFetcher, request: Request) -> Response:
        host, path = split(request.url)
        if len(path) % 7:
            return await inner.fetch(request)
        answer = next(web for web in webs if host in web.names).answer(host, path, accept="")
        if answer.status != 200:
            return await inner.fetch(request)
        return Response(answer.status, answer.headers, answer.body, seconds=0.001)

    fetch_by(cached)


def ignores_the_delay() -> None:
    """Rests a tenth of the delay that it was asked for."""
    place = sys.argv.index("--delay") + 1
    sys.argv[place] = str(float(sys.argv[place]) / 10)


def ignores_robots() -> None:
    """Fetches what robots.txt forbids."""
    sys.argv += ["--no-robots"]


def stalls() -> None:
    """Does nothing for 100 ms in each 600."""

    def init(self: workers.LoopWorkers, *how: Any) -> None:
        honest_init(self, *how)
        self._loop.call_later(0.5, stall, self._loop)

    def stall(loop: asyncio.AbstractEventLoop) -> None:
        time.sleep(0.1)
        loop.call_later(0.5, stall, loop)

    honest_init = plant(workers.LoopWorkers, "__init__", init)


# ---- what is stated --------------------------------------------------------------------------------------------------


def states_half_the_time() -> None:
    """States that every commit came in half the time since the first."""
    began = time.time()

    def commit(self: sqlite.SqliteFrontier, batch: Any, at: float) -> Any:
        return honest_commit(self, batch, began + (at - began) / 2)

    honest_commit = plant(sqlite.SqliteFrontier, "commit", commit)


def states_even_commits() -> None:
    """Commits once, at the end, and then states even times for small commits."""
    commits_at_the_end()
    began, rows = time.time(), 0

    def end_row(end: Any, at: float) -> Any:
        nonlocal rows
        rows += 1
        return honest_row(end, began + (at - began) * min(1.0, (rows // 8 + 1) * 8 / 170))

    honest_row = plant(sqlite, "end_row", end_row)


def states_less_cpu() -> None:
    """States a hundredth of its CPU and memory, and ten times its rate."""

    def summarise(*tally: Any, **told: Any) -> Any:
        told["cpu_seconds"] /= 100
        told["peak_memory_bytes"] //= 100
        told["seconds"] /= 10
        return honest_summarise(*tally, **told)

    honest_summarise = plant(run, "summarise", summarise)


if __name__ == "__main__":
    name = sys.argv.pop(1)
    sys.argv[0] = str(Path(__file__).parents[2] / "crawler" / "__main__.py")
    globals()[name]()
    main()
