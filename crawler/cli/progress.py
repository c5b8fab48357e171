"""Progress on stderr while a crawl runs: a live line on a terminal, a structured log line now and then elsewhere.

Rules:
- Read-only: its own thread reads, at most twice a second, counts that the recorder keeps anyway.
- The libraries that draw and log are imported on that thread, so a short crawl does not wait for them.
- The time left is shown only where it can be estimated: while the queue is not growing and no host has to rest between
  fetches. A polite crawl lasts as long as its largest host, whose size is unknown.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import monotonic

import msgspec

from crawler.cli.signals import Signals
from crawler.metrics.counters import InFlight, RunStats
from crawler.system.logs import open_log
from crawler.system.memory_shortage import wait_for
from crawler.system.text import duration, escape_unprintable, format_bytes
from crawler.system.threads import start_thread

LIVE_PERIOD = 0.5
LOG_PERIOD = 10.0
WINDOW = 10.0
PAUSES = {
    "outage": "the network seems to be away",
    "disk": "the disk is full or nearly full",
    "locked": "another program has locked the frontier",
    "starved": "this process has no file descriptor left",
    "memory": "memory is short, so fewer fetches are in flight",
}


class View(msgspec.Struct, frozen=True):
    """A snapshot of a run. `rate` is URLs settled after a fetch per second, over the last ten seconds; `eta` in
    seconds; `paused` is why no fetch starts, "" where fetches do."""

    seconds: float
    urls: int
    pages: int
    bytes: int
    rate: float
    queue: int
    in_flight: int
    hosts_in_flight: int
    errors: int
    eta: float | None
    paused: str


class Pace:
    """Turns counts into rates. `resting`: hosts rest between fetches, so the rates do not predict the end."""

    def __init__(self, stats: RunStats, in_flight: InFlight, resting: bool = False) -> None:
        self._resting = resting
        self._stats = stats
        self._in_flight = in_flight
        self._started_at = monotonic()
        self._seen: deque[tuple[float, int, int, int]] = deque([(self._started_at, 0, 0, stats.queued)])

    def look(self, now: float) -> View:
        """A snapshot at `now` (monotonic seconds)."""
        stats = self._stats
        owed = stats.queued - stats.settled
        while len(self._seen) > 1 and self._seen[1][0] <= now - WINDOW:
            self._seen.popleft()
        then, urls, settled, owed_then = self._seen[0]
        self._seen.append((now, stats.urls, stats.settled, owed))
        past = max(now - then, 1e-9)
        pace = (stats.settled - settled) / past
        return View(
            seconds=round(now - self._started_at, 1),
            urls=stats.urls,
            pages=stats.pages,
            bytes=stats.bytes,
            rate=round((stats.urls - urls) / past, 1),
            queue=owed,
            in_flight=self._in_flight.pages,
            hosts_in_flight=self._in_flight.hosts,
            errors=sum(dict(stats.errors).values()),
            eta=round(owed / pace, 1) if pace > 0 and owed <= owed_then and not self._resting else None,
            paused=self._in_flight.paused,
        )


@contextmanager
def progress(pace: Pace, signals: Signals, title: str) -> Iterator[None]:
    """Show progress until the block ends. `title` names the mode and the directory."""
    ended = threading.Event()
    show = _show_live if sys.stderr.isatty() else _log
    thread = start_thread(show, "progress", pace, ended, signals, title)
    say = signals.say
    try:
        yield
    finally:
        signals.say = say
        ended.set()
        thread.join(LIVE_PERIOD)


def _show_live(pace: Pace, ended: threading.Event, signals: Signals, title: str) -> None:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    notices = [escape_unprintable(title)]
    console = Console(stderr=True, highlight=False)
    live = Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False)
    with suppress(OSError, MemoryError), live:
        signals.say = notices.append
        while not wait_for(ended, LIVE_PERIOD):
            live.update(Text("\n".join((*notices, in_words(pace.look(monotonic()))))), refresh=True)


def in_words(view: View) -> str:
    """A snapshot as one readable line."""
    left = "" if view.eta is None else f" · about {duration(view.eta)} left"
    if view.paused:
        left = f" · PAUSED: {PAUSES[view.paused]}"
    return (
        f"{duration(view.seconds)} · {view.pages:,} pages · {view.rate:g} URLs/s · {format_bytes(view.bytes)}"
        f" · queue {view.queue:,} · {view.in_flight} in flight on {view.hosts_in_flight} hosts"
        f" · {view.errors:,} not ok{left}"
    )


def _log(pace: Pace, ended: threading.Event, signals: Signals, title: str) -> None:
    if wait_for(ended, LOG_PERIOD):
        return
    log = open_log()
    with suppress(OSError, MemoryError):
        while not ended.is_set():
            log.info("progress", run=title, **msgspec.structs.asdict(pace.look(monotonic())))
            wait_for(ended, LOG_PERIOD)
