"""The functions of a program that a crawl calls: for each page, each failure, its progress, and to filter URLs.

Rules:
- A callback runs on the thread that decides: on the event loop of `async`, on the calling thread of `threads` and
  `processes`, in each shard's process of `prefork` (only `on_progress` runs in the process that called). So it must be
  quick, and it needs no lock against the others of its process.
- `on_page` and `on_error` are called when a URL settles, before that is committed. After a kill they may be called
  again for the same URL: at least once, never not at all.
- A callback that raises stops the crawl with CallbackError. What its step had settled is not committed, so those URLs
  are owed, and a resume calls again for them.
- A filter must give the same answer for the same URL, in every process and every run.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import NamedTuple, ParamSpec, TypeVar

from crawler.core.endings import TROUBLES
from crawler.core.messages import Actions
from crawler.core.reasons import Reason
from crawler.errors import CallbackError
from crawler.metrics.counters import InFlight, RunStats
from crawler.settings import Settings, find_function
from crawler.storage.pages.base import Page

PROGRESS_PERIOD = 1.0
"""Seconds between two calls of `on_progress`, at least."""
Given = ParamSpec("Given")
Answer = TypeVar("Answer")
FINE = frozenset({Reason.OK, Reason.REDIRECT})


class FailedUrl(NamedTuple):
    """A URL that ended without its page: 4xx and 5xx, network errors, refusals of robots.txt. `status` is 0 where there
    was no response; `attempts` is 0 where it was never asked for; `trouble`: a resume asks again."""

    url: str
    reason: str
    status: int
    attempts: int
    detail: str
    trouble: bool


class CrawlProgress(NamedTuple):
    """Where a run stands. `settled` URLs have ended in this run, `queued` is owed; `bytes` of stored bodies; `errors`
    counts failures by reason; `paused`: why it waits, "" where it does not; `seconds` since the first fetch."""

    settled: int
    queued: int
    pages: int
    bytes: int
    in_flight: int
    errors: dict[str, int]
    paused: str
    seconds: float


class Callbacks(NamedTuple):
    """The functions of a program. None: it is not called."""

    filter: Callable[[str], bool] | None = None
    on_page: Callable[[Page], object] | None = None
    on_error: Callable[[FailedUrl], object] | None = None
    on_progress: Callable[[CrawlProgress], object] | None = None


NAMES = Callbacks._fields
NO_CALLBACKS = Callbacks()


def callbacks_of(settings: Settings, given: Callbacks = NO_CALLBACKS) -> Callbacks:
    """The functions `given`, guarded, and for the others those that the settings name. Raises UsageError where a name
    leads nowhere."""
    found = {name: getattr(given, name) or find_function(name, getattr(settings, name)) for name in NAMES}
    return Callbacks(**{name: _guarded(name, function) for name, function in found.items() if function is not None})


def _guarded(name: str, function: Callable[Given, Answer]) -> Callable[Given, Answer]:
    """`function`; raises CallbackError in place of what it raises."""

    def call(*args: Given.args, **more: Given.kwargs) -> Answer:
        try:
            return function(*args, **more)
        except CallbackError:
            raise
        except Exception as error:
            said = f"{type(error).__name__}: {error}".splitlines()[0]
            raise CallbackError(f"{name} raised {said}; mend it and resume, no URL is lost") from error

    return call


def failures_of(actions: Actions) -> list[FailedUrl]:
    """The URLs that ended without their page in one step."""
    return [
        FailedUrl(end.url, end.reason.value, end.status, end.attempts, end.detail, end.reason in TROUBLES)
        for end in actions.settled
        if end.reason not in FINE
    ]


def progress_of(stats: RunStats, in_flight: InFlight) -> CrawlProgress:
    """Where a run stands now; from any thread."""
    begun = stats.first_fetch_at
    return CrawlProgress(
        settled=stats.settled,
        queued=max(0, stats.queued - stats.settled),
        pages=stats.pages,
        bytes=stats.bytes,
        in_flight=in_flight.pages,
        errors=dict(stats.errors),
        paused=in_flight.paused,
        seconds=0.0 if begun is None else monotonic() - begun,
    )


class ProgressNotifier:
    """Calls `on_progress`, at most once in PROGRESS_PERIOD seconds and only after a change."""

    def __init__(self, on_progress: Callable[[CrawlProgress], object], stats: RunStats, in_flight: InFlight) -> None:
        self._on_progress = on_progress
        self._stats = stats
        self._in_flight = in_flight
        self._due = 0.0

    def notify(self, last: bool = False) -> None:
        """To be called after each change; the `last` one is always passed on. Raises CallbackError."""
        if (now := monotonic()) >= self._due or last:
            self._due = now + PROGRESS_PERIOD
            self._on_progress(progress_of(self._stats, self._in_flight))
