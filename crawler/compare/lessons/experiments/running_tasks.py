"""A thousand tasks that run, not sleep: how much of the work is left when the system switches between them?

Threads, processes and coroutines, few and many, do the same small units of work. All are started first and then let
go at once, so that starting them is not counted.
"""

from __future__ import annotations

import asyncio
import time
from multiprocessing import get_context
from multiprocessing.sharedctypes import RawArray
from threading import Thread
from typing import Any

from crawler.compare.lessons.lesson import Lesson, Samples, below, ratio
from crawler.compare.lessons.rounds import alternate, busy_loop, cores, ratios
from crawler.system.parent_death import die_with_parent

MANY_THREADS, MANY_PROCESSES, MANY_COROUTINES = 1000, 60, 2000
SECONDS = 0.25
POLL = 0.05
ROUNDS = 5


def repeat(done: Any, until: Any, number: int) -> None:
    """Wait to be let go, then work until a moment, counting units."""
    while not until[0]:
        time.sleep(POLL)
    while time.monotonic() < until[0]:
        busy_loop()
        done[number] += 1


def repeat_in_child(done: Any, until: Any, number: int) -> None:
    """The same in a process that ends with its parent."""
    die_with_parent()
    repeat(done, until, number)


def rate(workers: list[Any], done: Any, until: Any) -> float:
    """Units per second of threads or processes."""
    for one in workers:
        one.start()
    began = time.monotonic()
    until[0] = began + SECONDS
    for one in workers:
        one.join()
    units: int = sum(done)
    return units / (time.monotonic() - began)


def threads(count: int) -> float:
    """Units per second of so many threads."""
    done, until = [0] * count, [0.0]
    return rate([Thread(target=repeat, args=(done, until, number)) for number in range(count)], done, until)


def processes(count: int) -> float:
    """Units per second of so many processes."""
    context, done, until = get_context("fork"), RawArray("l", count), RawArray("d", 1)
    given = [(done, until, number) for number in range(count)]
    return rate([context.Process(target=repeat_in_child, args=one) for one in given], done, until)


def coroutines(count: int) -> float:
    """Units per second of `count` coroutines that yield after every unit."""

    async def work(until: float) -> int:
        units = 0
        while time.monotonic() < until:
            busy_loop()
            units += 1
            await asyncio.sleep(0)
        return units

    async def all_work() -> float:
        began = time.monotonic()
        units = await asyncio.gather(*(work(began + SECONDS) for _ in range(count)))
        return sum(units) / (time.monotonic() - began)

    return asyncio.run(all_work())


def run() -> Samples:
    """Few and many in turn."""
    few = cores()
    rates = alternate(
        ROUNDS,
        few_threads=lambda: threads(few),
        many_threads=lambda: threads(MANY_THREADS),
        few_processes=lambda: processes(few),
        many_processes=lambda: processes(MANY_PROCESSES),
        few_coroutines=lambda: coroutines(few),
        many_coroutines=lambda: coroutines(MANY_COROUTINES),
    )
    kinds = ("threads", "processes", "coroutines")
    return {kind: ratios(rates[f"many_{kind}"], rates[f"few_{kind}"]) for kind in kinds}


LESSON = Lesson(
    title="Thousands of tasks that run",
    claim="With too many tasks the system is busy switching and has no time left for the tasks.",
    measures={
        "threads": ratio(f"units/s, {MANY_THREADS:,} busy threads : one per core", claim=below(0.5)),
        "processes": ratio(f"units/s, {MANY_PROCESSES} busy processes : one per core", claim=below(0.5), needs=1.6),
        "coroutines": ratio(f"units/s, {MANY_COROUTINES:,} busy coroutines : one per core", claim=below(0.5)),
    },
    why=(
        "The kernel switches after milliseconds and a switch takes microseconds, so busy processes lose a few per cent "
        "whatever their number, and coroutines switch when they say so. Only threads that wait for the GIL prove the "
        "tutorials right: each wakes every 5 ms to ask for it, and a thousand of them hardly leave it time to run."
    ),
    run=run,
)
