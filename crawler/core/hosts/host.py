"""One host: what it still owes us and how politely we may ask for it.

A host is an origin (scheme, name, port). Its states are those of crawler/core/hosts/host_state.py.

Rules:
- Time only ever lengthens a rest (`hold`): a short back-off must never replace a longer politeness delay.
- The delay counts from the end of the last fetch. A host with a delay is asked by one connection at a time, whatever
  `per_host` allows: two at once would make "the last fetch" meaningless.
- A host whose DNS lookup is slow rests meanwhile, first shortly, then for as long as a lookup may take, so that others
  go first. After two `dns_deferrals` in a row it `waits_for_dns`: else a lookup that is slow each time would never
  finish.
- robots.txt is a request like any other: it takes a connection and is followed by the delay. A host that is down is
  asked for it first.
- A host that we may not connect to is given up at once: asking again would change nothing. So is one whose robots.txt
  redirects to such a place.
- Limits that are set while the crawl runs come on top: `delay` is what settings and robots.txt demand (`demanded`), or
  more. What is stored of a host is `demanded` alone.
- While a host is `unknown` the frontier has not answered yet with its note, and nothing is asked of it.
- `asked`: this run or an earlier one may have asked for a page of it; `heard`: it has answered in this run
  (`health.heard`: in any).
"""

from __future__ import annotations

from collections.abc import Iterator

from crawler.core.hosts.health import Failure, Fate, Health, failure_of
from crawler.core.hosts.host_state import TRANSITIONS, State, Trigger
from crawler.core.hosts.link_queue import LinkQueue
from crawler.core.hosts.retry import RETRIED_CUTS
from crawler.core.messages import Failed, Fetched, FetchResult, HostNote, HostPlacement, Link, LiveLimits
from crawler.core.page.robots import ALLOW_ALL, Robots, RobotsAnswer, classify
from crawler.core.reasons import FetchErrorKind, Reason
from crawler.core.rules import Rules
from crawler.core.traps.detector import TrapDetector
from crawler.core.urls.patterns import Rejection

NEVER = float("inf")
FIRST_LOOKUP_REST = 1.0
NO_LIMITS = LiveLimits()


