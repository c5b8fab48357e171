"""Computing or waiting? One table: three ways of doing things at once, two kinds of work, against one after another.

Waiting is a fetch of a page that takes 20 ms (aiohttp for the coroutines). Computing is to parse a page with
the parser of the standard library, which is Python through and through. Eight workers each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from html.parser import HTMLParser
from multiprocessing import get_context
from multiprocessing.pool import ThreadPool

from crawler.compare.lessons.fetching import PAGE, fetch
from crawler.compare.lessons.lesson import Lesson, Measure, Samples, above, below, between
from crawler.compare.lessons.rounds import alternate, ratios, timed
from crawler.fetch import open_async_fetcher
from crawler.fetch.base import AsyncFetcher, ClientPlan
from crawler.testweb.process import start_web

WORKERS = 8
LATENCY = 0.02
ROUNDS = 8
TEXT = '<p class="x">text <a href="/page.html">text</a></p>' * 200

Mapping = Callable[[Callable[[ClientPlan], object], list[ClientPlan]], object]


def parse(_: ClientPlan) -> None:
    """Compute for a few milliseconds."""
    HTMLParser().feed(TEXT)


def one_by_one(work: Callable[[ClientPlan], object], orders: list[ClientPlan]) -> None:
    """The baseline: one after another."""
    for order in orders:
        work(order)


def coroutines(runner: asyncio.Runner, session: AsyncFetcher) -> Mapping:
    """Coroutines of one loop, used like the `map` of a pool."""

    async def worker(work: Callable[[ClientPlan], object], left: list[ClientPlan]) -> None:
        while left:
            order = left.pop()
            if work is fetch:
                await session.fetch(PAGE)
            else:
                work(order)

    async def run_all(work: Callable[[ClientPlan], object], orders: list[ClientPlan]) -> None:
        left = list(orders)
        await asyncio.gather(*(worker(work, left) for _ in range(WORKERS)))

    return lambda work, orders: runner.run(run_all(work, orders))


async def open_session(plan: ClientPlan) -> AsyncFetcher:
    """Open the session inside its loop."""
    return open_async_fetcher("aiohttp", plan)


def rate(mapping: Mapping, work: Callable[[ClientPlan], object], orders: list[ClientPlan]) -> float:
    """Pages per second."""
    return len(orders) / timed(lambda: mapping(work, orders))


def run() -> Samples:
    """Four ways, two kinds of work, in turn; each ratio within its round."""
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with (
        start_web(flat=1, latency=LATENCY) as web,
        context.Pool(WORKERS) as processes,
        ThreadPool(WORKERS) as threads,
        asyncio.Runner() as runner,
    ):
        plan = ClientPlan(resolve=web.settings.resolve)
        session = runner.run(open_session(plan))
        ways: dict[str, Mapping] = {
            "threads": lambda work, orders: threads.map(work, orders, chunksize=1),
            "processes": lambda work, orders: processes.map(work, orders, chunksize=1),
            "coroutines": coroutines(runner, session),
        }
        arms = {
            "one_io": lambda: rate(one_by_one, fetch, [plan] * 3),
            "one_cpu": lambda: rate(one_by_one, parse, [plan] * 12),
        }
        for name, way in ways.items():
            arms[f"{name}_io"] = partial(rate, way, fetch, [plan] * WORKERS * 2)
            arms[f"{name}_cpu"] = partial(rate, way, parse, [plan] * 12)
        rates = alternate(ROUNDS, **arms)
        runner.run(session.close())
    speedups = {
        f"{way}_{kind}": ratios(rates[f"{way}_{kind}"], rates[f"one_{kind}"]) for kind in ("io", "cpu") for way in ways
    }
    return {**speedups, "tie": ratios(rates["coroutines_io"], rates["threads_io"])}


LESSON = Lesson(
    title="Computing or waiting",
    claim="For work that computes take processes; for work that waits take coroutines, which beat threads.",
    measures={
        "threads_io": Measure(f"waiting, {WORKERS} threads : one after another", prediction=above(WORKERS / 2)),
        "coroutines_io": Measure(f"waiting, {WORKERS} coroutines : one after another", prediction=above(WORKERS / 2)),
        "processes_io": Measure(f"waiting, {WORKERS} processes : one after another", prediction=above(WORKERS / 2)),
        "tie": Measure("waiting, coroutines : threads", claim=above(1.25), prediction=between(0.8, 1.25)),
        "threads_cpu": Measure(f"computing, {WORKERS} threads : one after another", prediction=below(1.15, needs=1.6)),
        "coroutines_cpu": Measure(f"computing, {WORKERS} coroutines : one after another", prediction=below(1.15)),
        "processes_cpu": Measure(
            f"computing, {WORKERS} processes : one after another",
            claim=above(1.3, needs=1.6),
            prediction=above(1.3, needs=1.6),
        ),
    },
    why=(
        "Waiting takes no interpreter, so at the same number in flight all three do what workers / latency allows"
        " and the way does not matter; computing takes the GIL, so only processes use a second core."
    ),
    run=run,
    cores=2,
)
