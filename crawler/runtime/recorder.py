"""Persists the decisions of the Crawl: pages first, then one frontier transaction per batch, on a thread of its own.

Rules:
- Order: every writer of this process flushes, then the frontier commits the batch that names their records.
- A batch closes when the thread is free and CLOSE_AT URLs have settled, or it is old enough: URGENT_AGE seconds where
  it has a delay that a server asked for, ANSWER_AGE where it has a query to the frontier or output for another shard
  (sent after the commit), else MAX_AGE. From MAX_UNCOMMITTED uncommitted settled URLs on, `room` is 0 and only fetches
  in flight still finish: a kill re-fetches no more than these plus what was in flight.
- Back-pressure is a number: `room` falls to 0 when the disk or a consumer is behind; `wake` is called when it rises
  again.
- On a full disk, or without its database or object store, it retries for `disk_wait` seconds, and it waits for a lock
  of another process; every other storage error is raised in the pump's thread.
- Monotonic times become Unix times here, on the way to the disk, and back on resume, by one offset for a whole run
  (crawler/system/clock.py).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from time import monotonic, time
from typing import TypeVar

from crawler.core.bounds import PLENTY
from crawler.core.messages import Actions, Discovered, Event, Link, Resumed, ShardOutput
from crawler.core.reasons import Pause
from crawler.core.traps.domain_limits import HOME
from crawler.core.urls.canonical import host_of
from crawler.core.urls.seen import marks
from crawler.errors import CrawlerError, OutOfMemory, StorageError
from crawler.metrics.counters import RunStats
from crawler.storage.database import retry_storage
from crawler.storage.frontier.answers import answers, cookies_to_clock, to_clock
from crawler.storage.frontier.base import Batch, Frontier, empty
from crawler.storage.pages.base import Writer
from crawler.system.failpoints import passing
from crawler.system.memory_shortage import despite_shortage
from crawler.system.threads import NO_LOCK, start_thread

T = TypeVar("T")
CLOSE_AT = 32
MAX_UNCOMMITTED = 64
MAX_AGE = 1.0
URGENT_AGE = 0.002
ANSWER_AGE = 0.02
MAX_BUFFERED = 64 * 1024 * 1024
MOST_MARKS = 1_000_000  # a second of work


class Recorder:
    """Persists one run. `keep` and `room` belong to the pump's thread."""

    def __init__(
        self,
        frontier: Frontier,
        seed: int,
        disk_wait: float = 0.0,
        most_marks: int = MOST_MARKS,
        to_unix: float | None = None,
    ) -> None:
        self.stats = RunStats()
        self.records: dict[str, int] = {}
        self._frontier = frontier
        self._seed = seed
        self._disk_wait = disk_wait
        self.to_unix = time() - monotonic() if to_unix is None else to_unix
        self._most_marks = min(most_marks, MOST_MARKS)
        self._writers: list[Writer] = []
        self._observers: list[Callable[[Actions], object]] = []
        self._brakes: list[Callable[[], int]] = []
        self._most: Callable[[], int] = lambda: PLENTY
        self._room_at: Callable[[], float | None] | None = None
        self._max_buffered = MAX_BUFFERED
        self._wake: Callable[[], None] = lambda: None
        self._post: Callable[[Event], None] = lambda event: None
        self._tell_pause: Callable[[Pause, bool], None] = lambda why, lasts: None
        self._send: Callable[[list[ShardOutput]], None] = lambda output: None
        self._changed = threading.Condition()
        self._batch = Batch()
        self._batch_due = 0.0
        self._new: list[Link] = []
        self._uncommitted = 0
        self._closing = self._starving = self._hurried = False
        self._clean = True
        self._failure: CrawlerError | None = None
        self._no_memory = OutOfMemory()  # made while there is some
        self._thread: threading.Thread | None = None

    # ---- set up and resume -------------------------------------------------------------------------------------------

    def add_writer(self, writer: Writer) -> None:
        """Flush this writer before every commit."""
        self._writers.append(writer)

    def observe(self, observer: Callable[[Actions], object]) -> None:
        """Call `observer` with every Actions, in the pump's thread."""
        self._observers.append(observer)

    def add_limiter(self, room: Callable[[], int]) -> None:
        """Add a bound on `room`; the limiter itself must wake the workers when it rises."""
        self._brakes.append(room)

    def limit_by_time(self, room: Callable[[], int], room_at: Callable[[], float | None]) -> None:
        """Add a bound on `room` that rises by itself: `room_at` tells when it next does, None for no matter."""
        self._brakes.append(room)
        self._room_at = room_at

    def limit_in_flight(self, most: Callable[[], int]) -> None:
        """Bound the fetches in flight; the limiter itself must wake the workers when the bound rises."""
        self._most = most

    def hold_at_most(self, size: int) -> None:
        """Set the bytes of buffered pages from which `room` is 0, at most MAX_BUFFERED."""
        self._max_buffered = min(MAX_BUFFERED, size)

    def on_pause(self, tell: Callable[[Pause, bool], None]) -> None:
        """Call `tell` when a pause begins and ends, from any thread."""
        self._tell_pause = tell

    def after_commit(self, send: Callable[[list[ShardOutput]], None]) -> None:
        """Call `send` with what each batch has for other shards, maybe none, after its commit; on the writer thread."""
        self._send = send

    def start(self, wake: Callable[[], None], post: Callable[[Event], None]) -> None:
        """Start the writer thread; `wake` wakes the workers, `post` sends them an event, from any thread."""
        self._wake = wake
        self._post = post
        self._thread = start_thread(self._work, "recorder")

    def resume(self, seeds: Iterable[str], again: bool) -> list[Event]:
        """The first events of a run: what an earlier run left, then the seeds (those already admitted change nothing).

        `again`: there was an earlier run. It may have been killed before its first commit, after its first requests.
        """
        events: list[Event] = []
        if again:
            resumed = self._patiently(lambda: resumption(self._frontier, self._seed, self._most_marks, -self.to_unix))
            self.stats.queued = resumed.owed
            events.append(resumed)
        events.append(Discovered(tuple(seeds)))
        return events

    # ---- the pump's side ---------------------------------------------------------------------------------------------

    def keep(self, actions: Actions) -> None:
        """Add the decisions of a step to the batch. Raises StorageError or OutOfMemory where an earlier batch could not
        be committed."""
        self._raise_failure()
        if actions.fetches and self.stats.first_fetch_at is None:
            self.stats.first_fetch_at = monotonic()
        self.stats.add(actions.settled)
        for observer in self._observers:
            observer(actions)
        if not empty(actions):
            self._add(actions)

    def _add(self, actions: Actions) -> None:
        pages = 0
        for end in actions.settled:
            pages += end.attempts > 0
            if end.part:
                self.records[end.part] = self.records.get(end.part, 0) + 1
        with self._changed:
            batch = self._batch
            first = empty(batch)
            if first:
                self._batch_due = monotonic() + MAX_AGE
            batch.add(actions)
            self._clean = False
            self.stats.queued += len(actions.queued)
            if actions.output:
                self.stats.queued -= len(actions.output.transferred)
            self._uncommitted += pages
            due = self._batch_due
            if actions.notes:
                self._batch_due = min(due, monotonic() + URGENT_AGE)
            elif actions.refill_requests or actions.undetermined or actions.search is not None or actions.output:
                self._batch_due = min(due, monotonic() + ANSWER_AGE)
            if first or self._batch_due < due or self._uncommitted >= CLOSE_AT:
                self._changed.notify()

    @property
    def room(self) -> int:
        """How many fetches the disk and the limiters allow; PLENTY where there is no bound."""
        self._raise_failure()
        most = min((room() for room in self._brakes), default=PLENTY)
        if most == 0:
            return 0
        with self._changed:  # so that a commit cannot make room between the check and setting `_starving`
            buffered = sum(writer.buffered for writer in self._writers)
            self._starving = self._uncommitted >= MAX_UNCOMMITTED or buffered >= self._max_buffered
            return 0 if self._starving else most

    def room_for(self, free: int, in_flight: int) -> int:
        """How many more fetches may start in an engine with `free` slots and `in_flight` fetches."""
        return min(free, self.room, self._most() - in_flight)

    def wait_until(self, wake_at: float | None) -> float | None:
        """The end of a wait that may last until `wake_at`: a limiter may allow more before."""
        room_at = self._room_at() if self._room_at else None
        return wake_at if room_at is None or (wake_at is not None and wake_at < room_at) else room_at

    @property
    def clean(self) -> bool:
        """Whether all that was kept is committed. If not, a commit starts now; the `after_commit` callback follows."""
        with self._changed:
            if not empty(self._batch):
                self._batch_due = 0.0
                self._changed.notify()
            return self._clean

    def pause(self, why: Pause, lasts: bool) -> None:
        """A pause begins (it is then counted in the next batch) or ends. From any thread."""
        self._tell_pause(why, lasts)
        if lasts:
            with self._changed:
                if empty(self._batch):  # then the thread waits without a timeout
                    self._batch_due = monotonic() + MAX_AGE
                    self._changed.notify()
                self._batch.pauses.append(why)

    def hurry(self) -> None:
        """Stop waiting for a full disk, because the run is to stop. Safe in a signal handler."""
        self._hurried = True

    def close(self) -> None:
        """Commit what is left and end the thread. Raises StorageError."""
        if self._thread is not None:
            with self._changed:
                self._closing = True
                self._changed.notify()
            self._thread.join()
        self._raise_failure()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    # ---- the writer thread -------------------------------------------------------------------------------------------

    def _work(self) -> None:
        try:
            while self._commit(self._next_batch()):
                pass
        except StorageError as error:
            self._failure = error
        except MemoryError:
            self._failure = self._no_memory
        except BaseException as error:
            self._failure = (
                self._no_memory
                if NO_LOCK in str(error)
                else StorageError(f"the recorder failed: {type(error).__name__}: {error}")
            )
        despite_shortage(self._wake)

    def _next_batch(self) -> Batch:
        """Wait until a batch is due; without a timeout while the batch is empty."""
        with self._changed:
            while not self._closing and self._uncommitted < CLOSE_AT:
                wait = None if empty(self._batch) else self._batch_due - monotonic()
                if wait is not None and wait <= 0:
                    break
                self._changed.wait(wait)
            batch, self._batch = self._batch, Batch()
            return batch

    def _commit(self, batch: Batch) -> bool:
        """Commit one batch; False after the last."""
        closing = self._closing
        batch.notes = [to_clock(note, self.to_unix) for note in batch.notes]
        batch.cookies = {home: cookies_to_clock(note, self.to_unix) for home, note in batch.cookies.items()}
        self._patiently(lambda: self._write(batch))
        self.stats.last_commit_at = monotonic()
        for event in self._patiently(lambda: self._answers(batch)):
            self._post(event)
        pages = sum(1 for end in batch.settled if end.attempts)
        with self._changed:
            starving, self._starving = self._starving, False
            self._uncommitted -= pages
            self.stats.queued += len(self._new)
            left = not empty(self._batch)
            self._clean = not left
        self._send(batch.outputs)
        if starving:
            self._wake()
        return left or not closing

    def _patiently(self, action: Callable[[], T]) -> T:
        return retry_storage(action, self._disk_wait, lambda: self._hurried, self.pause)

    def _answers(self, batch: Batch) -> list[Event]:
        return list(answers(self._frontier, batch, self._new, -self.to_unix))

    def _write(self, batch: Batch) -> None:
        for writer in self._writers:
            writer.flush()
        passing("recorder.flushed")
        self._new = self._frontier.commit(batch, time())
        passing("recorder.committed")


def resumption(frontier: Frontier, seed: int, most_marks: int, to_now: float) -> Resumed:
    """The state that an earlier run left in this frontier, with marks where there are at most `most_marks` URLs.
    `to_now` is the offset from Unix time to the clock of the Crawl, in seconds."""
    tally, left = frontier.tally(), frontier.left()
    return Resumed(
        marks=marks(frontier.urls(), seed) if tally.queued <= most_marks else None,
        owed=tally.owed,
        seeds_owed=left.seeds,
        next_id=frontier.next_id(),
        fetched=tally.urls + left.retries,
        size=tally.bytes,
        joined=left.joined,
        retried=left.retried,
        outbox=tuple(frontier.outbox()),
        cookies=tuple(cookies_to_clock(note, to_now) for note in frontier.cookies()),
        beyond=tuple({host_of(link.url) for link in frontier.beyond()} if tally.too_deep else ()),
        budgets=frontier.budgets(HOME),
    )