class Host(LinkQueue):
    """The queue, the politeness and the robots.txt of one host."""

    __slots__ = (
        "_allowed",
        "_limits",
        "_rules",
        "asked",
        "delay",
        "demanded",
        "dns_deferrals",
        "gone",
        "gone_because",
        "health",
        "heard",
        "in_flight",
        "ledger",
        "name",
        "not_before",
        "per_host",
        "reach",
        "robots",
        "robots_hops",
        "robots_lost",
        "robots_until",
        "robots_url",
        "scheduled_at",
        "sitemaps",
        "state",
        "unknown",
    )

    def __init__(self, name: str, rules: Rules, rest_until: float = 0.0) -> None:
        super().__init__()
        self.name = name
        self.state = State.NEW if rules.robots else State.OPEN
        self.in_flight = 0
        self.delay = self.demanded = rules.delay
        self.not_before = rest_until
        self.scheduled_at = NEVER
        self.robots: Robots = ALLOW_ALL
        self.robots_until = NEVER
        self.robots_url = f"{name}/robots.txt"
        self.robots_hops = self.robots_lost = 0
        self.health = Health(rules)
        self.gone: Reason | None = None
        self.gone_because = ""
        self.asked = self.heard = False
        self.dns_deferrals = 0
        self.per_host = self._allowed = rules.per_host
        self.reach = HostPlacement.OWNER
        self.ledger = TrapDetector(rules)
        self.sitemaps = 0  # that were read
        self.unknown = False
        self._limits = NO_LIMITS
        self._rules = rules

    def move(self, trigger: Trigger) -> None:
        """Change the state; the only place that does."""
        self.state = TRANSITIONS.get((self.state, trigger), self.state)

    # ---- limits ------------------------------------------------------------------------------------------------------

    def limit(self, limits: LiveLimits) -> None:
        """Obey these limits from now on. A rest that has begun grows with the delay and does not shrink with it."""
        before, self._limits = self.delay, limits
        self.demand(self.demanded)
        self.allow(self._allowed)
        self.hold(self.not_before + self.delay - before)

    def demand(self, delay: float) -> None:
        """Rest for `delay` seconds after a fetch, or as long as limits want."""
        self.demanded = delay
        self.delay = max(delay, self._limits.delay)

    def allow(self, connections: int) -> None:
        """Allow so many requests in flight at once, or as few as limits want."""
        self._allowed = connections
        most = self._limits.per_host
        self.per_host = connections if most is None else min(connections, most)

    # ---- time --------------------------------------------------------------------------------------------------------

    def hold(self, until: float) -> None:
        """Ask nothing before `until`. Never shortens a rest."""
        self.not_before = max(self.not_before, until)

    def rest(self, event: FetchResult, now: float) -> None:
        """Rest after a fetch that has landed. A host whose name is still looked up has not been asked."""
        if isinstance(event, Failed) and event.kind is FetchErrorKind.DNS_PENDING:
            longest = self._rules.lookup_rest
            self.hold(now + (longest if self.dns_deferrals else min(longest, FIRST_LOOKUP_REST)))
            self.dns_deferrals += 1
        else:
            self.dns_deferrals = 0 if isinstance(event, Fetched) else self.dns_deferrals
            self.hold(now + self.delay)

    @property
    def waits_for_dns(self) -> bool:
        """Whether its next fetch waits for a slow DNS lookup."""
        return self.dns_deferrals > 1

    def ready_at(self, fresh: bool) -> float | None:
        """From when on it may be asked; None: not before a fetch lands or a link arrives. `fresh`: new URLs are
        allowed."""
        if self.unknown or self.in_flight >= self.connections or self.state in (State.ASKING, State.GONE):
            return None
        if fresh and self.queue:
            return self.not_before
        return max(self.not_before, self.retry_queue[0][0]) if self.retry_queue else None

    @property
    def connections(self) -> int:
        """How many requests may be in flight at once."""
        if self.delay > 0 or self.state is not State.OPEN:
            return 1
        return self.per_host

    # ---- links -------------------------------------------------------------------------------------------------------

    def refuses(self, link: Link, again: bool) -> Rejection | None:
        """Why a link must not be asked for, None where it may. One taken `again` was counted by the ledger already."""
        if not self.robots.allows(link.url):
            return Reason.ROBOTS, ""
        return None if again else self.ledger.refuses(link)

    def give_up(self, reason: Reason, because: str) -> Iterator[Link]:
        """Enter GONE and return every link in memory that was still owed."""
        self.enter_gone(reason, because)
        yield from self.queue
        yield from (link for _, _, link in self.retry_queue)
        self.queue.clear()
        self.retry_queue.clear()

    def enter_gone(self, reason: Reason, because: str) -> None:
        """Give up a host that owes nothing in memory."""
        self.gone, self.gone_because = reason, because
        self.move(Trigger.GIVE_UP)

    # ---- health ------------------------------------------------------------------------------------------------------

    def answered(self, refused: bool = False) -> bool:
        """A page was answered, well or with a 429. Returns whether that must be stored: it ends an absence, or is the
        first answer of a host whose robots.txt is not read."""
        is_news = self.health.since is not None or not self.health.heard
        self.health.answered(refused)
        self.move(Trigger.ANSWER)
        return is_news

    def failed(self, link: Link, event: FetchResult, failure: Failure, now: float, seed: int) -> Fate:
        """A page failed: returns what happens to it. The host rests where the failure means that it is down."""
        health = self.health
        again = health.failed(failure, event, link.id, now)
        if self.state is State.PROBING and health.believe(now):
            self.move(Trigger.ANSWER)
        fate = health.fate(failure, link.id, link.attempts + 1, again, is_up=self.state is State.OPEN)
        if self.state is State.PROBING or (self.state is State.OPEN and health.is_down(fate, failure, now)):
            self.hold(health.next_probe(self._rules.breaker_rest, self.name, seed, now))
            self.move(Trigger.TRIP)
        return fate

    def is_hopeless(self, now: float) -> bool:
        """Whether it has been away for too long."""
        return self.state is State.DOWN and self.health.is_hopeless(now)

    def probe(self) -> None:
        """Its rest is over: ask for its robots.txt first, where robots are obeyed."""
        if self.state is State.DOWN:
            self.move(Trigger.STALE if self._rules.robots else Trigger.WAKE)

    # ---- robots.txt --------------------------------------------------------------------------------------------------

    def hear_robots(self, event: FetchResult, now: float, seed: int) -> str | None:
        """Take the answer to robots.txt (RFC 9309 2.3.1). Returns the text to obey from now on, None if it must be
        asked for again."""
        if isinstance(event, Failed):
            self.robots_lost += event.kind is FetchErrorKind.LEASE_EXPIRED
            spared = event.kind in (FetchErrorKind.BLOCKED, FetchErrorKind.DNS_PENDING)
            if not spared and (
                event.kind is not FetchErrorKind.LEASE_EXPIRED or self.robots_lost >= self._rules.lost_limit
            ):
                self._robots_unavailable(event, now, seed)
            self.move(Trigger.ASK_AGAIN)
            return None
        answer = classify(event.status)
        if event.truncated in RETRIED_CUTS:
            answer = RobotsAnswer.UNAVAILABLE  # half a robots.txt may lack the very line that forbids
        if answer is RobotsAnswer.UNAVAILABLE:
            self._robots_unavailable(event, now, seed)
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
        self.health.answered_for_robots()
        self._obey(robots, robots.delay, now + self._rules.robots_ttl)
        if self.health.since is not None:
            self.move(Trigger.DOUBT)
        self.hold(now + self.delay)
        return text

    def lost_hope(self, event: FetchResult, now: float) -> Reason | None:
        """The reason to give up the host after this answer to robots.txt, None where it is not given up."""
        if isinstance(event, Failed) and event.kind is FetchErrorKind.BLOCKED:
            return Reason.ROBOTS_UNAVAILABLE if self.robots_hops else Reason.BLOCKED
        if not self.health.is_hopeless(now):
            return None
        away = failure_of(event) is Failure.UNREACHED and self.health.heard
        return Reason.HOST_DOWN if away else Reason.ROBOTS_UNAVAILABLE

    def _robots_unavailable(self, event: FetchResult, now: float, seed: int) -> None:
        """RFC 9309 2.3.1.4: unreachable means that everything is disallowed; ask again after a while."""
        self.health.failed(failure_of(event) or Failure.UNANSWERED, event, None, now)
        first = self._rules.breaker_rest if self.health.heard else self._rules.robots_backoff
        self.hold(self.health.next_probe(first, self.name, seed, now))
        self.robots_url = f"{self.name}/robots.txt"
        self.robots_hops = 0

    def _parse(self, text: str) -> Robots:
        return Robots(text, self._rules.user_agent) if text else ALLOW_ALL

    def _obey(self, robots: Robots, crawl_delay: float, until: float) -> None:
        """Follow these rules until `until`. A Crawl-delay lengthens the delay, up to the cap."""
        self.robots = robots
        self.robots_until = until
        self.demand(max(self._rules.delay, min(crawl_delay, self._rules.crawl_delay_cap)))
        self.robots_url = f"{self.name}/robots.txt"
        self.robots_hops = self.robots_lost = 0
        self.move(Trigger.READ)

    def note(self, now: float, robots: str | None = None) -> HostNote:
        """What must be stored to survive a kill."""
        return HostNote(
            host=self.name,
            robots=robots,
            robots_until=self.robots_until if self.robots_until != NEVER else 0.0,
            delay=self.demanded if self.demanded > self._rules.delay else 0.0,
            rest_until=self.not_before,
            reach=self.reach,
            heard=self.health.heard,
            down_for=self.health.down_for(now),
        )

    def recall(self, note: HostNote, now: float, began_at: float) -> None:
        """Restore the state in a note. An earlier run may have asked this host just before this run began, at
        `began_at`: so it rests its whole delay from then on."""
        self.asked = True
        self.health.recall(note.heard, note.down_for, now)
        if self._rules.robots:
            self.demand(max(self.demanded, note.delay))
            if note.robots is not None and note.robots_until > now:
                self.move(Trigger.ASK)
                robots = self._parse(note.robots)
                self._obey(robots, robots.delay, note.robots_until)
        # After the clock was set back a stored rest could end years from now: cap it.
        longest = max(self._rules.retry_after_cap, self._rules.backoff_cap)
        self.hold(max(min(note.rest_until, now + longest), began_at + self.delay))
