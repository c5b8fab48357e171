"""One host: what it still owes us and how politely we may ask for it.

A host is an origin (scheme, name, port). It moves through six states:

    NEW      its robots.txt must be asked for first (with robots off a host begins OPEN)
    ASKING   robots.txt, or a redirect of it, is in flight
    OPEN     pages may be asked for
    DOWN     it failed too often in a row and rests
    PROBING  the rest is over: one request at a time until one is answered
    GONE     given up: whatever is owed or found later ends with `gone`

Rules:
- All moves are in `TRANSITIONS`; a trigger that has no entry for a state changes nothing (answers may land late).
- Time only ever lengthens a rest (`hold`): a short back-off must never replace a longer politeness delay.
- The delay counts from the end of the last fetch. A host with a delay is asked by one connection at a time, whatever
  `per_host` allows: two at once would make "the last fetch" meaningless.
- A host whose name is slow to be looked up rests meanwhile, first shortly, then for as long as a lookup may take, so
  that others go first. Having been `put_off` twice in a row it is patient: else a name that is slow each time would
  never be waited for.
- robots.txt is a request like any other: it takes a connection and is followed by the delay.
- A host that we may not connect to is given up at once: asking again would change nothing. So is one that says its
  robots.txt is at such a place.
- `queue` holds links never asked for, `later` those that wait for another attempt: page budgets stop only the first.
- `queue` is a window: links up to the id `after` are in it, settled or in flight; those beyond it up to `last`, or
  `more`, are in the frontier only. `wanted` of them have been asked for; see crawler/core/hosts.py.
- While a host is `unknown` the frontier has yet to tell what is noted of it, and nothing is asked of it.
- `asked` says that somebody, in this run or an earlier one, may have asked for a page of it; `heard`, that it has
  answered in this one.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator
from enum import Enum, auto

from crawler.core.messages import Failed, Fetched, HostNote, Landing, Link, Reach, Reason, Trouble
from crawler.core.patterns import Refusal
from crawler.core.retry import RETRIED_CUTS, backoff
from crawler.core.robots import ALLOW_ALL, Robots, RobotsAnswer, classify
from crawler.core.rules import Rules
from crawler.core.traps import Ledger

NEVER = float("inf")
FIRST_LOOKUP_REST = 1.0


class State(Enum):
    """Where a host stands."""

    NEW = auto()
    ASKING = auto()
    OPEN = auto()
    DOWN = auto()
    PROBING = auto()
    GONE = auto()


class Trigger(Enum):
    """What moves a host."""

    ASK = auto()
    READ = auto()
    ASK_AGAIN = auto()
    STALE = auto()
    TRIP = auto()
    WAKE = auto()
    ANSWER = auto()
    GIVE_UP = auto()


TRANSITIONS: dict[tuple[State, Trigger], State] = {
    (State.NEW, Trigger.ASK): State.ASKING,
    (State.ASKING, Trigger.READ): State.OPEN,
    (State.ASKING, Trigger.ASK_AGAIN): State.NEW,
    (State.OPEN, Trigger.STALE): State.NEW,
    (State.OPEN, Trigger.TRIP): State.DOWN,
    (State.DOWN, Trigger.WAKE): State.PROBING,
    (State.PROBING, Trigger.ANSWER): State.OPEN,
    (State.PROBING, Trigger.TRIP): State.DOWN,
    **{(state, Trigger.GIVE_UP): State.GONE for state in State},
}


class Host:
    """The queue, the politeness and the robots.txt of one host."""

    __slots__ = (
        "_count",
        "_rules",
        "after",
        "asked",
        "delay",
        "failures",
        "gone",
        "gone_because",
        "heard",
        "in_flight",
        "last",
        "later",
        "ledger",
        "listed_at",
        "more",
        "name",
        "per_host",
        "put_off",
        "queue",
        "reach",
        "rest_until",
        "rests",
        "robots",
        "robots_asks",
        "robots_hops",
        "robots_lost",
        "robots_until",
        "robots_url",
        "state",
        "unknown",
        "wanted",
    )

    def __init__(self, name: str, rules: Rules, rest_until: float = 0.0) -> None:
        self.name = name
        self.state = State.NEW if rules.robots else State.OPEN
        self.queue: deque[Link] = deque()
        self.later: list[tuple[float, int, Link]] = []
        self.after = self.last = self.wanted = 0
        self.more = False
        self.in_flight = 0
        self.delay = rules.delay
        self.rest_until = rest_until
        self.listed_at = NEVER
        self.robots: Robots = ALLOW_ALL
        self.robots_until = NEVER
        self.robots_url = f"{name}/robots.txt"
        self.robots_hops = self.robots_asks = self.robots_lost = 0
        self.failures = self.rests = 0
        self.gone: Reason | None = None
        self.gone_because = ""
        self.asked = self.heard = False
        self.put_off = 0
        self.per_host = rules.per_host
        self.reach = Reach.OWNER
        self.ledger = Ledger(rules)
        self.unknown = False
        self._rules = rules
        self._count = 0

    def move(self, trigger: Trigger) -> None:
        """The only place where a host changes its state."""
        self.state = TRANSITIONS.get((self.state, trigger), self.state)

    # ---- time --------------------------------------------------------------------------------------------------------

    def hold(self, until: float) -> None:
        """Ask nothing before `until`. Never shortens a rest."""
        self.rest_until = max(self.rest_until, until)

    def rest(self, event: Landing, now: float) -> None:
        """Leave it alone now that a fetch has landed. One whose name is still looked up has not been asked."""
        if isinstance(event, Failed) and event.trouble is Trouble.LOOKUP:
            longest = self._rules.lookup_rest
            self.hold(now + (longest if self.put_off else min(longest, FIRST_LOOKUP_REST)))
            self.put_off += 1
        else:
            self.put_off = 0 if isinstance(event, Fetched) else self.put_off
            self.hold(now + self.delay)

    @property
    def is_patient(self) -> bool:
        """Whether a fetch waits for its name."""
        return self.put_off > 1

    def ready_at(self, fresh: bool) -> float | None:
        """From when on it may be asked; None: not before something lands or arrives. `fresh`: new URLs are allowed."""
        if self.unknown or self.in_flight >= self.connections or self.state in (State.ASKING, State.GONE):
            return None
        if fresh and self.queue:
            return self.rest_until
        return max(self.rest_until, self.later[0][0]) if self.later else None

    @property
    def connections(self) -> int:
        """How many requests may be in flight at once."""
        if self.delay > 0 or self.state is not State.OPEN:
            return 1
        return self.per_host

    # ---- links -------------------------------------------------------------------------------------------------------

    @property
    def has_more(self) -> bool:
        """Are there links that are in the frontier only?"""
        return self.more or self.last > self.after

    def put_back(self, link: Link, at: float) -> None:
        """Keep a link for another try, not before `at`."""
        self._count += 1
        heapq.heappush(self.later, (at, self._count, link))

    def take(self, now: float) -> tuple[Link, bool]:
        """The next link of a host that is ready, and whether it was taken before: such a one goes first."""
        if self.later and self.later[0][0] <= now:
            return heapq.heappop(self.later)[2], True
        return self.queue.popleft(), False

    def pull(self, link: Link) -> bool:
        """Take a link out of those that wait for another attempt, if it is there still."""
        left = [one for one in self.later if one[2].id != link.id]
        found = len(left) < len(self.later)
        if found:
            heapq.heapify(left)
            self.later = left
        return found

    def refuses(self, link: Link, again: bool) -> Refusal | None:
        """Why a link must not be asked for, None where it may. One taken `again` is in the ledger already."""
        if not self.robots.allows(link.url):
            return Reason.ROBOTS, ""
        return None if again else self.ledger.refuses(link)

    def give_up(self, reason: Reason, because: str) -> Iterator[Link]:
        """Enter GONE and hand over every link in memory that was still owed."""
        self.enter_gone(reason, because)
        yield from self.queue
        yield from (link for _, _, link in self.later)
        self.queue.clear()
        self.later.clear()

    def enter_gone(self, reason: Reason, because: str) -> None:
        """Give up a host that owes nothing in memory."""
        self.gone, self.gone_because = reason, because
        self.move(Trigger.GIVE_UP)

    # ---- health ------------------------------------------------------------------------------------------------------

    def answered(self) -> None:
        """The host gave an answer that is no failure: the count of failures starts again."""
        self.failures = self.rests = 0
        self.move(Trigger.ANSWER)

    def failed(self, now: float) -> bool:
        """Count a failure in a row; rest when there are too many. True: it has rested often enough, give it up."""
        if self.state not in (State.OPEN, State.PROBING):
            return False
        self.failures += 1
        if self.state is State.OPEN and self.failures < self._rules.breaker_failures:
            return False
        if self.rests >= self._rules.breaker_rests:
            return True
        self.hold(now + self._rules.breaker_rest * 2**self.rests)
        self.rests += 1
        self.move(Trigger.TRIP)
        return False

    # ---- robots.txt --------------------------------------------------------------------------------------------------

    def hear_robots(self, event: Landing, now: float, seed: int) -> str | None:
        """Take the answer to robots.txt (RFC 9309 2.3.1). Returns the text to obey from now on, None if it must be
        asked for again; `robots_asks` then says how often it was unavailable in a row."""
        if isinstance(event, Failed):
            if event.trouble is Trouble.BLOCKED:
                return None
            if event.trouble is Trouble.LOOKUP:
                self.move(Trigger.ASK_AGAIN)
                return None
            self.robots_lost += event.trouble is Trouble.LOST
            if event.trouble is not Trouble.LOST or self.robots_lost >= self._rules.lost_limit:
                self._robots_unavailable(now, seed)
            self.move(Trigger.ASK_AGAIN)
            return None
        answer = classify(event.status)
        if event.truncated in RETRIED_CUTS:
            answer = RobotsAnswer.UNAVAILABLE  # half a robots.txt may lack the very line that forbids
        if answer is RobotsAnswer.UNAVAILABLE:
            self._robots_unavailable(now, seed)
            self.move(Trigger.ASK_AGAIN)
            return None
        if answer is RobotsAnswer.REDIRECT and event.location and self.robots_hops < self._rules.robots_redirects:
            self.robots_hops += 1
            self.robots_url = event.location
            self.move(Trigger.ASK_AGAIN)
            return None
        # 4xx, or redirected too often (2.3.1.2): as if there were none, so all is allowed.
        text = event.robots_text or "" if answer is RobotsAnswer.RULES else ""
        robots = self._parse(text)
        self._obey(robots, robots.delay, now + self._rules.robots_ttl)
        self.hold(now + self.delay)
        return text

    def hopeless(self, event: Landing) -> Reason | None:
        """With which reason to give up the host, if any, where this answer to robots.txt left nothing to obey."""
        if isinstance(event, Failed) and event.trouble is Trouble.BLOCKED:
            return Reason.ROBOTS_UNAVAILABLE if self.robots_hops else Reason.BLOCKED
        return Reason.ROBOTS_UNAVAILABLE if self.robots_asks > self._rules.robots_asks else None

    def _robots_unavailable(self, now: float, seed: int) -> None:
        """2.3.1.4: unreachable means that everything is disallowed; ask again after a back-off."""
        self.robots_asks += 1
        self.hold(
            now + backoff(self.robots_url, self.robots_asks, self._rules.robots_backoff, self._rules.backoff_cap, seed)
        )
        self.robots_url = f"{self.name}/robots.txt"
        self.robots_hops = 0

    def _parse(self, text: str) -> Robots:
        return Robots(text, self._rules.user_agent) if text else ALLOW_ALL

    def _obey(self, robots: Robots, crawl_delay: float, until: float) -> None:
        """Follow these rules until then. A Crawl-delay lengthens the delay, up to the cap."""
        self.robots = robots
        self.robots_until = until
        self.delay = max(self._rules.delay, min(crawl_delay, self._rules.crawl_delay_cap))
        self.robots_url = f"{self.name}/robots.txt"
        self.robots_hops = self.robots_asks = self.robots_lost = 0
        self.move(Trigger.READ)

    def note(self, robots: str | None = None) -> HostNote:
        """What must survive a kill."""
        return HostNote(
            host=self.name,
            robots=robots,
            robots_until=self.robots_until if self.robots_until != NEVER else 0.0,
            delay=self.delay if self.delay > self._rules.delay else 0.0,
            rest_until=self.rest_until,
            reach=self.reach,
        )

    def recall(self, note: HostNote, now: float, began_at: float) -> None:
        """Take up where this host was left. An earlier run may have asked something of it just before this one began,
        at `began_at`: so it rests its whole delay from then on."""
        self.asked = True
        if self._rules.robots:
            self.delay = max(self.delay, note.delay)
            if note.robots is not None and note.robots_until > now:
                self.move(Trigger.ASK)
                robots = self._parse(note.robots)
                self._obey(robots, robots.delay, note.robots_until)
        # A clock that was set back must not turn a rest into a life sentence.
        longest = max(self._rules.retry_after_cap, self._rules.breaker_rest * 2**self._rules.breaker_rests)
        self.hold(max(min(note.rest_until, now + longest), began_at + self.delay))
