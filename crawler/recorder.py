"""Keeps what the Crawl decided: pages first, then one frontier transaction per batch, on a thread of its own.

Rules:
- Order: every writer of this process flushes, then the frontier commits the batch that names their records.
- A batch closes when the thread is free and CLOSE_AT URLs have settled, something urgent is in it (a rest that a server
  asked for), mail for another shard is MAIL_AGE old, or MAX_AGE seconds have passed. From MAX_UNCOMMITTED waiting
  settled URLs on `room` is 0 and only what is in flight still lands: a kill re-fetches no more than what was in flight
  then plus these. Mail leaves after its batch is safe.
- Back-pressure is a number: `room` falls to 0 when the disk is behind or a consumer is; `wake` is called when it rises
  again.
- A full disk is waited for (`disk_wait` seconds), everything else that the disk refuses is raised in the pump's thread.
- Monotonic times become Unix times here, on the way to the disk, and back on resume.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from time import monotonic, time

from msgspec.structs import replace

from crawler.core.messages import Actions, Discovered, Event, HostNote, Mail, Resumed
from crawler.core.seen import mark
from crawler.database import keep_trying
from crawler.errors import StorageError
from crawler.frontier.base import Batch, Frontier
from crawler.stats import RunStats
from crawler.store.base import Writer

CLOSE_AT = 32
MAX_UNCOMMITTED = 64
MAX_AGE = 1.0
URGENT_AGE = 0.002
MAIL_AGE = 0.02
MAX_BUFFERED = 64 * 1024 * 1024
PLENTY = 1 << 30


class Recorder:
    """The memory of one run. `keep` and `room` belong to the pump's thread."""

    def __init__(self, frontier: Frontier, seed: int, disk_wait: float = 0.0) -> None:
        self.stats = RunStats()
        self.records: dict[str, int] = {}
        self.first_fetch_at: float | None = None
        self.last_commit_at: float | None = None
        self._frontier = frontier
        self._seed = seed
        self._disk_wait = disk_wait
        self._writers: list[Writer] = []
        self._observers: list[Callable[[Actions], None]] = []
        self._brakes: list[Callable[[], bool]] = []
        self._wake: Callable[[], None] = lambda: None
        self._send: Callable[[list[Mail]], None] = lambda mail: None
        self._changed = threading.Condition()
        self._batch = Batch()
        self._batch_due = 0.0
        self._uncommitted = 0
        self._closing = self._starving = self._hurried = False
        self._clean = True
        self._failure: StorageError | None = None
        self._thread = threading.Thread(target=self._work, name="recorder", daemon=True)

    # ---- set up and resume -------------------------------------------------------------------------------------------

    def add_writer(self, writer: Writer) -> None:
        """Flush this writer before every commit."""
        self._writers.append(writer)

    def observe(self, observer: Callable[[Actions], None]) -> None:
        """Call with every Actions, in the pump's thread."""
        self._observers.append(observer)

    def brake(self, full: Callable[[], bool]) -> None:
        """Another reason for `room` to be 0; whoever lets go of it wakes the workers itself."""
        self._brakes.append(full)

    def after_commit(self, send: Callable[[list[Mail]], None]) -> None:
        """Call with the mail of each batch, maybe none, once it is safe; on the writer thread."""
        self._send = send

    def start(self, wake: Callable[[], None]) -> None:
        """Begin to write; `wake` ends a wait of the workers from any thread."""
        self._wake = wake
        self._thread.start()

    def resume(self, seeds: Iterable[str], again: bool) -> list[Event]:
        """The first events of a run: what an earlier run left, then the seeds (those already admitted change nothing).

        `again`: there was an earlier run. It may have been killed before its first commit and yet have asked hosts.
        """
        events: list[Event] = []
        if again:
            to_monotonic = monotonic() - time()
            tally = self._frontier.tally()
            resumed = Resumed(
                marks=frozenset(mark(url, self._seed) for url in self._frontier.urls()),
                links=tuple(self._frontier.owed()),
                notes=tuple(_shifted(note, to_monotonic) for note in self._frontier.notes()),
                next_id=self._frontier.next_id(),
                fetched=tally.urls,
                size=tally.bytes,
                outbox=tuple(self._frontier.outbox()),
            )
            self.stats.queued = len(resumed.links)
            events.append(resumed)
        events.append(Discovered(tuple(seeds)))
        return events

    # ---- the pump's side ---------------------------------------------------------------------------------------------

    def keep(self, actions: Actions) -> None:
        """Remember what a step decided. Raises StorageError where an earlier batch could not be kept."""
        self._raise_failure()
        if actions.fetches and self.first_fetch_at is None:
            self.first_fetch_at = monotonic()
        self.stats.queued += len(actions.queued)
        if actions.mail:
            self.stats.queued += len(actions.mail.adopted) - len(actions.mail.passed)
        self.stats.add(actions.settled)
        for observer in self._observers:
            observer(actions)
        if actions.queued or actions.settled or actions.retries or actions.notes or actions.mail:
            self._add(actions)

    def _add(self, actions: Actions) -> None:
        pages = 0
        for end in actions.settled:
            pages += end.attempts > 0
            if end.part:
                self.records[end.part] = self.records.get(end.part, 0) + 1
        with self._changed:
            batch = self._batch
            first = not batch
            if first:
                self._batch_due = monotonic() + MAX_AGE
            batch.add(actions)
            self._clean = False
            self._uncommitted += pages
            if actions.notes:
                self._batch_due = min(self._batch_due, monotonic() + URGENT_AGE)
            elif actions.mail:
                self._batch_due = min(self._batch_due, monotonic() + MAIL_AGE)
            if first or actions.notes or actions.mail or self._uncommitted >= CLOSE_AT:
                self._changed.notify()

    @property
    def room(self) -> int:
        """How many fetches the disk allows: plenty, or none."""
        self._raise_failure()
        if any(full() for full in self._brakes):
            return 0
        with self._changed:  # so that the commit that makes room cannot slip in between looking and saying so
            buffered = sum(writer.buffered for writer in self._writers)
            self._starving = self._uncommitted >= MAX_UNCOMMITTED or buffered >= MAX_BUFFERED
            return 0 if self._starving else PLENTY

    @property
    def clean(self) -> bool:
        """All that was kept is safe. If not, it is being seen to: `after_commit` tells."""
        with self._changed:
            if self._batch:
                self._batch_due = 0.0
                self._changed.notify()
            return self._clean

    def hurry(self) -> None:
        """Somebody wants to stop: a full disk is no longer waited for. Safe in a signal handler."""
        self._hurried = True

    def close(self) -> None:
        """Commit what is left and end the thread. Raises StorageError."""
        if self._thread.ident is not None:
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
        except BaseException as error:
            self._failure = StorageError(f"the recorder failed: {type(error).__name__}: {error}")
        self._wake()

    def _next_batch(self) -> Batch:
        """Wait until a batch is due. While nothing waits the thread sleeps for good."""
        with self._changed:
            while not self._closing and self._uncommitted < CLOSE_AT:
                wait = None if not self._batch else self._batch_due - monotonic()
                if wait is not None and wait <= 0:
                    break
                self._changed.wait(wait)
            batch, self._batch = self._batch, Batch()
            return batch

    def _commit(self, batch: Batch) -> bool:
        """Make one batch durable; False after the last."""
        closing = self._closing
        to_unix = time() - monotonic()
        batch.notes = [_shifted(note, to_unix) for note in batch.notes]
        keep_trying(lambda: self._write(batch), self._disk_wait, lambda: self._hurried)
        self.last_commit_at = monotonic()
        pages = sum(1 for end in batch.settled if end.attempts)
        with self._changed:
            starving, self._starving = self._starving, False
            self._uncommitted -= pages
            left = bool(self._batch)
            self._clean = not left
        self._send(batch.mail)
        if starving:
            self._wake()
        return left or not closing

    def _write(self, batch: Batch) -> None:
        for writer in self._writers:
            writer.flush()
        self._frontier.commit(batch, time())


def _shifted(note: HostNote, seconds: float) -> HostNote:
    """A note on another clock."""
    return replace(note, robots_until=note.robots_until + seconds, rest_until=note.rest_until + seconds)
