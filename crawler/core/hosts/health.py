"""Health of a host: what its failures in a row mean, when it is asked again, and when it is given up.

A failure may be the fault of a page or of its host. What else the host answers decides which:
- A host that cannot be reached (no name, no connection) is away. That is no failure of the page, unless it happens to
  the same page MOST_UNREACHED times while the host answers for others in between.
- Any other failure (5xx, silence, a broken connection, a body cut by the network) spends an attempt of its page. The
  last attempt is made when NEVER_ANSWERED seconds have passed since the first began, or the patience if that is less:
  most trouble passes in that time. A page that has spent all its attempts ends only if the host has answered well since
  the one before. Otherwise the host is in doubt.
- A host is *down* when it could not be reached UNREACHED_IN_A_ROW times in a row, when `breaker_failures` different
  pages failed in a row, when it is in doubt, or when it has never answered and its time for that is over.

Rules:
- While a host is down its pages wait and spend nothing. It is probed with growing gaps: first by its robots.txt, then
  by one page, another one each time. One good page ends the absence.
- An absence lasts `host_patience` at the longest, then the host is given up. A host that has never answered in this
  crawl is given up NEVER_ANSWERED seconds after it was first asked: most of these are mistyped or gone.
- Where a host is down because a few of its pages fail, while it answers for its robots.txt, it is taken to be up after
  NEVER_ANSWERED seconds: then its pages spend attempts and end as they do on a host that is up.
- 429 means that the host is up and was asked too fast. Without a Retry-After it rests, longer each time in a row.
- With a patience of 0 every failure spends an attempt, and nothing is waited for.
"""

from __future__ import annotations

from enum import Enum, auto

from crawler.core.hosts.retry import RETRIED_CUTS, gap
from crawler.core.messages import Failed, FetchResult
from crawler.core.reasons import FetchErrorKind
from crawler.core.rules import Rules

UNREACHED_IN_A_ROW = 3
NEVER_ANSWERED = 30.0
MOST_UNREACHED = 10
MOST_TRIED = 1000
"""Pages of one absence whose failure is remembered."""


class Failure(Enum):
    """What failed: the connection, the answer, or a part of it."""

    UNREACHED = auto()
    UNANSWERED = auto()
    CUT = auto()


class Fate(Enum):
    """What happens to a page that failed: it waits and spends nothing, it spends an attempt, it ends."""

    WAITS = auto()
    SPENDS = auto()
    ENDS = auto()


def failure_of(event: FetchResult) -> Failure | None:
    """How a landing counts against its host, None where it does not."""
    if isinstance(event, Failed):
        if is_unreached(event):
            return Failure.UNREACHED
        return Failure.UNANSWERED if event.kind in _UNANSWERED else None
    if 500 <= event.status <= 599:
        return Failure.UNANSWERED
    return Failure.CUT if event.truncated in RETRIED_CUTS else None


_UNANSWERED = frozenset({FetchErrorKind.TIMEOUT, FetchErrorKind.DISCONNECT, FetchErrorKind.TLS})


def is_unreached(event: Failed) -> bool:
    """Whether no connection was made."""
    return event.kind in (FetchErrorKind.DNS, FetchErrorKind.CONNECT) or (
        event.kind is FetchErrorKind.TIMEOUT and event.detail == "connect"
    )


