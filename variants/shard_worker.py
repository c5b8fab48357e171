"""One process of `prefork`: the whole crawl of one shard on an event loop, and a channel to the arbiter.

Rules:
- Messages for other shards are sent after they are committed to our frontier (`Recorder.after_commit`); verdicts before
  links.
- A Status is sent after each step that changes it. `quiet` is sent only when every decision is committed and sent, with
  the number of events read: the arbiter compares that with the number it has sent.
- Where the arbiter is gone the process exits at once, as after a kill. The next run resumes from its frontier.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Protocol

import msgspec

from crawler.core.messages import (
    Acknowledged,
    Actions,
    Event,
    HostNoteShared,
    LinksReceived,
    OutboxLink,
    QuotaGranted,
    ShardOutput,
)
from crawler.core.shards.coordinator import DomainQuotaWanted, Posted, Status, Verdict
from crawler.core.shards.shard import Shard
from crawler.errors import CallbackError, CrawlerError
from crawler.fetch.exhaustion import lacks_memory
from crawler.runtime.assembly import assemble, limited
from crawler.runtime.job import Job
from crawler.runtime.memory_plan import Shares
from crawler.runtime.url_log import UrlLogFormat
from crawler.settings import Settings
from crawler.storage.database import retry_storage
from crawler.storage.frontier.answers import to_clock
from crawler.storage.opening import open_frontier, open_pages
from crawler.system.failpoints import passing
from crawler.system.gc_tuning import reduced_gc
from crawler.system.threads import thread_errors
from variants.async_loop import arun, loop_factory
from variants.channel import ControlMessage, ShardChannel, ShardExit, ShardProgress, decode_to_shard
from variants.loop_workers import LoopWorkers
from variants.worker_process import init_child

PERIOD = 0.1
STEPS = 200


class ShardSpec(msgspec.Struct, frozen=True):
    """The parameters of a shard, sent when it starts. Verdicts use the monotonic clock, which all processes share."""

    settings: Settings
    folder: str
    seed: int
    run: int
    index: int
    count: int
    incarnation: int
    verdicts: tuple[Verdict, ...]
    to_unix: float
    shares: Shares
    url_log: UrlLogFormat = ""


def serve(encoded: bytes, channel: socket.socket) -> None:
    """Crawl one shard until it is done or the arbiter sends Stop, then exit. Never returns."""
    try:
        init_child()
        spec = msgspec.json.decode(encoded, type=ShardSpec)
        with reduced_gc(), asyncio.Runner(loop_factory=loop_factory(spec.settings.loop)) as runner:
            runner.run(_crawl(spec, channel))
    except Exception as error:
        if not isinstance(error, CrawlerError) and not lacks_memory(error):
            raise
        os._exit(1)  # as after a kill, the arbiter starts another or gives up after several
    os._exit(0)


async def _crawl(spec: ShardSpec, channel: socket.socket) -> None:
    client = ArbiterClient(spec.index, asyncio.get_running_loop())
    await client.begin(channel)
    await crawl_shard(spec, client)


async def crawl_shard(spec: ShardSpec, client: ArbiterClient) -> None:
    """Crawl one shard on the running loop until it is done or the arbiter sends Stop; tells it how that ended."""
    settings = spec.settings
    try:
        folder = Path(spec.folder)
        frontier = retry_storage(lambda: open_frontier(settings, folder, spec.seed, spec.index), settings.disk_wait)
        store = open_pages(settings, folder, spec.seed, settings.disk_wait)
        job = assemble(
            settings,
            spec.seed,
            frontier,
            store.writer,
            spec.shares,
            to_unix=spec.to_unix,
            number=spec.run,
            folder=folder,
            shard=Shard(spec.index, spec.count),
            incarnation=spec.incarnation,
            verdicts=spec.verdicts,
        )
        job.log_urls(spec.url_log)
        client.attach(job)
        with closing(frontier), limited(job), thread_errors():
            await arun(job, client.start)
        await client.end()
    except CrawlerError as error:
        await client.end(str(error), isinstance(error, CallbackError))


class Channel(Protocol):
    """The way to the arbiter."""

    def send(self, messages: Sequence[ControlMessage]) -> None:
        """Send messages, in order; does nothing once it is closed."""

    def close(self) -> None:
        """Close it once all is sent; then `closed` is called."""


class ArbiterClient:
    """A shard's side of its channel to the arbiter: messages both ways, and whether it is quiet. `shift`: seconds from
    the monotonic clock of the arbiter to ours, where that is another machine."""

    def __init__(
        self, index: int, loop: asyncio.AbstractEventLoop, channel: Channel | None = None, shift: float = 0.0
    ) -> None:
        self._index = index
        self._loop = loop
        self._job: Job | None = None
        self._closed = asyncio.Event()
        self._socket = ShardChannel(self.on_frame, self.closed)
        self._channel: Channel = channel or self._socket
        self._shift = shift
        self._workers: LoopWorkers | None = None
        self._early: list[Event] = []
        self._received = self._processed = self._uncommitted = 0
        self._last_output: ShardOutput | None = None
        self._last_status: Status | None = None
        self._over = False

    async def begin(self, channel: socket.socket) -> None:
        """Connect to the arbiter."""
        await self._loop.create_connection(lambda: self._socket, sock=channel)

    def attach(self, job: Job) -> None:
        """Report on this job from now on."""
        self._job = job
        recorder = job.recorder
        job.track_in_flight()
        recorder.observe(self._on_step)
        recorder.after_commit(self._on_commit)

    def start(self, workers: LoopWorkers) -> None:
        """Pass messages on to the crawl from now on, first those that came early."""
        self._workers = workers
        for event in self._early:
            workers.take(event)
        self._send_periodically()

    async def end(self, error: str = "", by_callback: bool = False) -> None:
        """Send the last message and close."""
        await asyncio.sleep(0)  # let the loop run `_after_commit` for the last commit
        self._over = True
        last = ShardExit(error=error, by_callback=by_callback)
        if self._job is not None:
            self._send_progress(self._job)
            stats = self._job.stats
            last = ShardExit(
                self._job.crawl.owed,
                self._to_arbiter(stats.first_fetch_at),
                self._to_arbiter(stats.last_commit_at),
                stats.lateness.message(),
                error,
                by_callback,
            )
        self._channel.send([last])
        self._channel.close()
        await self._closed.wait()

    def _to_arbiter(self, at: float | None) -> float | None:
        return None if at is None else at - self._shift

    # ---- receiving ---------------------------------------------------------------------------------------------------

    def on_frame(self, frame: bytes) -> None:
        """A frame of messages came."""
        for message in decode_to_shard(frame):
            self._received += 1
            if self._shift and isinstance(message, HostNoteShared):
                message = HostNoteShared(to_clock(message.note, self._shift))
            if isinstance(message, QuotaGranted):
                self._last_status = None  # a shard that wants more asks again
            if self._workers is None:
                self._early.append(message)
            else:
                self._workers.take(message)

    def closed(self) -> None:
        """The channel is closed. Where the arbiter closed it, this process exits."""
        if not self._over:
            os._exit(1)
        self._closed.set()

    # ---- sending -----------------------------------------------------------------------------------------------------

    def _on_step(self, actions: Actions) -> None:
        """Called after a step, which has taken every message received so far."""
        output = actions.output
        assert output is not None
        self._processed = self._received
        self._last_output = output
        self._uncommitted += bool(output)
        if output.domains:
            self._channel.send([DomainQuotaWanted(domain) for domain in output.domains])
        self._send_status(output.returned)

    def _on_commit(self, outputs: list[ShardOutput]) -> None:
        """Called on the recorder's thread."""
        self._loop.call_soon_threadsafe(self._after_commit, outputs)

    def _after_commit(self, outputs: list[ShardOutput]) -> None:
        messages: list[ControlMessage] = [
            HostNoteShared(to_clock(note, -self._shift)) for output in outputs for note in output.notes
        ]
        links: dict[int, list[OutboxLink]] = {}
        receipts: dict[int, list[int]] = {}
        for output in outputs:
            for foreign in output.foreign:
                links.setdefault(foreign.to, []).append(foreign)
            for sender, seq in output.received:
                receipts.setdefault(sender, []).append(seq)
        messages += [Posted(to, LinksReceived(self._index, tuple(some))) for to, some in links.items()]
        messages += [Posted(to, Acknowledged(tuple(seqs))) for to, seqs in receipts.items()]
        if messages:
            passing("outbox.send")
        self._channel.send(messages)
        if messages:
            passing("outbox.sent")
        self._uncommitted -= len(outputs)
        self._send_status()

    def _send_status(self, returned: int = 0) -> None:
        output, job = self._last_output, self._job
        if output is None or job is None:
            return
        quiet = output.quiet and job.recorder.clean and not self._uncommitted
        read = self._processed if quiet else 0
        status = Status(
            read, quiet, output.wants, returned, output.seeds_settled, _in_steps(output.size, job.settings.max_bytes)
        )
        if status != self._last_status:
            self._channel.send([status])
            self._last_status = status

    def _send_periodically(self) -> None:
        if self._job is not None and not self._over:
            self._send_progress(self._job)
            self._loop.call_later(PERIOD, self._send_periodically)

    def _send_progress(self, job: Job) -> None:
        seen = job.in_flight
        self._channel.send([ShardProgress(job.stats.take(), seen.pages, seen.hosts, seen.paused)])


def _in_steps(size: int, most: int | None) -> int:
    """Bytes rounded down to 1/STEPS of the limit, so that a Status is not sent per page; 0 without a limit."""
    if most is None:
        return 0
    step = max(1, most // STEPS)
    return size // step * step
