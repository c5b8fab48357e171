"""One run of one crawl: all that an engine is given, and the way in for whoever wants it to stop."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from crawler.core.crawl import Crawl
from crawler.core.messages import Ending, Event, Pause, Stop
from crawler.core.shards.shard import Shard
from crawler.core.shards.sharded import ShardedCrawl
from crawler.core.urls.scope import Scope
from crawler.fetch.bodies import BODIES
from crawler.fetch.secrets import headers_by_origin
from crawler.metrics.counters import InFlight
from crawler.pipeline.visit import PageProcessor
from crawler.runtime.memory_plan import ROOMY, Shares
from crawler.runtime.recorder import Recorder
from crawler.settings import Settings, open_scope
from crawler.storage.database import retry_storage
from crawler.storage.pages.base import Writer
from crawler.system.file_limits import ensure_fd_limit
from crawler.system.memory_shortage import large_blocks_apart


class EngineControl(Protocol):
    """The part of an engine that outsiders may touch, from any thread or signal handler."""

    def post(self, event: Event) -> None:
        """Hand in an event."""

    def wake(self) -> None:
        """End a wait."""


class Job:
    """What to crawl, how, and where to keep it. `run` numbers the runs of a directory, from 1; `folder` is the crawl's.

    `open_writer` opens a part for an engine that stores pages in this process; others open theirs below `folder`.
    `shard`: which of several this one is; `incarnation` counts the processes that were given a part of it in this
    run, `verdicts` are what it must hear before its seeds. `shares`: the memory it may take, `worker_shares`: that
    of each process which fetches for it. `ran`: how the run ended, where somebody has kept that here.
    """

    def __init__(
        self,
        settings: Settings,
        seed: int,
        recorder: Recorder,
        open_writer: Callable[[str], Writer],
        run: int = 1,
        folder: Path | None = None,
        shard: Shard | None = None,
        incarnation: int = 0,
        verdicts: Sequence[Event] = (),
        shares: Shares = ROOMY,
        worker_shares: Shares = ROOMY,
    ) -> None:
        self.settings = settings
        self.recorder = recorder
        self.folder = folder
        self.run = run
        self.seed = seed
        self.shares = shares
        self.worker_shares = worker_shares
        self.scope = open_scope(settings)
        self.crawl = (
            Crawl(settings, self.scope, seed, self.shares.bounds)
            if shard is None
            else ShardedCrawl(settings, self.scope, seed, shard, self.shares.bounds)
        )
        self.ran: Ending | None = None
        self.in_flight = InFlight()
        recorder.on_pause(self.in_flight.pause)
        self._open_writer = open_writer
        self._incarnation = incarnation
        self._verdicts = verdicts
        self._workers: EngineControl | None = None
        self._early: list[Event] = []

    def initial_events(self) -> list[Event]:
        """The events that a run begins with."""
        *left, seeds = self.recorder.resume(self.settings.seeds, again=self.run > 1 or self._incarnation > 0)
        return [*left, *self._verdicts, seeds]

    def part(self, worker: int) -> str:
        """The name of the part of one worker, new in the life of the directory."""
        return f"{self.run:04d}-{worker:03d}"

    def writer(self) -> Writer:
        """The one writer of an engine that stores pages in this process; the recorder flushes it."""
        part = self.part(self._incarnation)
        writer = retry_storage(lambda: self._open_writer(part), self.settings.disk_wait)
        self.recorder.add_writer(writer)
        return writer

    def limit_concurrency(self, fetches: int) -> int:
        """How many of so many fetches at once this process may have descriptors for. Raises UsageError."""
        fitting = ensure_fd_limit(fetches)
        if fitting < fetches:
            self.recorder.pause(Pause.STARVED, True)
            self.recorder.pause(Pause.STARVED, False)
        return fitting

    def attach(self, workers: EngineControl) -> None:
        """The engine is ready: from now on posted events reach it."""
        self._workers = workers
        self.recorder.start(workers.wake, workers.post)
        for event in self._early:
            workers.post(event)

    def post(self, event: Event) -> None:
        """Hand in an event (Stop), whenever; safe in a signal handler."""
        if isinstance(event, Stop):
            self.recorder.hurry()
        if self._workers is None:
            self._early.append(event)
        else:
            self._workers.post(event)

    def wake(self) -> None:
        """A brake was let go."""
        if self._workers is not None:
            self._workers.wake()


def open_processor(settings: Settings, scope: Scope, shares: Shares = ROOMY) -> PageProcessor:
    """What turns orders into requests, and responses into pages and events, in a process of this share. To be
    closed."""
    from crawler.pipeline.sandbox.client import HeavyReader

    large_blocks_apart()
    BODIES.bound(shares.bodies, shares.alone)
    heavy = HeavyReader(settings, shares.page)
    secrets = headers_by_origin(settings.headers, settings.credentials)
    return PageProcessor(settings, scope, settings.max_body, settings.attempt_header, settings.spin, heavy, secrets)


def cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
