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
from contextlib import closing
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from time import monotonic

import msgspec
from msgspec.structs import replace

from crawler.core.messages import Event, HostNote, HostNoteShared, Stop
from crawler.core.reasons import Ending
from crawler.core.shards.coordinator import Outgoing, Posted, ShardCoordinator, Status, Verdict
from crawler.core.shards.shard import Shard
from crawler.errors import StorageError, WorkersLost
from crawler.fetch import ASYNC_CLIENTS
from crawler.runtime.job import Job
from crawler.storage.directory import frontier_path
from crawler.storage.frontier.answers import to_clock
from crawler.storage.frontier.sqlite import SqliteFrontier
from crawler.system.file_limits import ensure_fd_limit
from variants import client_of, shards_of
from variants.async_loop import CONCURRENCY as CONCURRENCY
from variants.async_loop import loop_factory
from variants.channel import ShardChannel, ShardExit, ShardProgress, decode_to_arbiter
from variants.shard_worker import ShardSpec, serve
from variants.worker_process import PRELOADED, kill, spawn_errors, start_fork_server

CLIENTS = ASYNC_CLIENTS
MOST_DEATHS = 10
PATIENCE = 60.0
"""Seconds that a shard may be silent while it reads its frontier."""


class ShardProcess:
    """The arbiter's view of one shard."""

    def __init__(self, process: ForkServerProcess, channel: ShardChannel) -> None:
        self.process = process
        self.channel = channel
        self.last_message_at = monotonic()
        self.has_sent = False
        self.exit: ShardExit | None = None


