"""One shard of `ray`: what a process of `prefork` runs, on the event loop of a Ray actor.

Rules:
- Messages are calls of the actor: `take` brings frames from the driver, `frames` is answered with those for it. Ray
  does not keep the order of calls to an async actor, so frames are numbered.
- Ray neither restarts the actor nor repeats a call: the driver starts another, which resumes from the frontier.
- On one machine, where frontiers are files, a shard has a lock. So a predecessor that is not quite gone cannot write
  beside it; in PostgreSQL the fence sees to that.
- Ray leaves the process of an actor running when its raylet is killed. So it exits by itself when the driver has not
  asked for frames for a lease, or a frame from it is missing: the driver is gone, or takes this shard for dead. Time in
  which the process was stopped does not count.
- The monotonic clock is that of a machine. Times in messages are on the driver's; `shift` converts.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from time import monotonic, time

import msgspec
from msgspec.structs import replace

from crawler.core.messages import HostNoteShared
from crawler.storage.directory_lock import LOCK
from crawler.storage.frontier.answers import to_clock
from crawler.storage.opening import frontier_path
from crawler.system import clock
from crawler.system.file_lock import FileLock
from crawler.system.gc_tuning import reduced_gc
from crawler.system.logs import capture_library_logs
from variants.channel import ControlMessage
from variants.shard_worker import ArbiterClient, ShardSpec, crawl_shard

LOCK_PATIENCE = 30.0
CHECKS = 10
"""Checks in a lease whether the driver still takes part."""
_encode = msgspec.msgpack.Encoder().encode


class Outbox:
    """Frames for the driver, until it asks for them."""

    def __init__(self) -> None:
        self._frames: list[bytes] = []
        self._changed = asyncio.Event()
        self._asked = False
        self._asking = 0
        self.on_close: Callable[[], None] = lambda: None

    def send(self, messages: Sequence[ControlMessage]) -> None:
        """Keep messages, as one frame."""
        if messages:
            self._frames.append(_encode(messages))
            self._changed.set()

    def close(self) -> None:
        """There will be no more."""
        self._changed.set()
        self.on_close()

    async def take(self) -> list[bytes]:
        """All frames, once there are some."""
        self._asked = True
        self._asking += 1
        try:
            await self._changed.wait()
        finally:
            self._asking -= 1
        self._changed.clear()
        frames, self._frames = self._frames, []
        return frames

    def was_asked(self) -> bool:
        """Whether the driver has asked for frames since the last call of this, or waits for some."""
        asked, self._asked = self._asked or self._asking > 0, False
        return asked


class ShardActor:
    """The actor: made with an encoded ShardSpec and the boot id of the driver's machine."""

    def __init__(self, encoded: bytes, boot: str) -> None:
        self._spec = msgspec.json.decode(encoded, type=ShardSpec)
        self._same_machine = boot == clock.boot()
        self._next = 0
        self._early: dict[int, bytes] = {}
        self._client: ArbiterClient | None = None
        self._ready = asyncio.Event()
        self._outbox: Outbox | None = None
        self._watch: asyncio.Task[None] | None = None

    async def crawl(self) -> None:
        """Crawl the shard to its end."""
        capture_library_logs()
        spec, shift = self._spec, 0.0
        if not self._same_machine:
            own = time() - monotonic()
            shift = spec.to_unix - own
            verdicts = tuple(
                HostNoteShared(to_clock(one.note, shift)) if isinstance(one, HostNoteShared) else one
                for one in spec.verdicts
            )
            spec = replace(spec, to_unix=own, verdicts=verdicts)
        self._outbox = Outbox()
        self._client = ArbiterClient(spec.index, asyncio.get_running_loop(), self._outbox, shift)
        self._outbox.on_close = self._client.closed
        self._ready.set()
        self._take_early()
        self._watch = asyncio.get_running_loop().create_task(self._exit_when_forgotten(self._outbox))
        with ExitStack() as stack:
            if spec.settings.frontier == "sqlite":
                lock = FileLock(frontier_path(Path(spec.folder), spec.index).parent / LOCK)
                await asyncio.to_thread(lock.acquire, f"shard {spec.index}", LOCK_PATIENCE)
                stack.callback(lock.release)
            stack.enter_context(reduced_gc())
            await crawl_shard(spec, self._client)

    async def _exit_when_forgotten(self, outbox: Outbox) -> None:
        missed, waits_for = 0, -1
        while missed < CHECKS:
            await asyncio.sleep(self._spec.settings.lease / CHECKS)
            lacks_frame = bool(self._early) and waits_for == self._next
            waits_for = self._next
            missed = 0 if outbox.was_asked() and not lacks_frame else missed + 1
        os._exit(1)

    async def take(self, number: int, frame: bytes) -> None:
        """A frame from the driver; they are numbered from 0."""
        self._early[number] = frame
        self._take_early()

    def _take_early(self) -> None:
        while self._client is not None and self._next in self._early:
            self._client.on_frame(self._early.pop(self._next))
            self._next += 1

    async def frames(self) -> list[bytes]:
        """The frames for the driver, once there are some."""
        await self._ready.wait()
        assert self._outbox is not None
        return await self._outbox.take()
