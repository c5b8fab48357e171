"""`async`: one thread, one event loop, one coroutine per fetch.

The loop is uvloop where it is installed, unless the key `loop` names one. All CPU work runs on this one thread, so
parsing is the limit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing, closing
from importlib.util import find_spec

from crawler.core.reasons import Ending
from crawler.fetch import ASYNC_CLIENTS
from crawler.metrics.heartbeat import beating_on_loop
from crawler.runtime.job import Job
from variants.loop_workers import LoopWorkers
from variants.pump import arun as drive

CLIENTS = ASYNC_CLIENTS
CONCURRENCY = 100


def run(job: Job) -> Ending:
    """Run a job on a new event loop."""
    with asyncio.Runner(loop_factory=loop_factory(job.settings.loop)) as runner:
        return runner.run(arun(job))


async def arun(job: Job, attached: Callable[[LoopWorkers], None] = lambda workers: None) -> Ending:
    """Run a job on the running loop. `attached` is called with its workers before they start.

    The recorder closes before the writer, because it flushes the writer. Neither is awaited: a second cancellation must
    not leave the recorder writing to files that are closed.
    """
    concurrency = job.limit_concurrency(job.settings.concurrency or CONCURRENCY)
    with closing(job.writer()) as writer, closing(job.recorder):
        async with aclosing(LoopWorkers(job, writer, concurrency)) as workers:
            job.attach(workers)
            attached(workers)
            with beating_on_loop(job.settings.heartbeat, job.stats.lateness):
                return await drive(job.crawl, workers, job.recorder, job.initial_events())


def loop_factory(loop: str) -> type[asyncio.AbstractEventLoop]:
    """The class of the event loop that the key `loop` names; "auto" is uvloop where it is installed."""
    if loop == "asyncio" or (loop == "auto" and find_spec("uvloop") is None):
        return asyncio.SelectorEventLoop
    import uvloop

    return uvloop.Loop