class Arbiter:
    """Keeps a process per shard running, routes messages between shards, and detects the end of the crawl."""

    def __init__(self, job: Job, shards: int) -> None:
        self._job = job
        self._count = shards
        self._loop = asyncio.get_running_loop()
        self._shards: dict[int, ShardProcess] = {}
        self._incarnations = self._deaths = self._owed = 0
        self._is_stopped = self._stopping = False
        self._failure: Exception | None = None
        self._ended = asyncio.Event()
        settings = job.settings
        ensure_fd_limit(max(Shard(shard, shards).share(settings.concurrency or CONCURRENCY) for shard in range(shards)))
        started = sum(self._started(shard) for shard in range(shards))
        pages = None if settings.max_pages is None else settings.max_pages - started
        self._coordinator = ShardCoordinator(shards, pages, settings.max_bytes, self._verdicts())
        self._context = get_context("forkserver")
        self._context.set_forkserver_preload([PRELOADED])
        start_fork_server()

    async def run(self) -> Ending:
        """Run all shards to the ending. Raises StorageError, WorkersLost."""
        for shard in range(self._count):
            await self._spawn(shard)
        watch = self._loop.create_task(self._watch())
        try:
            await self._ended.wait()
        finally:
            watch.cancel()
            for one in self._shards.values():
                _end(one.process)
        if self._failure is not None:
            raise self._failure
        if not self._owed:
            return Ending.COMPLETE
        return Ending.STOPPED if self._is_stopped else Ending.LIMIT

    # ---- start and end ----------------------------------------------------------------------------------------------

    async def _spawn(self, shard: int) -> None:
        """Start a process for a shard, with all verdicts known so far."""
        started = self._started(shard)
        mine, theirs = socket.socketpair()
        channel = ShardChannel(lambda frame: self._on_message(shard, frame), lambda: self._lost(shard, channel))
        await self._loop.create_connection(lambda: channel, sock=mine)
        verdicts = self._coordinator.verdicts()
        outgoing = self._coordinator.shard_started(shard, started)
        spec = msgspec.json.encode(self._spec(shard, verdicts))
        process = self._context.Process(target=serve, args=(spec, theirs), name=f"shard-{shard}", daemon=True)
        try:
            with spawn_errors():
                process.start()
        except WorkersLost as error:
            channel.close()
            self._fail(error)
            return
        finally:
            theirs.close()
        self._incarnations += 1
        self._shards[shard] = ShardProcess(process, channel)
        self._pass_on(outgoing)
        if self._stopping:
            channel.send([Stop()])

    def _spec(self, shard: int, verdicts: list[Verdict]) -> ShardSpec:
        job, settings = self._job, self._job.settings
        share = Shard(shard, self._count).share(settings.concurrency or CONCURRENCY)
        return ShardSpec(
            settings=replace(settings, concurrency=share, client=client_of(settings)),
            folder=str(job.folder),
            seed=job.seed,
            run=job.run,
            index=shard,
            count=self._count,
            incarnation=self._incarnations,
            verdicts=tuple(verdicts),
            to_unix=job.recorder.to_unix,
            shares=replace(job.worker_shares, in_flight=share),
        )

    def _lost(self, shard: int, channel: ShardChannel) -> None:
        """The channel of a shard is closed: it has sent its ShardExit, or crashed."""
        one = self._shards.get(shard)
        if one is None or one.channel is not channel:
            return
        self._job.in_flight.elsewhere.pop(shard, None)
        if one.exit is None:
            _end(one.process)
            self._deaths += 1
            if self._deaths >= MOST_DEATHS:
                self._fail(
                    WorkersLost(
                        f"{MOST_DEATHS} shard processes died one after another and brought nothing to an end; "
                        "try --mode async, which shows why (out of memory? killed from outside?)"
                    )
                )
            elif not self._is_stopped:
                self._loop.create_task(self._spawn(shard)).add_done_callback(self._on_spawned)
                return
            self._owed += 1
        del self._shards[shard]
        if not self._shards:
            self._ended.set()

    def _on_spawned(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self._failure = self._failure or error
        self._ended.set()

    async def _watch(self) -> None:
        """Kill shards that are silent, stopped or stuck; `_lost` replaces them."""
        lease = self._job.settings.lease
        while True:
            await asyncio.sleep(min(1.0, lease / 4))
            for one in self._shards.values():
                if monotonic() - one.last_message_at > (lease if one.has_sent else max(PATIENCE, lease)):
                    kill(one.process)

    # ---- messages ----------------------------------------------------------------------------------------------------

    def _on_message(self, shard: int, frame: bytes) -> None:
        one = self._shards[shard]
        one.last_message_at, one.has_sent = monotonic(), True
        for message in decode_to_arbiter(frame):
            match message:
                case Posted():
                    self._pass_on([self._coordinator.route(message)])
                case HostNoteShared():
                    self._pass_on(self._coordinator.note(shard, message.note))
                case Status():
                    self._pass_on(self._coordinator.update_status(shard, message))
                    if self._coordinator.over:
                        self._stop()
                case ShardProgress():
                    self._count_in(shard, message)
                case ShardExit():
                    self._on_exit(one, message)

    def _pass_on(self, outgoing: Sequence[Outgoing]) -> None:
        for shard, message in outgoing:
            if shard in self._shards:
                self._shards[shard].channel.send([message])

    def _count_in(self, shard: int, progress: ShardProgress) -> None:
        if progress.counts.settled:
            self._deaths = 0
        self._job.recorder.stats.merge(progress.counts)
        self._job.in_flight.elsewhere[shard] = progress.pages, progress.hosts, progress.paused

    def _on_exit(self, one: ShardProcess, last: ShardExit) -> None:
        one.exit = last
        self._owed += last.owed
        recorder = self._job.recorder
        recorder.stats.lateness.merge(last.lateness)
        if last.first_fetch_at is not None:
            recorder.first_fetch_at = min(recorder.first_fetch_at or last.first_fetch_at, last.first_fetch_at)
        if last.last_commit_at is not None:
            recorder.last_commit_at = max(recorder.last_commit_at or 0.0, last.last_commit_at)
        if last.error:
            self._fail(StorageError(last.error))

    def _stop(self) -> None:
        if not self._stopping:
            self._stopping = True
            for one in self._shards.values():
                one.channel.send([Stop()])

    # ---- for outsiders -----------------------------------------------------------------------------------------------

    def post(self, event: Event) -> None:
        """Stop the crawl, from any thread or signal handler."""
        self._loop.call_soon_threadsafe(self._obey_stop)

    def _obey_stop(self) -> None:
        self._is_stopped = True
        self._stop()

    def wake(self) -> None:
        """Does nothing: the arbiter has no pump to wake."""

    # ---- what is on disk ---------------------------------------------------------------------------------------------

    def _frontier(self, shard: int) -> SqliteFrontier:
        return SqliteFrontier(frontier_path(Path(str(self._job.folder)), shard), read_only=True)

    def _started(self, shard: int) -> int:
        """Pages requested by all incarnations of a shard; 0 without `max_pages`."""
        if self._job.settings.max_pages is None:
            return 0
        with closing(self._frontier(shard)) as frontier:
            return frontier.tally().urls + frontier.left().retries

    def _verdicts(self) -> tuple[HostNote, ...]:
        notes: list[HostNote] = []
        for shard in range(self._count):
            with closing(self._frontier(shard)) as frontier:
                notes += [note for note in frontier.notes() if note.reach or note.joined]
        return tuple(to_clock(note, -self._job.recorder.to_unix) for note in notes)


def _end(process: ForkServerProcess) -> None:
    kill(process)
    process.join()


def run(job: Job) -> Ending:
    """Run a job on one process per shard. Raises StorageError, WorkersLost."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(_run(job))


async def _run(job: Job) -> Ending:
    arbiter = Arbiter(job, shards_of(job.settings))
    job.attach(arbiter)
    try:
        return await arbiter.run()
    finally:
        first, last = job.recorder.first_fetch_at, job.recorder.last_commit_at
        job.recorder.close()
        job.recorder.first_fetch_at, job.recorder.last_commit_at = first, last
