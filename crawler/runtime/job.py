"""One run of one crawl: all that an engine needs, and how other threads post events such as Stop to it."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Protocol

from crawler.core.crawl import Crawl
from crawler.core.messages import CarriedOver, Discovered, Event, Stop
from crawler.core.reasons import Ending, Pause
from crawler.core.revisit.carried import packed
from crawler.core.shards.shard import Shard
from crawler.core.shards.sharded import ShardedCrawl
from crawler.core.urls.scope import Scope
from crawler.fetch.bodies import BODIES
from crawler.fetch.secrets import headers_by_origin
from crawler.metrics.counters import InFlight, RunStats
from crawler.pipeline.page_processor import PageProcessor
from crawler.pipeline.readings import ReadingKeeper, read_by
from crawler.pipeline.revalidation import Revalidation
from crawler.runtime.memory_plan import ROOMY, Shares
from crawler.runtime.recorder import Recorder
from crawler.runtime.url_log import UrlLog, UrlLogFormat
from crawler.settings import Settings, open_scope
from crawler.storage import manifest
from crawler.storage.database import retry_storage
from crawler.storage.generations import number_of
from crawler.storage.known_pages import open_known
from crawler.storage.opening import open_pages
from crawler.storage.pages.base import Writer
from crawler.system.file_limits import ensure_fd_limit
from crawler.system.memory_shortage import large_blocks_apart


class EngineControl(Protocol):
    """The thread-safe part of an engine, also for signal handlers."""

    def post(self, event: Event) -> None:
        """Queue an event."""

    def wake(self) -> None:
        """Wake the engine if it waits."""


class Run:
    """One run of a crawl, as the process sees it that was asked for it: what to crawl, where, and its counts so far.

    `number` counts the runs of a directory, from 1; `folder` is the crawl's. `to_unix`: the offset from the monotonic
    clock to Unix time, in seconds. `shares`: the memory this process may take, `worker_shares`: that of each process
    which fetches for it. `on_change` is called when other processes have reported counts.
    `url_log`: how the processes that decide log each URL.
    """

    def __init__(
        self,
        settings: Settings,
        seed: int,
        stats: RunStats,
        to_unix: float,
        number: int = 1,
        folder: Path | None = None,
        shares: Shares = ROOMY,
        worker_shares: Shares = ROOMY,
    ) -> None:
        self.settings = settings
        self.seed = seed
        self.stats = stats
        self.to_unix = to_unix
        self.number = number
        self.folder = folder
        self.shares = shares
        self.worker_shares = worker_shares
        self.in_flight = InFlight()
        self.on_change: Callable[[], None] = lambda: None
        self.url_log: UrlLogFormat = ""
        self._workers: EngineControl | None = None
        self._early: deque[Event] = deque()

    def attach(self, workers: EngineControl) -> None:
        """The engine is ready: from now on posted events reach it."""
        self._workers = workers
        for event in self._take_early():
            workers.post(event)

    def post(self, event: Event) -> None:
        """Queue an event such as Stop, also before `attach`; safe in a signal handler."""
        self._early.append(event)  # before the look at `_workers`: another thread may attach them in between
        if self._workers is not None:
            for each in self._take_early():
                self._workers.post(each)

    def _take_early(self) -> Iterator[Event]:
        """Remove and yield the events that no engine has received; safe in a signal handler."""
        with suppress(IndexError):
            while True:
                yield self._early.popleft()

    def wake(self) -> None:
        """Wake the engine: a limiter allows more."""
        if self._workers is not None:
            self._workers.wake()

    def log_urls(self, form: UrlLogFormat) -> None:
        """Write a line for each URL that has ended. Here it is left to the processes that decide."""
        self.url_log = form

    def track_in_flight(self) -> None:
        """Keep `in_flight` up to date, for a progress line. Here only what other processes report."""


class Job(Run):
    """A run whose Crawl decides in this process: with its recorder and the writer of its part.

    `open_writer` opens a part for an engine that stores pages in this process; others open theirs below `folder`.
    `shard`: which of several this one is; `incarnation` counts the processes that were given a part of it in this
    run; `verdicts` are events that come before its seeds. `ran`: how the run ended, None until it is set.
    """

    def __init__(
        self,
        settings: Settings,
        seed: int,
        recorder: Recorder,
        open_writer: Callable[[str], Writer],
        number: int = 1,
        folder: Path | None = None,
        shard: Shard | None = None,
        incarnation: int = 0,
        verdicts: Sequence[Event] = (),
        shares: Shares = ROOMY,
        worker_shares: Shares = ROOMY,
    ) -> None:
        super().__init__(settings, seed, recorder.stats, recorder.to_unix, number, folder, shares, worker_shares)
        self.recorder = recorder
        self.scope = open_scope(settings)
        self.crawl = (
            Crawl(settings, self.scope, seed, self.shares.bounds)
            if shard is None
            else ShardedCrawl(settings, self.scope, seed, shard, self.shares.bounds)
        )
        self.ran: Ending | None = None
        recorder.on_pause(self.in_flight.pause)
        self._open_writer = open_writer
        self._is_first_shard = shard is None or shard.index == 0
        self._incarnation = incarnation
        self._verdicts = verdicts

    def initial_events(self) -> list[Event]:
        """The events that a run begins with. Those that were posted before come in the first step, so that it obeys
        them."""
        *left, seeds = self.recorder.resume(self.settings.seeds, again=self.number > 1 or self._incarnation > 0)
        carried, unlinked = self._known()
        return [*carried, *left, *self._verdicts, *self._take_early(), seeds, *unlinked]

    def _known(self) -> tuple[list[Event], list[Event]]:
        """The pages that this generation carries over, and those that it asks for once more. Of several shards the
        first one gets those, and sends the links of other shards on."""
        known = open_known(self.folder) if self.folder is not None else None
        if self.folder is None or known is None:
            return [], []
        number = number_of(self.folder)
        with closing(known):
            urls = known.carried(number)
            unlinked = known.to_ask(number) if self._is_first_shard else {}
        return (
            [CarriedOver(packed(urls, self.seed))] if urls else [],
            [Discovered(tuple(urls), depth) for depth, urls in unlinked.items()],
        )

    def part(self, worker: int) -> str:
        """The name of the part of one worker, unique in the directory."""
        return f"{self.number:04d}-{worker:03d}"

    def writer(self) -> Writer:
        """The one writer of an engine that stores pages in this process; the recorder flushes it."""
        part = self.part(self._incarnation)
        writer = retry_storage(lambda: self._open_writer(part), self.settings.disk_wait)
        self.recorder.add_writer(writer)
        return writer

    def limit_concurrency(self, fetches: int) -> int:
        """The number of concurrent fetches, at most `fetches`, that there are descriptors for. Raises UsageError."""
        fitting = ensure_fd_limit(fetches)
        if fitting < fetches:
            self.recorder.pause(Pause.STARVED, True)
            self.recorder.pause(Pause.STARVED, False)
        return fitting

    def attach(self, workers: EngineControl) -> None:
        """The engine is ready: start the recorder; from now on posted events reach the engine."""
        self.recorder.start(workers.wake, workers.post)
        self._workers = workers

    def post(self, event: Event) -> None:
        """Queue an event; a Stop also ends the recorder's wait for a full disk."""
        if isinstance(event, Stop):
            self.recorder.hurry()
        super().post(event)

    def log_urls(self, form: UrlLogFormat) -> None:
        """Write a line for each URL that has ended in a step."""
        super().log_urls(form)
        if form:
            self.recorder.observe(UrlLog(form).see)

    def track_in_flight(self) -> None:
        """Keep `in_flight` up to date, step by step."""
        self.recorder.observe(self.in_flight.see)


def open_processor(
    settings: Settings, scope: Scope, shares: Shares = ROOMY, folder: Path | None = None
) -> PageProcessor:
    """The PageProcessor of a process with this share of memory; also sets the process-wide limit on bodies. `folder` is
    that of the crawl, which may be a re-crawl. The caller closes it."""
    from crawler.pipeline.sandbox.client import HeavyReader

    large_blocks_apart()
    BODIES.bound(shares.bodies, shares.alone)
    heavy = HeavyReader(settings, shares.page)
    secrets = headers_by_origin(settings.headers, settings.credentials)
    return PageProcessor(
        settings,
        scope,
        settings.max_body,
        settings.attempt_header,
        settings.spin,
        heavy,
        secrets,
        _known(settings, folder),
        ReadingKeeper(folder, settings) if folder is not None else None,
    )


def _known(settings: Settings, folder: Path | None) -> Revalidation | None:
    """What earlier generations of a crawl know; None in a first crawl."""
    known = open_known(folder) if folder is not None else None
    if folder is None or known is None:
        return None
    store = open_pages(settings, folder, manifest.read(folder).seed)
    return Revalidation(known, store, settings.revalidate_every, read_by(settings))


def cores() -> int:
    """The number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
