"""Coroutines as workers, used by `async` and by each process of `prefork`.

Rules:
- A fetch starts as a task. The task appends its landing to a list and wakes the pump, which takes the whole list.
  Nothing is looked up, locked or copied per fetch, and no wait registers all tasks again (as `asyncio.wait` does).
- Pages are read for SLICE seconds per iteration of the loop. Where many answers arrive together and take long to read,
  the pump runs in between and fills the slots that are free; otherwise all would be read first, while the server has
  nothing to do. A slice is several usual pages, because a pump that runs after each page costs a sixth of the CPU.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from time import monotonic

from crawler.core.messages import Event, Fetch
from crawler.fetch import open_async_fetcher
from crawler.pipeline.visit import avisit
from crawler.runtime.job import Job, open_processor
from crawler.storage.pages.base import Writer
from variants import client_of

SLICE = 0.02


class LoopWorkers:
    """Coroutines as workers."""

    def __init__(self, job: Job, writer: Writer, concurrency: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._reader = open_processor(job.settings, job.scope, job.shares, job.folder)
        self._fetcher = open_async_fetcher(client_of(job.settings), job.settings.client_plan(concurrency))
        self._writer = writer
        self._concurrency = concurrency
        self._tasks: set[asyncio.Task[None]] = set()
        self._landed: list[Event] = []
        self._failure: Exception | None = None
        self._woken = asyncio.Event()
        self._turns = ReadingTurns(self._loop)

    @property
    def room(self) -> int:
        """Number of free slots."""
        return self._concurrency - len(self._tasks)

    @property
    def in_flight(self) -> int:
        """Number of running tasks."""
        return len(self._tasks)

    async def exchange(self, fetches: list[Fetch], until: float | None) -> list[Event]:
        """Start a task per fetch, wait for the first landing or `until` (monotonic seconds), return all landings."""
        for fetch in fetches:
            self._tasks.add(self._loop.create_task(self._work(fetch)))
        timer = None if until is None else self._loop.call_later(until - monotonic(), self._woken.set)
        await self._woken.wait()
        self._woken.clear()
        if timer is not None:
            timer.cancel()
        if self._failure is not None:
            raise self._failure
        landed, self._landed = self._landed, []
        return landed

    async def _work(self, fetch: Fetch) -> None:
        try:
            landing = await avisit(fetch, self._fetcher, self._reader, self._writer, self._turns.wait)
            self._landed.append(landing)
        except Exception as error:  # any error: the pump would wait for a task that ended without a landing
            self._failure = error
        finally:
            task = asyncio.current_task(self._loop)
            assert task is not None
            self._tasks.discard(task)
            self._woken.set()

    def post(self, event: Event) -> None:
        """Queue an event, from any thread."""
        self._loop.call_soon_threadsafe(self.take, event)

    def take(self, event: Event) -> None:
        """Queue an event, on the loop's thread."""
        self._landed.append(event)
        self._woken.set()

    def wake(self) -> None:
        """End the wait, from any thread. Does nothing once the loop is closed."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._woken.set)

    async def aclose(self) -> None:
        """Cancel the tasks in flight and close the client."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._reader.close()
        await self._fetcher.close()


class ReadingTurns:
    """Lets tasks read pages for SLICE seconds per iteration of the loop, in the order in which they came."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._over_at = 0.0
        self._passed = 0

    async def wait(self) -> None:
        """Return at once where the slice of this iteration is not used up."""
        if not self._passed:
            self._begin()
        elif self._waiting or monotonic() > self._over_at:
            waiter = self._loop.create_future()
            self._waiting.append(waiter)
            await waiter
            return
        self._passed += 1

    def _begin(self) -> None:
        self._over_at = monotonic() + SLICE
        self._loop.call_soon(self._next)

    def _next(self) -> None:
        """A new iteration: as many may go on as the last slice was enough for."""
        room, self._passed = self._passed, 0
        while self._waiting and self._passed < room:
            waiter = self._waiting.popleft()
            if not waiter.done():  # its task may be cancelled
                waiter.set_result(None)
                self._passed += 1
        if self._passed:
            self._begin()
