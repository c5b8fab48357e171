"""The stream of events: what has changed, to every client that listens, as Server-Sent Events.

Rules:
- An event is encoded once; all clients share its bytes. So a client costs no more than MOST_QUEUED references.
- Nobody waits for a client: whose queue is full is dropped, and its queue is freed at once.
- Every event has an id. A client that comes back with the last one it has seen gets what it missed, as far as HISTORY
  goes; where that is not far enough, or the service was started anew, it gets a `reset` and reads everything again.
- Progress is a snapshot that is soon outdated: it is sent, but not kept.
- One event loop only: nothing here is locked.

Format: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from secrets import token_hex
from typing import TYPE_CHECKING, NamedTuple

import msgspec

if TYPE_CHECKING:
    from crawler.service.records import ServiceEvent

HISTORY = 1000
"""Events that are kept for clients that come back."""
MOST_QUEUED = 256
"""Events that may wait for one client."""
CHUNK = 64 * 1024
RESET = b"event: reset\ndata: {}\n\n"
Wanted = Callable[["ServiceEvent"], bool]


class _Frame(NamedTuple):
    """An event with its number, as it is sent."""

    number: int
    event: ServiceEvent
    sent: bytes


class Subscription:
    """The events of one client. `over`: it gets no more, because it was too slow or the service stops."""

    def __init__(self, wanted: Wanted, most: int) -> None:
        self.over = False
        self._wanted = wanted
        self._most = most
        self._frames: deque[bytes] = deque()
        self._filled = asyncio.Event()

    def offer(self, frame: _Frame) -> None:
        """Queue an event that this client wants; it is dropped where its queue is full."""
        if self.over or not self._wanted(frame.event):
            return
        if len(self._frames) >= self._most:
            self.end()
            return
        self._frames.append(frame.sent)
        self._filled.set()

    def end(self) -> None:
        """Send nothing more."""
        self.over = True
        self._frames.clear()
        self._filled.set()

    def catch_up(self, missed: Iterable[bytes]) -> None:
        """Queue what the client has missed, beyond what may wait."""
        self._frames.extend(missed)
        self._most += len(self._frames)

    async def take(self, seconds: float) -> bytes:
        """What waits, as soon as there is something, about CHUNK bytes of it; b"" after so many seconds without."""
        if not self._frames and not self.over:
            try:
                async with asyncio.timeout(seconds):
                    await self._filled.wait()
            except TimeoutError:
                return b""
        self._filled.clear()
        taken, size = list[bytes](), 0
        while self._frames and size < CHUNK:
            taken.append(self._frames.popleft())
            size += len(taken[-1])
        return b"".join(taken)


class Broadcast:
    """Sends events to every subscription. `closed`: the service stops, so every long answer ends."""

    def __init__(self, history: int = HISTORY, most_queued: int = MOST_QUEUED) -> None:
        self._epoch = token_hex(4)
        self._number = 0
        self._kept: deque[_Frame] = deque(maxlen=history)
        self._dropped = 0
        self._most_queued = most_queued
        self._subscriptions: set[Subscription] = set()
        self._watchers: list[Callable[[ServiceEvent], None]] = []
        self.closed = False

    def __len__(self) -> int:
        """How many clients listen."""
        return len(self._subscriptions)

    def publish(self, event: ServiceEvent) -> None:
        """Send an event to all who want it."""
        for see in self._watchers:
            see(event)
        self._number += 1
        if event.type == "progress" and not self._subscriptions:
            return
        sent = b"id: %s-%d\nevent: %s\ndata: %s\n\n" % (
            self._epoch.encode(),
            self._number,
            event.type.encode(),
            msgspec.json.encode(event),
        )
        frame = _Frame(self._number, event, sent)
        if event.type != "progress":
            if len(self._kept) == self._kept.maxlen:
                self._dropped = self._kept[0].number
            self._kept.append(frame)
        for one in self._subscriptions:
            one.offer(frame)

    def watch(self, see: Callable[[ServiceEvent], None]) -> None:
        """Call a function of this process with every event from now on. It must be quick and raise nothing."""
        self._watchers.append(see)

    @contextmanager
    def subscribe(self, last_id: str = "", wanted: Wanted = lambda event: True) -> Iterator[Subscription]:
        """Context manager: the events from now on, after those since `last_id` ("": none)."""
        one = Subscription(wanted, self._most_queued)
        if last_id:
            self._catch_up(one, last_id, wanted)
        self._subscriptions.add(one)
        if self.closed:
            one.end()
        try:
            yield one
        finally:
            self._subscriptions.discard(one)

    def close(self) -> None:
        """End every subscription, so that no open stream holds the shutdown."""
        self.closed = True
        for one in self._subscriptions:
            one.end()

    def _catch_up(self, one: Subscription, last_id: str, wanted: Wanted) -> None:
        epoch, _, text = last_id.rpartition("-")
        number = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else -1
        if epoch != self._epoch or not self._dropped <= number <= self._number:
            one.catch_up([RESET])
            return
        one.catch_up(frame.sent for frame in self._kept if frame.number > number and wanted(frame.event))
