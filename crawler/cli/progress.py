"""Progress on stderr while a crawl runs: a live line on a terminal, a structured log line now and then elsewhere.

Rules:
- Read-only: its own thread reads, at most twice a second, counts that the recorder keeps anyway.
- The libraries that draw and log are imported on that thread, so a short crawl does not wait for them.
- The time left is what crawler/metrics/time_left.py makes of the counts. Where hosts rest between fetches, it is said
  why the crawl takes so long, because an idle crawler looks broken.
- With a line for each URL (crawler/runtime/url_log.py) the display is one line: other processes may write at any
  moment, and only what stands on the line of the cursor can be overwritten then.
- Colours are left out where NO_COLOR is set, which rich sees to.
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
from crawler.core.endings import PAUSES
from crawler.metrics.counters import InFlight, RunStats
from crawler.metrics.time_left import by_pace, by_rests
from crawler.runtime.url_log import UrlLogFormat
from crawler.system.logs import open_log
from crawler.system.memory_shortage import wait_for
from crawler.system.stderr import show_status, write_nonblocking
from crawler.system.text import duration, escape_unprintable, format_bytes, roughly
from crawler.system.threads import start_thread

LIVE_PERIOD = 0.5
LOG_PERIOD = 10.0
WINDOW = 10.0
TELLING = 5  # URLs from whose pace the time left is told where hosts rest; fewer may be a coincidence


class View(msgspec.Struct, frozen=True):
    """A snapshot of a run. `rate` is URLs settled after a fetch per second, over the last ten seconds; `eta` in
    seconds, with a `delay` of the URLs that are known only, on so many `hosts`; `paused` is why no fetch starts, ""
    where fetches do."""

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
    settled: int
    delay: float
    hosts: int


class Pace:
    """Turns counts into rates. `delay`: seconds that a host rests between fetches."""

    def __init__(self, stats: RunStats, in_flight: InFlight, delay: float = 0.0) -> None:
        self._delay = delay
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
        hosts = list(dict(stats.hosts).values())
        if self._delay:
            fetched = sum(host.fetched for host in hosts)
            rest = self._delay + sum(host.seconds for host in hosts) / max(fetched, 1)
            left: float | None = by_rests(owed, len(hosts), rest, pace if stats.settled - settled >= TELLING else 0.0)
        else:
            left = by_pace(owed, owed_then, pace)
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
            eta=None if left is None else round(left, 1),
            paused=self._in_flight.paused,
            settled=stats.settled,
            delay=self._delay,
            hosts=len(hosts),
        )


def url_log_format(log_format: str | None) -> UrlLogFormat:
    """The format of the lines for URLs: that of the lines of progress, text on a terminal."""
    json = log_format == "json" or (log_format is None and not sys.stderr.isatty())
    return "json" if json else "text"


@contextmanager
def progress(
    pace: Pace, signals: Signals, title: str, log_format: str | None = None, verbose: bool = False
) -> Iterator[None]:
    """Show progress until the block ends. `title` names the mode and the directory. `log_format`: "text" or "json" for
    lines instead of a live display; None for JSON lines where stderr is no terminal. `verbose`: each URL gets a line,
    so the display is one line below them."""
    ended = threading.Event()
    live = log_format is None and sys.stderr.isatty()
    show = (_show_line if verbose else _show_live) if live else _log_text if log_format == "text" else _log
    thread = start_thread(show, "progress", pace, ended, signals, title)
    say = signals.say
    try:
        yield
    finally:
        signals.say = say
        ended.set()
        thread.join(LIVE_PERIOD)


def _show_live(pace: Pace, ended: threading.Event, signals: Signals, title: str) -> None:
    from rich.console import Console, Group
    from rich.live import Live
    from rich.padding import Padding
    from rich.progress_bar import ProgressBar
    from rich.text import Text

    from crawler.cli.lines import columns

    notices = [escape_unprintable(title)]
    console = Console(stderr=True, highlight=False)
    live = Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False)
    with suppress(OSError, MemoryError), live:
        signals.say = notices.append
        while not wait_for(ended, LIVE_PERIOD):
            view = pace.look(monotonic())
            # a bar ends without a line end, which Padding adds
            bar = Padding(ProgressBar(total=max(view.settled + view.queue, 1), completed=view.settled), 0)
            style = "yellow" if view.paused else ""
            console.width = columns()
            live.update(Group(Text("\n".join(notices), "bold"), bar, Text(in_words(view), style)), refresh=True)


def _show_line(pace: Pace, ended: threading.Event, signals: Signals, title: str) -> None:
    from crawler.cli.lines import columns, fitted

    write_nonblocking(escape_unprintable(title))
    while not wait_for(ended, LIVE_PERIOD):
        show_status(fitted(in_words(pace.look(monotonic())), columns()))
    show_status("")


def in_words(view: View) -> str:
    """A snapshot as one readable line."""
    flying = f" · {view.in_flight} in flight on {view.hosts_in_flight} host{'s' * (view.hosts_in_flight != 1)}"
    if view.delay and not view.in_flight:  # hosts rest most of the time, which says nothing
        flying = ""
    left = "" if view.eta is None else f" · about {roughly(view.eta)} left"
    if view.paused:
        left = f" · PAUSED: {PAUSES[view.paused]}"
    elif view.delay:
        least = "about" if view.hosts <= 1 else "at least"
        known = f": {least} {roughly(view.eta or 0)} for the {view.queue:,} URLs known" if view.queue else ""
        left = f" · {view.delay:g} s between fetches of a host{known}"
    return (
        f"{duration(view.seconds)} · {view.pages:,} pages · {view.rate:g} URLs/s · {format_bytes(view.bytes)}"
        f" · queue {view.queue:,}{flying}"
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


def _log_text(pace: Pace, ended: threading.Event, signals: Signals, title: str) -> None:
    while not wait_for(ended, LOG_PERIOD):
        write_nonblocking(in_words(pace.look(monotonic())))
