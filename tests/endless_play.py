"""Plays one site of tests/endless_web.py against a Crawl, without sockets; pages are read as `visit` reads them."""

from __future__ import annotations

from collections import Counter, deque
from typing import NamedTuple

from crawler.core.crawl import Crawl
from crawler.core.messages import Discovered, Event, Fetch, Fetched
from crawler.core.page.links import PageHeaders, read_page
from crawler.core.reasons import Ending
from crawler.core.rules import Rules
from crawler.core.urls.canonical import Resolver
from crawler.core.urls.scope import Scope
from crawler.runtime.recorder import resumption
from crawler.storage.frontier.answers import answers
from crawler.storage.frontier.base import Batch
from crawler.storage.frontier.memory import MemoryFrontier
from tests.endless_web import Contents, Made, Shown, Site

HTML = PageHeaders("text/html")

H = "http://h.test"


class Played(NamedTuple):
    """The result of a crawl: requests, the share of the contents that was found, how many there are, the reasons of all
    URLs, and why some were refused."""

    requests: int
    found: float
    distinct: int
    reasons: Counter[str]
    details: list[str]


class Play:
    """One crawl of a site from a frontier in memory, with `room` fetches at a time."""

    def __init__(self, site: tuple[Site, Contents], made: Made, room: int = 16, **keys: object) -> None:
        self.rules = Rules(**{"delay": 0.0, "per_host": room, "robots": False, **keys})  # type: ignore[arg-type]
        self.requests = 0
        self._answer, self._contents = site
        self._made = made
        self._room = room
        self._frontier = MemoryFrontier()
        self._resolver = Resolver()
        self._turns: Counter[str] = Counter()
        self._found: set[str] = set()
        self._now = 0.0
        self._lives = 0

    def run(self, most: int) -> bool:
        """Fetch at most so many further pages, then kill the crawl. Returns whether it ended by itself."""
        crawl = Crawl(self.rules, Scope(self.rules, [f"{H}/"]), 1)
        events: list[Event] = [resumption(self._frontier, 1, 10**6, 0.0)] if self._lives else []
        events.append(Discovered((f"{H}/",)))
        self._lives += 1
        flying: deque[Fetch] = deque()
        stop_at = self.requests + most
        while self.requests < stop_at:
            actions = crawl.step(events, room=self._room - len(flying), now=self._now)
            flying += actions.fetches
            batch = Batch()
            batch.add(actions)
            events = [*answers(self._frontier, batch, self._frontier.commit(batch, self._now), 0.0)]
            if actions.ending is not None:
                return actions.ending is Ending.COMPLETE
            self._now = self._now + 0.001 if flying or events else actions.wake_at or self._now
            if flying:
                self.requests += 1
                events.append(self._fetch(flying.popleft()))
        return False

    def _fetch(self, fetch: Fetch) -> Fetched:
        if fetch.robots:
            return Fetched(fetch.id, 404)
        target = fetch.url.removeprefix(H).removeprefix("http:")
        self._turns[target] += 1
        shown: Shown = self._answer(self._made, target, self._turns[target])
        self._found.add(shown.content)
        if shown.status != 200:
            return Fetched(fetch.id, shown.status)
        body = shown.body.encode()
        reading = read_page(body, fetch.url, HTML, self.rules, self._resolver, True, fetch.want_fingerprint)
        return Fetched(fetch.id, 200, reading.links, size=1, fingerprint=reading.fingerprint)

    def outcome(self) -> Played:
        """The result so far."""
        wanted = set(self._contents(self._made))
        found = len(self._found & wanted) / len(wanted) if wanted else 1.0
        rows = list(self._frontier.settled())
        details = sorted({row.detail for row in rows if row.detail})
        return Played(self.requests, found, len(wanted), Counter(row.reason for row in rows), details)


def play(site: tuple[Site, Contents], made: Made, most: int, room: int = 16, **keys: object) -> Played:
    """Crawl a site until the crawl ends or so many requests were made."""
    crawl = Play(site, made, room, **keys)
    crawl.run(most)
    return crawl.outcome()
