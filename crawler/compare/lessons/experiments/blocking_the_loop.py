"""One event loop, and what a call that blocks does to everybody else in it.

A heartbeat wants to beat every 5 ms. Its worst lateness, as a share of the length of the call, is what every other
task of the loop would have suffered. The call sleeps or computes for 100 ms: in a coroutine, or in a thread beside
the loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from crawler.compare.lessons.lesson import Lesson, Samples, above, level
from crawler.compare.lessons.rounds import alternate

BLOCK = 0.1
BEAT = 0.005
ROUNDS = 6


def wait() -> None:
    """Blocking I/O: releases the GIL."""
    time.sleep(BLOCK)


def compute() -> None:
    """Python code: holds the GIL."""
    until = time.perf_counter() + BLOCK
    while time.perf_counter() < until:
        pass


async def politely() -> None:
    """The right way: await."""
    await asyncio.sleep(BLOCK)


async def blocking(call: Callable[[], None]) -> None:
    """The mistake: block the loop."""
    call()


async def lateness(poison: Callable[[], Awaitable[None]]) -> float:
    """The worst lateness of a heartbeat while `poison` runs, as a share of BLOCK."""
    worst = 0.0

    async def heart() -> None:
        nonlocal worst
        while True:
            due = time.perf_counter() + BEAT
            await asyncio.sleep(BEAT)
            worst = max(worst, time.perf_counter() - due)

    beating = asyncio.create_task(heart())
    await asyncio.sleep(3 * BEAT)
    await poison()
    await asyncio.sleep(2 * BEAT)
    beating.cancel()
    return worst / BLOCK


def run() -> Samples:
    """The same call in different places."""

    def beside(poison: Callable[[], Awaitable[None]]) -> Callable[[], float]:
        return lambda: asyncio.run(lateness(poison))

    return alternate(
        ROUNDS,
        nothing=beside(politely),
        wait=beside(lambda: blocking(wait)),
        wait_in_thread=beside(lambda: asyncio.to_thread(wait)),
        compute=beside(lambda: blocking(compute)),
        compute_in_thread=beside(lambda: asyncio.to_thread(compute)),
    )


LESSON = Lesson(
    title="Blocking the event loop",
    claim="A coroutine must never block: one blocking call stops every task of the loop for as long as it lasts.",
    measures={
        "nothing": level("worst lateness of a heartbeat : 100 ms, awaiting sleep"),
        "wait": level("the same, a call that sleeps 100 ms in a coroutine", claim=above(0.8)),
        "wait_in_thread": level("the same by asyncio.to_thread"),
        "compute": level("the same, a call that computes 100 ms in a coroutine", claim=above(0.8)),
        "compute_in_thread": level("the same by asyncio.to_thread"),
    },
    why=(
        "The loop runs one callback at a time and has no way to interrupt it. A thread takes a waiting call off "
        "the loop altogether, and a computing one up to the switch interval (5 ms), for which the loop waits each"
        " time it wants the GIL."
    ),
    run=run,
)
