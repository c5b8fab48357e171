"""`prefork`: one event loop per core. An arbiter that does not crawl, and one process per shard that does.

The model of nginx. Each process is the whole `async` engine with its own frontier and its own part, so nothing is
shared and no process waits for another. Two things pass through the arbiter: links that belong to another shard, and
notes on hosts that concern all shards. core.shards.sharded and core.shards.coordinator decide; this module holds the
processes and channels.

Rules:
- Shards start from a fork server, each with its own channel. They inherit no open file or socket of this process.
- A shard that crashes, or sends nothing for a lease, is replaced by one that resumes from its frontier. MOST_DEATHS in
  a row without a settled URL stop the crawl: a further restart would fail the same way.
- After a Stop no shard is replaced. What a crashed shard owes is in its frontier, for the next run.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic

from crawler.core.messages import Event, HostNoteShared, LiveLimits, Stop
from crawler.core.reasons import Ending
from crawler.core.shards.coordinator import DomainQuotaWanted, Outgoing, Posted, ShardCoordinator, Status
from crawler.core.shards.shard import Shard
from crawler.errors import CallbackError, CrawlerError, StorageError, WorkersLost
from crawler.fetch import ASYNC_CLIENTS
from crawler.runtime.job import Run
from crawler.system.file_limits import ensure_fd_limit
from variants import shards_of
from variants.async_loop import CONCURRENCY as CONCURRENCY
from variants.async_loop import loop_factory
from variants.channel import ShardChannel, ShardExit, ShardProgress, decode_to_arbiter
from variants.shard_process import (
    RunningShard,
    ShardProcess,
    prepare_start,
    read_shards,
    requested_pages,
    spec_of,
    start_shard,
)
from variants.shard_worker import Channel, ShardSpec
from variants.supervision import FOREVER, DeathCount
from variants.worker_process import NO_START

CLIENTS = ASYNC_CLIENTS
MOST_DEATHS = 10
WATCH_PERIOD = 1.0


class Arbiter:
    """Keeps a process per shard running, routes messages between shards, and detects the end of the crawl."""

    def __init__(self, run: Run, shards: int) -> None:
        self._run = run
        self._loop = asyncio.get_running_loop()
        self._shards: dict[int, RunningShard] = {}
        concurrency = run.settings.concurrency or CONCURRENCY
        self._in_flight = [Shard(index, shards).share(concurrency) for index in range(shards)]
        self._deaths = DeathCount(MOST_DEATHS, simpler_mode="async")
        self._incarnations = self._owed = 0
        self._is_stopped = self._stopping = False
        self._has_started = False
        self._failure: Exception | None = None
        self._ended = asyncio.Event()
        ensure_fd_limit(max(self._in_flight))
        self._requested, verdicts, domains = read_shards(run, shards)
        most = run.settings.max_pages
        pages = None if most is None else most - sum(self._requested)
        self._coordinator = ShardCoordinator(
            shards, pages, run.settings.max_bytes, verdicts, run.settings.max_domain_pages, domains
        )

    async def run(self) -> Ending:
        """Run all shards to the ending. Raises CrawlerError, StorageError, WorkersLost."""
        for shard, requested in enumerate(self._requested):
            await self._spawn(shard, requested)
        watch = self._loop.create_task(self._watch())
        try:
            await self._ended.wait()
        finally:
            watch.cancel()
            for one in self._shards.values():
                one.end()
        if self._failure is not None:
            raise self._failure
        if not self._owed:
            return Ending.COMPLETE
        return Ending.STOPPED if self._is_stopped else Ending.LIMIT

    # ---- start and end ----------------------------------------------------------------------------------------------

    async def _spawn(self, shard: int, requested: int) -> None:
        """Start a shard that has requested so many pages before, with all verdicts known so far."""
        verdicts = self._coordinator.verdicts()
        outgoing = self._coordinator.shard_started(shard, requested)
        spec = spec_of(self._run, shard, self._in_flight, self._incarnations, verdicts)
        try:
            self._shards[shard] = await self._start(spec)
        except WorkersLost as error:
            self._fail(error)
            return
        self._incarnations += 1
        self._pass_on(outgoing)
        if self._stopping:
            self._shards[shard].channel.send([Stop()])

    async def _start(self, spec: ShardSpec) -> RunningShard:
        """Start a process for a shard, with a channel to it. Raises WorkersLost."""
        mine, theirs = socket.socketpair()
        channel = ShardChannel(
            lambda frame: self._on_message(spec.index, frame), lambda: self._lost(spec.index, channel)
        )
        await self._loop.create_connection(lambda: channel, sock=mine)
        try:
            return ShardProcess(start_shard(spec, theirs), channel, self._run.settings.lease)
        except WorkersLost:
            channel.close()
            raise
        finally:
            theirs.close()

    def _lost(self, shard: int, channel: Channel) -> None:
        """The channel of a shard is closed: it has sent its ShardExit, or crashed."""
        one = self._shards.get(shard)
        if one is None or one.channel is not channel:
            return
        self._run.in_flight.elsewhere.pop(shard, None)
        if one.exit is None:
            raised = not self._has_started and one.has_raised()  # before the kill, which would hide its exit status
            one.end()
            try:
                self._deaths.died()
            except WorkersLost as error:
                self._fail(CrawlerError(NO_START) if raised else error)
            else:
                if not self._is_stopped:
                    self._loop.create_task(self._spawn_again(shard)).add_done_callback(self._on_spawned)
                    return
            self._owed += 1
        del self._shards[shard]
        if not self._shards:
            self._ended.set()

    async def _spawn_again(self, shard: int) -> None:
        """Start a shard again. In a thread it may wait for a database, while the other shards are served."""
        await self._spawn(shard, await asyncio.to_thread(requested_pages, self._run, shard))

    def _on_spawned(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self._failure = self._failure or error
        self._ended.set()

    async def _watch(self) -> None:
        """Kill shards that are silent, stopped or stuck; `_lost` replaces them."""
        while True:
            now = monotonic()
            for one in self._shards.values():
                if one.answer_due <= now:
                    one.kill()
            due = min((one.answer_due for one in self._shards.values()), default=FOREVER)
            await asyncio.sleep(min(WATCH_PERIOD, max(0.0, due - now)))

    # ---- messages ----------------------------------------------------------------------------------------------------

    def _on_message(self, shard: int, frame: bytes) -> None:
        one = self._shards[shard]
        one.on_message()
        self._has_started = True
        for message in decode_to_arbiter(frame):
            match message:
                case Posted():
                    self._pass_on([self._coordinator.route(message)])
                case DomainQuotaWanted():
                    self._pass_on(self._coordinator.grant_domain(shard, message))
                case HostNoteShared():
                    self._pass_on(self._coordinator.note(shard, message.note))
                case Status():
                    self._pass_on(self._coordinator.update_status(shard, message))
                    if self._coordinator.over:
                        self._stop()
                case ShardProgress():
                    self._on_progress(shard, message)
                case ShardExit():
                    self._on_exit(one, message)

    def _pass_on(self, outgoing: Sequence[Outgoing]) -> None:
        for shard, message in outgoing:
            if shard in self._shards:
                self._shards[shard].channel.send([message])

    def _on_progress(self, shard: int, progress: ShardProgress) -> None:
        if progress.counts.settled:
            self._deaths.progressed()
        self._run.stats.merge(progress.counts)
        self._run.in_flight.elsewhere[shard] = progress.pages, progress.hosts, progress.paused
        try:
            self._run.on_change()
        except CallbackError as error:
            self._fail(error)

    def _on_exit(self, one: RunningShard, last: ShardExit) -> None:
        one.exit = last
        self._owed += last.owed
        self._run.stats.lateness.merge(last.lateness)
        self._run.stats.widen(last.first_fetch_at, last.last_commit_at)
        if last.error:
            self._fail((CallbackError if last.by_callback else StorageError)(last.error))

    def _stop(self) -> None:
        if not self._stopping:
            self._stopping = True
            for one in self._shards.values():
                one.channel.send([Stop()])

    # ---- from other threads ------------------------------------------------------------------------------------------

    def post(self, event: Event) -> None:
        """Stop or limit the crawl, from any thread or signal handler. Does nothing once it has ended."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._on_posted, event)

    def _on_posted(self, event: Event) -> None:
        match event:
            case Stop():
                self._is_stopped = True
                self._stop()
            case LiveLimits():
                self._pass_on(self._coordinator.limit(event))

    def wake(self) -> None:
        """Does nothing: the arbiter has no pump to wake."""


def run(run: Run) -> Ending:
    """Run a crawl on one process per shard. Raises StorageError, WorkersLost."""
    with asyncio.Runner(loop_factory=loop_factory(run.settings.loop)) as runner:
        return runner.run(_arbitrate(run))


async def _arbitrate(run: Run) -> Ending:
    prepare_start()
    arbiter = Arbiter(run, shards_of(run.settings))
    run.attach(arbiter)
    return await arbiter.run()
