"""Computing or waiting? One table: three ways of doing things at once, two kinds of work, against one after another.

Waiting is a fetch of a page that takes 20 ms. Computing is to parse a page with the parser of the standard library,
which is Python through and through. Eight workers each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from html.parser import HTMLParser
from multiprocessing import get_context
from multiprocessing.pool import ThreadPool

from crawler.compare.lessons.lesson import Lesson, Samples, above, ratio
from crawler.compare.lessons.pages import LoopSession, fetch, page_server
from crawler.compare.lessons.rounds import alternate, ratios, timed

WORKERS = 8
LATENCY = 0.02
ROUNDS = 8
TEXT = '<p class="x">text <a href="/page.html">text</a></p>' * 200

Work = Callable[[int], object]
Mapping = Callable[[Work, list[int]], object]


def parse(_: int) -> None:
    """Compute for a few milliseconds."""
    HTMLParser().feed(TEXT)


def one_by_one(work: Work, orders: list[int]) -> None:
    """The baseline: one after another."""
    for order in orders:
        work(order)


def coroutines(runner: asyncio.Runner, sessions: list[LoopSession]) -> Mapping:
    """Coroutines of one loop, used like the `map` of a pool."""

    async def worker(work: Work, session: LoopSession, left: list[int]) -> None:
        while left:
            order = left.pop()
            if work is fetch:
                await session.get()
            else:
                work(order)

    async def run_all(work: Work, orders: list[int]) -> None:
        left = list(orders)
        await asyncio.gather(*(worker(work, session, left) for session in sessions))

    return lambda work, orders: runner.run(run_all(work, orders))


def rate(mapping: Mapping, work: Work, orders: list[int]) -> float:
    """Pages per second."""
    return len(orders) / timed(lambda: mapping(work, orders))


def run() -> Samples:
    """Four ways, two kinds of work, in turn; each ratio within its round."""
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with (
        page_server(LATENCY) as port,
        context.Pool(WORKERS) as processes,
        ThreadPool(WORKERS) as threads,
        asyncio.Runner() as runner,
    ):
        sessions = [LoopSession(port) for _ in range(WORKERS)]
        ways: dict[str, Mapping] = {
            "threads": lambda work, orders: threads.map(work, orders, chunksize=1),
            "processes": lambda work, orders: processes.map(work, orders, chunksize=1),
            "coroutines": coroutines(runner, sessions),
        }
        arms = {
            "one_io": lambda: rate(one_by_one, fetch, [port] * 3),
            "one_cpu": lambda: rate(one_by_one, parse, [port] * 12),
        }
        for name, way in ways.items():
            arms[f"{name}_io"] = partial(rate, way, fetch, [port] * WORKERS * 2)
            arms[f"{name}_cpu"] = partial(rate, way, parse, [port] * 12)
        rates = alternate(ROUNDS, **arms)
        for session in sessions:
            session.close()
    speedups = {
        f"{way}_{kind}": ratios(rates[f"{way}_{kind}"], rates[f"one_{kind}"]) for kind in ("io", "cpu") for way in ways
    }
    return {**speedups, "tie": ratios(rates["coroutines_io"], rates["threads_io"])}


LESSON = Lesson(
    title="Computing or waiting",
    claim="For work that computes take processes; for work that waits take coroutines, which beat threads.",
    measures={
        "threads_io": ratio(f"pages/s waiting, {WORKERS} threads : one after another"),
        "coroutines_io": ratio(f"pages/s waiting, {WORKERS} coroutines : one after another"),
        "processes_io": ratio(f"pages/s waiting, {WORKERS} processes : one after another"),
        "tie": ratio("pages/s waiting, coroutines : threads", claim=above(1.25)),
        "threads_cpu": ratio(f"pages/s computing, {WORKERS} threads : one after another", needs=1.6),
        "coroutines_cpu": ratio(f"pages/s computing, {WORKERS} coroutines : one after another"),
        "processes_cpu": ratio(
            f"pages/s computing, {WORKERS} processes : one after another", claim=above(1.3), needs=1.6
        ),
    },
    why=(
        "Waiting takes no interpreter, so at the same number in flight all three do what workers / latency allows"
        " and the way does not matter; computing takes the GIL, so only processes use a second core, or threads "
        "where there is no GIL."
    ),
    run=run,
    cores=2,
)