class Health:
    """How one host has answered lately.

    `heard`: it has answered in this crawl. `since`: when the first of its failures in a row came, on the clock of the
    crawl; None while it is well. `tried` has the failures of the pages in this row, by the id of their link.
    """

    __slots__ = (
        "_first_failed",
        "_pages",
        "_refused",
        "_rests",
        "_rules",
        "_unreached",
        "_unreached_pages",
        "believed",
        "down_at",
        "heard",
        "robots_read",
        "since",
        "tried",
    )

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self.heard = False
        self.tried: dict[int, FetchResult] = {}
        self._refused = 0
        self._unreached_pages: dict[int, int] = {}
        self._first_failed: dict[int, float] = {}  # by the id of the link, until it is settled
        self.clear()

    def clear(self) -> None:
        """The host is well: forget its failures."""
        self.since: float | None = None
        self.down_at: float | None = None  # when it was found to be down
        self.believed = False
        self.robots_read = False
        self._unreached = self._pages = self._rests = 0
        self.tried.clear()

    def answered(self, refused: bool = False) -> None:
        """A page was answered, well or (`refused`) with a 429."""
        self.heard = True
        if not refused:
            self._refused = 0
        if self.since is not None:
            self.clear()

    def answered_for_robots(self) -> None:
        """The host has answered for its robots.txt. That ends no absence of its pages."""
        self.heard = True
        self.robots_read = True
        self._unreached = 0
        if not self.tried:
            self.clear()

    # ---- failures ----------------------------------------------------------------------------------------------------

    def failed(self, failure: Failure, event: FetchResult, link: int | None, now: float) -> bool:
        """Count a failure in a row, of a page or (None) of robots.txt. Returns whether this page had failed before in
        it."""
        if self.since is None:
            self.since = now if self.heard else now - event.seconds  # how long it is away, silence included
            if failure is Failure.UNREACHED and link is not None and len(self._unreached_pages) < MOST_TRIED:
                self._unreached_pages[link] = self._unreached_pages.get(link, 0) + 1
        self._unreached = self._unreached + 1 if failure is Failure.UNREACHED else 0
        if link is None:
            self.robots_read = False
            return False
        again = link in self.tried
        self._pages += failure is Failure.UNANSWERED and not again
        if again or len(self.tried) < MOST_TRIED:
            self.tried[link] = event
        return again

    def fate(self, failure: Failure, link: int, attempt: int, again: bool, is_up: bool) -> Fate:
        """What happens to a page after its failure number `attempt`; `again` as `failed` returned it."""
        if self._rules.host_patience and not self.believed:
            if self._unreached_pages.get(link, 0) >= MOST_UNREACHED:
                return Fate.ENDS
            if failure is Failure.UNREACHED or not is_up:
                return Fate.WAITS
            if attempt >= self._rules.attempts and again:
                return Fate.WAITS
        return Fate.SPENDS if attempt < self._rules.attempts else Fate.ENDS

    def is_down(self, fate: Fate, failure: Failure, now: float) -> bool:
        """Whether the host is down after a failure with this fate."""
        if not self.heard and self.patience and self.since is not None and now >= self.since + self.patience:
            return True
        if self._unreached >= UNREACHED_IN_A_ROW or self._is_failing_all:
            self.believed = False
            return True
        return fate is Fate.WAITS and failure is not Failure.UNREACHED

    @property
    def _is_failing_all(self) -> bool:
        return self._pages >= self._rules.breaker_failures

    @property
    def patience(self) -> float:
        """Seconds that an absence may last."""
        return self._rules.host_patience if self.heard else min(self._rules.host_patience, NEVER_ANSWERED)

    def is_hopeless(self, now: float) -> bool:
        """Whether the absence has lasted too long."""
        if self.since is None or self.down_at is None:
            return False
        return now >= (self.down_at if self.heard else self.since) + self.patience

    def believe(self, now: float) -> bool:
        """Decide whether, from now on, failures of a few pages count as their own. Returns the decision."""
        long_enough = self.since is not None and now >= self.since + min(self._rules.host_patience, NEVER_ANSWERED)
        answers = self.robots_read if self._rules.robots else not self._unreached
        self.believed = long_enough and answers and self.heard and not self._is_failing_all
        return self.believed

    def last_attempt_at(self, link: int, now: float, seconds: float) -> float:
        """The earliest time for the last attempt of a page that failed just now, after so many seconds."""
        now -= seconds
        is_kept = link in self._first_failed or len(self._first_failed) < MOST_TRIED
        first = self._first_failed.setdefault(link, now) if is_kept else now
        return first + min(self._rules.host_patience, NEVER_ANSWERED)

    def settled(self, link: int) -> None:
        """Forget a page that has ended."""
        if self._first_failed:
            self._first_failed.pop(link, None)

    # ---- rests -------------------------------------------------------------------------------------------------------

    def next_probe(self, first: float, name: str, seed: int, now: float) -> float:
        """The time to ask again after one more failure of a host that is down; the gaps grow from `first`."""
        self._rests += 1
        if self.down_at is None:
            self.down_at = now
        since = self.down_at if self.heard or self.since is None else self.since
        ends = (since + min(self.patience, NEVER_ANSWERED), since + self.patience)
        at = now + gap(name, self._rests, first, self._rules.backoff_cap, seed)
        return min([at, *(end for end in ends if end > now)])

    def rest_after_429(self, name: str, seed: int) -> float:
        """Seconds to rest after a 429 without a Retry-After."""
        self._refused += 1
        return gap(name, self._refused, self._rules.backoff, self._rules.backoff_cap, seed)

    def down_for(self, now: float) -> float:
        """Seconds that the absence has lasted, 0.0 where there is none."""
        return now - self.down_at if self.down_at is not None else 0.0

    def restart(self, now: float) -> None:
        """The network was away: count the absence of this host from now on."""
        if self.since is not None:
            self.since = now
            self.down_at = now if self.down_at is not None else None

    def recall(self, heard: bool, down_for: float, now: float) -> None:
        """Restore the state that an earlier run stored."""
        self.heard = self.heard or heard
        if down_for and self.since is None:
            self.since = self.down_at = now - down_for
