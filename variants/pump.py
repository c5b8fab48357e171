"""The main loop that all engines share, with and without await: decide, record, work, repeat.

An engine is only a `Workers`: it takes a `Fetch` to a thread, task or process and brings an event back. `run` and
`arun` are the same lines but for `await`; neither knows which engine it drives.
"""

from __future__ import annotations

from time import monotonic
from typing import Protocol

from crawler.core.crawl import Crawl
from crawler.core.messages import Event, Fetch
from crawler.core.reasons import Ending
from crawler.runtime.recorder import Recorder

SIGNAL_POLL_S = 1.0
"""The longest wait, in seconds, of the thread that receives signals. A signal that arrives just before the wait begins
does not end it: CPython only sets a flag, and runs the handler when the wait returns."""


class Workers(Protocol):
    """What a blocking engine implements."""

    @property
    def room(self) -> int:
        """How many more fetches it can hold now."""

    @property
    def in_flight(self) -> int:
        """How many it holds."""

    def exchange(self, fetches: list[Fetch], until: float | None) -> list[Event]:
        """Start these fetches; return on a landing, a posted event, `wake`, or at `until` (monotonic clock)."""

    def post(self, event: Event) -> None:
        """Queue an event, from any thread or signal handler; ends the wait."""

    def wake(self) -> None:
        """End the wait, from any thread."""


class AsyncWorkers(Protocol):
    """`Workers` for an event loop."""

    @property
    def room(self) -> int:
        """How many more fetches it can hold now."""

    @property
    def in_flight(self) -> int:
        """How many it holds."""

    async def exchange(self, fetches: list[Fetch], until: float | None) -> list[Event]:
        """See `Workers.exchange`."""

    def post(self, event: Event) -> None:
        """See `Workers.post`."""

    def wake(self) -> None:
        """See `Workers.wake`."""


def run(crawl: Crawl, workers: Workers, recorder: Recorder, first: list[Event]) -> Ending:
    """Drive a crawl to its ending. `first` are the events it begins with. Raises StorageError."""
    actions = crawl.step(first, room=recorder.room_for(workers.room, workers.in_flight), now=monotonic())
    while actions.ending is None:
        recorder.keep(actions)
        events = workers.exchange(actions.fetches, recorder.wait_until(actions.wake_at))
        actions = crawl.step(events, room=recorder.room_for(workers.room, workers.in_flight), now=monotonic())
    recorder.keep(actions)
    return actions.ending


async def arun(crawl: Crawl, workers: AsyncWorkers, recorder: Recorder, first: list[Event]) -> Ending:
    """`run` on an event loop."""
    actions = crawl.step(first, room=recorder.room_for(workers.room, workers.in_flight), now=monotonic())
    while actions.ending is None:
        recorder.keep(actions)
        events = await workers.exchange(actions.fetches, recorder.wait_until(actions.wake_at))
        actions = crawl.step(events, room=recorder.room_for(workers.room, workers.in_flight), now=monotonic())
    recorder.keep(actions)
    return actions.ending
