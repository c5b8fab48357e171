"""One event loop per core: what do two loops do, in two threads and in two processes?

Each loop has many coroutines that wait a little and compute a little, so that one loop is limited by its core.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from multiprocessing import get_context
from multiprocessing.pool import ThreadPool
from time import perf_counter

from crawler.compare.lessons.lesson import Lesson, Samples, above, ratio
from crawler.compare.lessons.rounds import alternate, busy_loop, ratios

COROUTINES = 50
SECONDS = 0.15
ROUNDS = 10


def loop(_: int) -> float:
    """Units per second of one loop."""

    async def work(until: float) -> int:
        done = 0
        while perf_counter() < until:
            await asyncio.sleep(0.001)
            busy_loop()
            done += 1
        return done

    async def all_work() -> float:
        began = perf_counter()
        done = await asyncio.gather(*(work(began + SECONDS) for _ in range(COROUTINES)))
        return sum(done) / (perf_counter() - began)

    return asyncio.run(all_work())


def together(mapping: Callable[..., list[float]], loops: int) -> float:
    """Units per second of several loops at once."""
    return sum(mapping(loop, range(loops), chunksize=1))


def run() -> Samples:
    """One loop and two, in threads and in processes."""
    with get_context("fork").Pool(2) as processes, ThreadPool(2) as threads:
        rates = alternate(
            ROUNDS,
            one_thread=partial(together, threads.map, 1),
            two_threads=partial(together, threads.map, 2),
            one_process=partial(together, processes.map, 1),
            two_processes=partial(together, processes.map, 2),
        )
    return {
        "threads": ratios(rates["two_threads"], rates["one_thread"]),
        "processes": ratios(rates["two_processes"], rates["one_process"]),
    }


LESSON = Lesson(
    title="One loop per core",
    claim="A loop uses one core; for several cores take several processes with a loop each, as nginx does.",
    measures={
        "threads": ratio("units/s, 2 loops in 2 threads : 1", needs=1.6),
        "processes": ratio("units/s, 2 loops in 2 processes : 1", claim=above(1.3), needs=1.6),
    },
    why=(
        "A loop is one thread. A second process brings a second interpreter and uses a second core; a second thread "
        "shares the GIL and gains nothing, except on a build without it."
    ),
    run=run,
    cores=2,
)
