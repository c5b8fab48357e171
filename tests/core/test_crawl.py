"""The decisions of the Crawl, one rule per test. Whole crawls with all invariants are in tests/sim."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest

from crawler.core.bounds import Bounds
from crawler.core.crawl import LONGEST_WAIT, REFUSALS, Crawl
from crawler.core.messages import Actions, Discovered, Event, Failed, Fetch, Fetched, HostNote, Link, Settled, Stop
from crawler.core.reasons import Ending, FetchErrorKind, ParseSkipped, Reason
from crawler.core.reopening import selection
from crawler.core.rules import Rules
from crawler.core.urls.scope import Scope
from crawler.runtime.recorder import resumption
from crawler.storage.frontier.answers import answers
from crawler.storage.frontier.base import Batch
from crawler.storage.frontier.memory import MemoryFrontier

SEED = 1
A, B, C = "http://a.test", "http://b.test", "http://c.test"


@dataclass
class Driver:
    """Steps a Crawl by hand and records its actions."""

    crawl: Crawl
    now: float = 100.0
    settled: dict[str, Settled] = field(default_factory=dict)
    queued: list[Link] = field(default_factory=list)
    notes: list[HostNote] = field(default_factory=list)
    last: Actions = field(default_factory=Actions)
    frontier: MemoryFrontier = field(default_factory=MemoryFrontier)

    def step(self, *events: Event, room: int = 10, after: float = 0.0) -> list[Fetch]:
        """Step, and step again as long as the frontier has answers."""
        self.now += after
        fetches = self._step(events, room)
        while found := self._answers():
            fetches += self._step(found, room - len(fetches))
        return fetches

    def _answers(self) -> list[Event]:
        batch = Batch()
        batch.add(self.last)
        return list(answers(self.frontier, batch, self.frontier.commit(batch, self.now), 0.0))

    def _step(self, events: Iterable[Event], room: int) -> list[Fetch]:
        self.last = self.crawl.step(events, room=room, now=self.now)
        for end in self.last.settled:
            assert end.url not in self.settled, "settled twice"
            self.settled[end.url] = end
        self.queued += self.last.queued
        self.notes += self.last.notes
        return list(self.last.fetches)

    def wait(self) -> list[Fetch]:
        """Step at the next wake-up, unless the crawl is over or has issued a fetch."""
        if self.last.ending is not None or self.last.fetches:
            return list(self.last.fetches)
        assert self.last.wake_at is not None
        return self.step(after=self.last.wake_at - self.now) or self.wait()

    def resume(self, *seeds: str, most_marks: int = 1000) -> list[Fetch]:
        return self.step(resumption(self.frontier, SEED, most_marks, 0.0), Discovered(seeds or (f"{A}/",)))

    def answer(self, fetch: Fetch, status: int = 200, *links: str, after: float = 0.0, **facts: object) -> list[Fetch]:
        return self.step(Fetched(fetch.id, status, links, **facts), after=after)  # type: ignore[arg-type]

    def reason(self, url: str) -> Reason:
        return self.settled[url].reason


def driver(
    *seeds: str, bounds: Bounds | None = None, url_filter: Callable[[str], bool] | None = None, **keys: Any
) -> Driver:
    usual = {"robots": False, "delay": 0.0, "per_host": 10, "user_agent": "x", "outage_wait": 0.0}
    usual["host_patience"] = 0.0  # patience is tested in test_patience.py
    rules = Rules(**(usual | keys))  # type: ignore[arg-type]
    seeds = seeds or (f"{A}/",)
    scope = Scope(rules, seeds)
    scope.url_filter = url_filter
    return Driver(Crawl(rules, scope, SEED, bounds))


def started(*seeds: str, bounds: Bounds | None = None, **keys: Any) -> tuple[Driver, list[Fetch]]:
    one = driver(*seeds, bounds=bounds, **keys)
    return one, one.step(Discovered(seeds or (f"{A}/",)))


def urls(fetches: list[Fetch]) -> list[str]:
    return [fetch.url for fetch in fetches]


# ---- admission -------------------------------------------------------------------------------------------------------


def test_a_page_that_links_to_itself_and_twice_to_another_queues_it_once() -> None:
    one, (root,) = started()
    fetches = one.answer(root, 200, f"{A}/", f"{A}/x", f"{A}/x")
    assert urls(fetches) == [f"{A}/x"]
    assert [link.url for link in one.queued] == [f"{A}/", f"{A}/x"]


def test_a_page_whose_links_could_not_be_read_is_stored_and_marked() -> None:
    one, (root,) = started()
    one.answer(root, 200, unread=ParseSkipped.MEMORY)
    end = one.settled[f"{A}/"]
    assert (end.reason, end.unread, end.detail) == (Reason.OK, ParseSkipped.MEMORY, "links not read: memory")


def test_links_out_of_scope_or_too_deep_are_not_admitted() -> None:
    one, (root,) = started(max_depth=1)
    (page,) = one.answer(root, 200, f"{A}/x", f"{B}/")
    one.answer(page, 200, f"{A}/y")
    assert one.last.ending is Ending.COMPLETE
    assert [(link.url, link.depth) for link in one.frontier.beyond()] == [(f"{A}/y", 2)]
    assert set(one.settled) == {f"{A}/", f"{A}/x"}


def test_a_url_beyond_the_depth_limit_is_recorded_once_and_admitted_by_a_shorter_path() -> None:
    one, (root, other) = started(f"{A}/", f"{B}/", max_depth=1)
    (x, y) = one.answer(root, 200, f"{A}/x", f"{A}/y")
    assert x.extract_links
    one.answer(x, 200, f"{A}/deep", f"{A}/deep", f"{A}/", "http://stranger.test/")
    assert [link.url for link in one.last.beyond] == [f"{A}/deep"]
    one.answer(y, 200, f"{A}/deep")
    assert one.last.beyond == []
    assert one.frontier.tally().too_deep == 1
    assert urls(one.answer(other, 200, f"{A}/deep")) == [f"{A}/deep"]
    assert one.frontier.tally().too_deep == 0


def test_a_larger_depth_limit_admits_urls_left_by_an_earlier_run_and_a_smaller_one_removes_none() -> None:
    one, (root,) = started(max_depth=0)
    one.answer(root, 200, f"{A}/x", f"{A}/y")
    assert (one.last.ending, one.frontier.tally().too_deep) == (Ending.COMPLETE, 2)
    again = driver(max_depth=2)
    again.frontier = one.frontier
    assert again.frontier.admit_within(2) == 2
    x, y = again.resume()
    assert {x.url, y.url} == {f"{A}/x", f"{A}/y"}
    again.answer(x, 200, f"{A}/z")
    third = driver(max_depth=1)
    third.frontier = again.frontier
    assert third.frontier.admit_within(1) == 0
    assert {fetch.url for fetch in third.resume()} == {f"{A}/y", f"{A}/z"}


def test_links_to_the_host_that_a_seed_redirects_to_are_admitted_in_any_order_of_answers() -> None:
    def crawled(first: int) -> set[str]:
        one, seeds = started(f"{A}/", f"{C}/")
        for place in (first, 1 - first):
            if place == 0:
                one.answer(seeds[0], 200, f"{B}/deep", "http://d.test/")
            else:
                one.answer(seeds[1], 301, location=f"{B}/")
        return {link.url for link in one.queued}

    assert crawled(0) == crawled(1) == {f"{A}/", f"{C}/", f"{B}/", f"{B}/deep"}


def test_links_that_wait_for_the_answer_of_a_seed_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crawler.core.deferred_links.MOST_STRAYS", 1)
    one, (page, seed) = started(f"{A}/", f"{C}/")
    one.answer(page, 200, f"{B}/x", f"{B}/y")
    one.answer(seed, 301, location=f"{B}/")
    assert {link.url for link in one.queued} == {f"{A}/", f"{C}/", f"{B}/", f"{B}/x"}


# ---- politeness ------------------------------------------------------------------------------------------------------


def test_the_delay_counts_from_the_end_of_the_last_fetch() -> None:
    one, (root,) = started(delay=1.0)
    assert one.answer(root, 200, f"{A}/x", after=5.0) == []
    assert one.last.wake_at == one.now + 1.0
    assert one.step(after=0.9) == []
    assert urls(one.step(after=0.1)) == [f"{A}/x"]


def test_a_failing_page_does_not_delay_its_host() -> None:
    one, (root,) = started(breaker_failures=1)
    x, y = one.answer(root, 200, f"{A}/x", f"{A}/y")
    one.step(Failed(x.id, FetchErrorKind.ENCODING))
    one.answer(y)
    assert (one.reason(f"{A}/x"), one.reason(f"{A}/y")) == (Reason.ENCODING, Reason.OK)


def test_many_forbidden_links_are_refused_in_small_steps() -> None:
    one, asked = started(f"{A}/", f"{B}/", robots=True)
    rules = {f"{A}/robots.txt": "User-agent: *\nDisallow: /x", f"{B}/robots.txt": ""}
    pages = {page.url: page for fetch in asked for page in one.answer(fetch, 200, robots_text=rules[fetch.url])}
    one.answer(pages[f"{A}/"], 200, *(f"{A}/x{number}" for number in range(3 * REFUSALS)))
    assert len(one.last.settled) == 1 + REFUSALS
    assert one.last.wake_at == one.now
    assert urls(one.answer(pages[f"{B}/"], 200, f"{B}/y")) == [f"{B}/y"]
    one.step(Stop())
    assert one.last.wake_at != one.now, "a draining crawl refuses no further links"


def test_one_slow_host_never_starves_the_others() -> None:
    one = driver(f"{A}/", f"{B}/", per_host=2)
    fetches = one.step(Discovered((*(f"{A}/{n}" for n in range(50)), f"{B}/1", f"{B}/2")), room=4)
    assert sorted(urls(fetches)) == [f"{A}/0", f"{A}/1", f"{B}/1", f"{B}/2"]


def test_retry_after_holds_the_whole_host_and_is_noted() -> None:
    one, (root,) = started()
    (x, y) = one.answer(root, 200, f"{A}/x", f"{A}/y")
    one.answer(x, 503, retry_after=30.0)
    assert [note.rest_until for note in one.last.notes] == [130.0]
    one.answer(y, 200, f"{A}/z")
    assert one.step(after=29.0) == []
    assert sorted(urls(one.step(after=1.0))) == [f"{A}/x", f"{A}/z"]
    assert {note.rest_until for note in one.notes[1:]} == {130.0}


def test_consecutive_429s_without_retry_after_delay_the_host_longer_each_time() -> None:
    one, fetches = started(backoff=4.0, per_host=1, attempts=9)
    rests = []
    for _ in range(3):
        assert one.answer(fetches[0], 429) == []
        rests.append(one.notes[-1].rest_until - one.now)
        fetches = one.step(after=60.0)
    assert all(4.0 * 1.5**n / 2 <= rest <= 4.0 * 1.5**n for n, rest in enumerate(rests))
    one.answer(fetches[0], 200, f"{A}/x")
    one.answer(one.last.fetches[0], 429)
    assert one.notes[-1].rest_until - one.now <= 4.0, "a successful answer resets the series"


def test_a_short_back_off_never_replaces_a_longer_delay() -> None:
    one, (root,) = started(delay=10.0, backoff=0.001)
    assert one.answer(root, 500) == []
    assert one.step(after=9.9) == []
    assert urls(one.step(after=0.1)) == [f"{A}/"]


def test_a_hold_longer_than_max_hold_settles_the_urls_of_the_host() -> None:
    one, fetches = started(f"{A}/", f"{B}/", max_hold=60.0)
    one.answer(fetches[0], 200, f"{A}/x", f"{A}/y")
    held = one.last.fetches
    one.answer(held[0], 429, retry_after=61.0)
    one.answer(held[1], 200, f"{A}/later")
    assert one.reason(f"{A}/x") is Reason.HELD
    assert one.reason(f"{A}/later") is Reason.HELD
    assert one.reason(f"{A}/y") is Reason.OK


def test_retry_after_is_ignored_on_a_successful_page() -> None:
    one, (root,) = started()
    assert urls(one.answer(root, 200, f"{A}/x", retry_after=500.0)) == [f"{A}/x"]


# ---- retries, leases, poison -----------------------------------------------------------------------------------------


def test_after_three_attempts_a_url_settles_with_the_reason_of_the_last() -> None:
    one, fetches = started(backoff=0.0)
    for attempt in (1, 2, 3):
        (fetch,) = fetches
        assert fetch.attempt == attempt
        fetches = one.step(Failed(fetch.id, FetchErrorKind.TIMEOUT, "idle"))
    end = one.settled[f"{A}/"]
    assert (end.reason, end.attempts, end.status, end.detail) == (Reason.TIMEOUT, 3, 0, "idle")


def test_a_retry_is_recorded_so_that_it_survives_a_kill() -> None:
    one, (root,) = started()
    one.answer(root, 503)
    assert [(link.attempts, link.status) for link in one.last.retries] == [(1, 503)]


def test_a_lost_lease_uses_no_attempt_and_its_late_answer_is_ignored() -> None:
    one, (first,) = started(lease=30.0)
    assert one.last.wake_at == one.now + 30.0
    (second,) = one.step(after=30.0)
    assert (second.url, second.attempt) == (first.url, 1) and second.id != first.id
    one.answer(first, 200, f"{A}/x")
    assert one.settled == {} and one.queued[1:] == []
    one.answer(second, 200)
    assert one.last.ending is Ending.COMPLETE


def test_a_url_lost_three_times_in_a_row_is_poison() -> None:
    one, fetches = started()
    for _ in range(3):
        fetches = one.step(Failed(fetches[0].id, FetchErrorKind.LEASE_EXPIRED, "worker died"))
    assert one.reason(f"{A}/") is Reason.POISON
    assert one.last.ending is Ending.COMPLETE


def test_a_failed_attempt_at_a_host_that_was_given_up_settles_the_url() -> None:
    one, (root,) = started(breaker_failures=1)
    x, y, z = one.answer(root, 200, f"{A}/x", f"{A}/y", f"{A}/z")
    one.step(Failed(x.id, FetchErrorKind.TIMEOUT, "idle"))
    assert one.reason(f"{A}/x") is Reason.TIMEOUT, "it settles with its own failure"
    one.step(Failed(y.id, FetchErrorKind.CONNECT), Failed(z.id, FetchErrorKind.LEASE_EXPIRED))
    assert {one.reason(f"{A}/{page}") for page in "yz"} == {Reason.HOST_DOWN}
    assert one.last.ending is Ending.COMPLETE


# ---- redirects -------------------------------------------------------------------------------------------------------


def test_a_redirect_settles_its_url_and_admits_the_target() -> None:
    one, (root,) = started()
    fetches = one.answer(root, 301, location=f"{A}/new")
    assert one.reason(f"{A}/") is Reason.REDIRECT
    assert urls(fetches) == [f"{A}/new"]
    assert one.queued[1].via == (f"{A}/",)


def test_redirect_loops_limits_and_invalid_targets_are_recorded() -> None:
    one, (root,) = started(max_redirects=2)
    (b,) = one.answer(root, 302, location=f"{A}/b")
    (c,) = one.answer(b, 302, location=f"{A}/c")
    one.answer(c, 302, location=f"{A}/d")
    assert one.reason(f"{A}/c") is Reason.REDIRECT_LIMIT
    for target, reason in ((f"{A}/", Reason.REDIRECT_LOOP), ("", Reason.REDIRECT_INVALID)):
        one, (root,) = started()
        one.answer(root, 307, location=target)
        assert one.reason(f"{A}/") is reason
    one, (root,) = started()
    (b,) = one.answer(root, 302, location=f"{A}/b")
    one.answer(b, 302, location=f"{A}/")
    assert one.reason(f"{A}/b") is Reason.REDIRECT_LOOP


def test_redirect_targets_are_checked_against_patterns_and_scope() -> None:
    one, (root,) = started(exclude=("private",))
    x, y = one.answer(root, 200, f"{A}/x", f"{A}/y")
    one.answer(x, 302, location=f"{A}/private")
    one.answer(y, 302, location=f"{B}/")
    assert one.last.ending is Ending.COMPLETE
    assert len(one.settled) == 3


def test_the_host_that_a_seed_redirects_to_joins_the_scope() -> None:
    one, (root,) = started()
    (moved,) = one.answer(root, 301, location=f"{B}/")
    assert moved.url == f"{B}/"
    assert [note.host for note in one.notes if note.joined] == [B]
    assert urls(one.answer(moved, 200, f"{B}/x")) == [f"{B}/x"]


# ---- robots.txt ------------------------------------------------------------------------------------------------------


def test_robots_txt_is_fetched_first_and_alone_and_is_obeyed() -> None:
    one, (robots,) = started(robots=True)
    assert (robots.url, robots.robots, robots.extract_links) == (f"{A}/robots.txt", True, False)
    (root,) = one.answer(robots, 200, robots_text="User-agent: *\nDisallow: /no")
    one.answer(root, 200, f"{A}/no/way", f"{A}/yes")
    assert one.reason(f"{A}/no/way") is Reason.ROBOTS
    assert one.settled[f"{A}/no/way"].attempts == 0
    assert urls(one.last.fetches) == [f"{A}/yes"]


def test_a_crawl_delay_applies_from_the_first_page() -> None:
    one, (robots,) = started(robots=True)
    assert one.answer(robots, 200, robots_text="User-agent: *\nCrawl-delay: 7") == []
    assert one.last.wake_at == one.now + 7.0
    assert one.notes[-1].delay == 7.0


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_robots_txt_with_4xx_allows_all(status: int) -> None:
    one, (robots,) = started(robots=True)
    assert urls(one.answer(robots, status)) == [f"{A}/"]


@pytest.mark.parametrize(
    ("event", "because"),
    [
        (500, "robots.txt: status 500"),
        (503, "robots.txt: status 503"),
        (429, "robots.txt: status 429"),
        ("failed", "robots.txt: connect: refused"),
        ("lost", "robots.txt: lost"),
        ("cut", "robots.txt: status 200, cut short (disconnect)"),
    ],
)
def test_unavailable_robots_txt_disallows_all_is_retried_and_given_up(event: object, because: str) -> None:
    one, fetches = started(robots=True, robots_backoff=1.0, host_patience=10.0, lost_limit=1)
    asked = 0
    while one.last.ending is None:
        (robots,) = fetches
        assert robots.robots
        asked += 1
        if event == "failed":
            one.step(Failed(robots.id, FetchErrorKind.CONNECT, "refused"))
        elif event == "lost":
            one.step(Failed(robots.id, FetchErrorKind.LEASE_EXPIRED))
        elif event == "cut":
            one.answer(robots, 200, robots_text="User-agent: *", truncated="disconnect")
        else:
            one.answer(robots, event)  # type: ignore[arg-type]
        fetches = one.wait()
    assert 4 <= asked <= 7 and 110.0 <= one.now <= 111.0
    assert (one.reason(f"{A}/"), one.settled[f"{A}/"].detail) == (Reason.ROBOTS_UNAVAILABLE, because)
    assert one.last.ending is Ending.COMPLETE


def test_a_blocked_host_is_given_up_at_once() -> None:
    one, (robots,) = started(robots=True)
    assert not one.step(Failed(robots.id, FetchErrorKind.BLOCKED, "10.0.0.1:80, private"))
    assert one.settled[f"{A}/"].detail == "robots.txt: blocked: 10.0.0.1:80, private"
    assert (one.reason(f"{A}/"), one.last.ending) == (Reason.BLOCKED, Ending.COMPLETE)


def test_a_robots_redirect_to_a_blocked_address_disallows_all_at_once() -> None:
    one, (robots,) = started(robots=True)
    (elsewhere,) = one.answer(robots, 301, location=f"{B}/r")
    assert not one.step(Failed(elsewhere.id, FetchErrorKind.BLOCKED))
    assert (one.reason(f"{A}/"), one.last.ending) == (Reason.ROBOTS_UNAVAILABLE, Ending.COMPLETE)


def test_a_host_with_a_slow_lookup_waits_and_the_retry_waits_for_dns() -> None:
    one, (robots,) = started(robots=True, lookup_rest=10.0)
    for rest in (1.0, 10.0):
        assert robots.robots and not robots.wait_for_dns
        assert not one.step(Failed(robots.id, FetchErrorKind.DNS_PENDING))
        assert not one.step(after=rest - 0.1)
        (robots,) = one.step(after=0.1)
    assert robots.robots and robots.wait_for_dns
    (root,) = one.answer(robots, 404)
    assert (root.url, root.wait_for_dns) == (f"{A}/", False)


def test_a_page_with_a_slow_lookup_uses_no_attempt_and_no_page_of_the_budget() -> None:
    one, (root,) = started(max_pages=1, attempts=1)
    assert not one.step(Failed(root.id, FetchErrorKind.DNS_PENDING))
    (root,) = one.step(after=10.0)
    assert (root.attempt, root.wait_for_dns) == (1, False)
    assert not one.step(Failed(root.id, FetchErrorKind.DNS_PENDING), after=0.0)
    (root,) = one.step(after=10.0)
    assert (root.attempt, root.wait_for_dns) == (1, True)
    one.answer(root, 200)
    assert one.last.ending is Ending.COMPLETE


def test_a_slow_lookup_is_not_a_lost_lease() -> None:
    one, (root,) = started(lost_limit=2)
    one.step(Failed(root.id, FetchErrorKind.DNS_PENDING))
    (root,) = one.step(after=10.0)
    (root,) = one.step(Failed(root.id, FetchErrorKind.LEASE_EXPIRED, "worker died"))
    one.answer(root, 200)
    assert one.reason(f"{A}/") is Reason.OK


def test_a_late_slow_lookup_causes_no_further_delay() -> None:
    one, (root,) = started(delay=300.0, lookup_rest=10.0)
    one.step(Failed(root.id, FetchErrorKind.DNS_PENDING))
    assert len(one.step(after=10.0)) == 1, "no request was sent to the host, so it needs no delay"


def test_a_blocked_page_is_not_retried_and_does_not_count_against_its_host() -> None:
    one, (root,) = started(breaker_failures=1)
    x, _ = one.answer(root, 200, f"{A}/x", f"{A}/y")
    assert urls(one.step(Failed(x.id, FetchErrorKind.BLOCKED))) == []
    assert one.reason(x.url) is Reason.BLOCKED
    assert not one.last.notes, "a blocked page does not delay its host"


def test_a_robots_txt_with_a_hold_beyond_max_hold_gives_up_the_host() -> None:
    one, (robots,) = started(robots=True, max_hold=60.0)
    one.answer(robots, 503, retry_after=100.0)
    assert one.reason(f"{A}/") is Reason.HELD


def test_five_robots_redirects_are_followed_then_all_is_allowed() -> None:
    one, fetches = started(robots=True)
    for hop in range(5):
        fetches = one.answer(fetches[0], 301, location=f"{B}/r{hop}")
        assert urls(fetches) == [f"{B}/r{hop}"], "counted for the host whose robots.txt it is"
    assert urls(one.answer(fetches[0], 301, location=f"{B}/r6")) == [f"{A}/"]


def test_a_robots_redirect_without_a_valid_target_allows_all() -> None:
    one, (robots,) = started(robots=True)
    assert urls(one.answer(robots, 302)) == [f"{A}/"]


def test_a_lost_robots_fetch_is_retried_a_limited_number_of_times() -> None:
    one, fetches = started(robots=True)
    for _ in range(3):
        (robots,) = fetches
        fetches = one.step(Failed(robots.id, FetchErrorKind.LEASE_EXPIRED))
    assert one.reason(f"{A}/") is Reason.ROBOTS_UNAVAILABLE


def test_robots_txt_is_fetched_again_after_a_day_once_nothing_is_in_flight() -> None:
    one, (robots,) = started(robots=True, robots_ttl=100.0, lease=1000.0)
    (root,) = one.answer(robots, 404)
    (x,) = one.answer(root, 200, f"{A}/x", after=50.0)
    links = tuple(f"{A}/y{n}" for n in range(20))
    busy = one.answer(x, 200, *links, after=49.0)
    assert len(busy) == 10
    assert one.answer(busy[0], 200, after=2.0) == [], "stale, but pages are still in flight"
    for fetch in busy[1:-1]:
        assert one.answer(fetch) == []
    (again,) = one.answer(busy[-1])
    assert again.robots


def test_a_robots_answer_for_a_host_already_given_up_is_ignored() -> None:
    one, (robots,) = started(robots=True, robots_ttl=0.0, breaker_failures=1, lease=1000.0)
    one.answer(robots, 404)
    (crawl_host,) = one.crawl._hosts
    (again,) = one.last.fetches
    assert again.robots
    for link in crawl_host.give_up(Reason.HOST_DOWN, ""):
        one.crawl._settle(link, Reason.HOST_DOWN)
    one.answer(again, 200, robots_text="")
    assert one.last.ending is Ending.COMPLETE


def test_a_crawl_delay_is_obeyed_after_a_resume_with_a_smaller_delay() -> None:
    one, (robots,) = started(robots=True, delay=5.0)
    one.answer(robots, 200, robots_text="User-agent: *\nCrawl-delay: 3")
    again = driver(robots=True, delay=0.0)
    again.frontier = one.frontier
    assert again.resume() == []
    assert urls(again.step(after=one.notes[-1].rest_until - 100.0)) == [f"{A}/"]
    (root,) = again.last.fetches
    assert again.answer(root, 200, f"{A}/x") == []
    assert again.last.wake_at == again.now + 3.0


def test_an_implausible_hold_caused_by_a_wrong_clock_is_bounded() -> None:
    one = driver(retry_after_cap=100.0, breaker_rest=1.0)
    one.frontier.commit(Batch(notes=[HostNote(A, rest_until=1e9)]), 0.0)
    assert one.resume() == []
    assert one.last.wake_at == one.now + 100.0


def test_no_wake_up_is_set_for_fetches_that_the_byte_budget_forbids() -> None:
    one, (root,) = started(f"{A}/", max_bytes=10, per_host=1, lease=50.0)
    one.answer(root, 200, f"{A}/x", f"{A}/y", size=50)
    assert one.last.ending is Ending.LIMIT
    one, fetches = started(f"{A}/", f"{B}/", max_bytes=10, delay=1.0, lease=50.0)
    one.answer(fetches[0], 200, f"{A}/x", size=50)
    assert one.last.wake_at == 150.0, "only the lease of the other host"


# ---- budgets, stop, resume -------------------------------------------------------------------------------------------


def test_a_page_budget_is_never_exceeded_and_reaching_it_is_not_completion() -> None:
    one, (root,) = started(max_pages=3, backoff=0.0)
    fetches = one.answer(root, 200, *(f"{A}/{n}" for n in range(9)))
    assert len(fetches) == 2
    (retry,) = one.answer(fetches[0], 503)
    assert one.answer(fetches[1]) == []
    one.answer(retry)
    assert one.last.ending is Ending.LIMIT


def test_a_byte_budget_stops_the_crawl_after_what_is_in_flight() -> None:
    one, (root,) = started(max_bytes=10)
    x, y = one.answer(root, 200, f"{A}/x", f"{A}/y", size=1)
    assert one.answer(x, 200, f"{A}/z", size=50) == []
    assert one.last.ending is None
    one.answer(y)
    assert one.last.ending is Ending.LIMIT


def test_stop_waits_for_what_is_in_flight_and_issues_nothing() -> None:
    one, (root,) = started()
    assert one.step(Stop()) == [] and one.last.ending is None
    assert one.answer(root, 200, f"{A}/x") == []
    assert one.last.ending is Ending.STOPPED


def test_stop_waits_no_longer_than_the_grace() -> None:
    one, _ = started(grace=6.0)
    one.step(Stop())
    one.step(Stop(), after=1.0)
    assert one.last.wake_at == 106.0
    one.step(after=5.0)
    assert one.last.ending is Ending.STOPPED


def test_a_stop_after_the_last_url_is_a_completion() -> None:
    one, (root,) = started()
    one.step(Stop())
    one.answer(root)
    assert one.last.ending is Ending.COMPLETE


def test_without_room_no_fetch_is_issued_until_there_is_room() -> None:
    one = driver()
    assert one.step(Discovered((f"{A}/",)), room=0) == []
    assert one.last.ending is None
    assert urls(one.step(room=1)) == [f"{A}/"]


def test_a_resume_continues_and_waits_the_delay_first() -> None:
    one = driver(delay=2.0, robots=True, max_pages=3)
    known = [Link(1, f"{A}/", 0), Link(4, f"{A}/x", 1), Link(5, f"{A}/y", 1, attempts=2, status=503)]
    robots = "User-agent: *\nDisallow: /no\nCrawl-delay: 3"
    notes = [HostNote(A, robots, robots_until=1e6, delay=3.0), HostNote(B, joined=True)]
    one.frontier.commit(Batch(queued=known, settled=[Settled(1, f"{A}/", Reason.OK, 200, 1)], notes=notes), 0.0)
    assert one.resume() == []
    assert one.queued == []
    assert one.last.wake_at == 103.0
    (y,) = one.step(after=3.0)
    assert (y.url, y.attempt) == (f"{A}/y", 3)
    assert urls(one.answer(y, 200, f"{B}/", f"{A}/no")) == [f"{B}/robots.txt"]
    assert [link.id for link in one.queued] == [6, 7]
    assert urls(one.step(after=3.0)) == [f"{A}/x"]
    assert one.step(after=3.0) == [], "the budget of three pages is used up, the earlier run's included"


def test_a_host_without_a_note_also_waits_the_delay_after_a_resume() -> None:
    one = driver(delay=2.0)
    assert one.resume() == []
    assert urls(one.step(after=2.0)) == [f"{A}/"]


def test_no_wait_exceeds_what_every_clock_can_represent() -> None:
    one, (root,) = started(delay=1e7)
    one.answer(root, 200, f"{A}/x")
    assert one.last.wake_at == one.now + LONGEST_WAIT


# ---- outages ---------------------------------------------------------------------------------------------------------


def test_in_an_outage_robots_txt_and_pages_are_retried_and_no_attempt_is_used() -> None:
    one, (a, b) = started(f"{A}/", f"{B}/", robots=True, outage_wait=60.0, host_patience=600.0)
    (root,) = one.step(Fetched(a.id, 404))
    one.answer(root, 200, *(f"{A}/{n}" for n in range(4)))
    (b_root,) = one.step(Fetched(b.id, 404))
    pages = one.answer(b_root, 200, f"{B}/x")
    connects = (*range(root.id + 1, root.id + 5), *(page.id for page in pages))
    assert one.step(*(Failed(number, FetchErrorKind.CONNECT) for number in connects)) == []
    assert one.last.away
    probes = [fetch for _ in range(9) for fetch in one.step(after=2.0)]
    assert 2 <= len(probes) <= 5
    assert {probe.attempt for probe in probes} == {1}
    assert {one.reason(url) for url in one.settled} == {Reason.OK}
    assert one.settled.keys() == {f"{A}/", f"{B}/"}
    fetches = one.step(Fetched(probes[-1].id, 404 if probes[-1].robots else 200))
    assert not one.last.away, "an answer ends the outage"
    while one.last.ending is None:
        for fetch in fetches:
            one.answer(fetch, 404 if fetch.robots else 200)
        fetches = one.wait()
    assert one.settled.keys() == {f"{A}/", f"{B}/", f"{B}/x", *(f"{A}/{n}" for n in range(4))}
    assert {end.attempts for end in one.settled.values()} == {1}


def test_a_page_in_doubt_is_released_with_its_host() -> None:
    one, (root,) = started(outage_wait=60.0, breaker_failures=1, host_patience=1e-9)
    x, y = one.answer(root, 200, f"{A}/x", f"{A}/y")
    one.step(Failed(x.id, FetchErrorKind.TIMEOUT, "idle"))
    one.answer(y, 500)
    one.step(after=1.0)
    (again,) = one.last.fetches
    one.answer(again, 500)
    assert one.settled.keys() == {f"{A}/", f"{A}/x", f"{A}/y"}
    assert one.last.ending is Ending.COMPLETE
    one.step(after=10.0)


# ---- reopening -------------------------------------------------------------------------------------------------------


def test_a_host_with_a_hold_beyond_max_hold_is_not_asked_before_its_end() -> None:
    one = driver(max_hold=30.0)
    one.frontier.commit(Batch(queued=[Link(1, f"{A}/", 0)], notes=[HostNote(A, rest_until=3700.0)]), 0.0)
    assert one.resume() == []
    assert (one.reason(f"{A}/"), one.last.ending) == (Reason.HELD, Ending.COMPLETE)


def test_a_hold_that_is_over_is_forgotten() -> None:
    one = driver(max_hold=30.0)
    one.frontier.commit(Batch(queued=[Link(1, f"{A}/", 0)], notes=[HostNote(A, rest_until=99.0)]), 0.0)
    assert urls(one.resume()) == [f"{A}/"]


def test_a_settlement_names_the_parts_of_the_page_that_were_cut() -> None:
    one, (root,) = started()
    one.step(Fetched(root.id, 200, cut=3, unread=None))
    assert one.settled[f"{A}/"].detail == "links not taken: 3"
    assert one.settled[f"{A}/"].seed


def test_a_reopened_url_is_fetched_again_and_counts_once_in_the_budget() -> None:
    one = driver(attempts=1, max_pages=2)
    (root,) = one.step(Discovered((f"{A}/",)))
    (x,) = one.answer(root, 200, f"{A}/x")
    one.answer(x, 503)
    assert (one.last.ending, one.frontier.tally().conclude().ending) == (Ending.COMPLETE, Ending.INCOMPLETE)
    assert one.frontier.reopen(selection(Ending.INCOMPLETE)).counts == {"server_error": 1}
    again = driver(attempts=1, max_pages=2)
    again.frontier = one.frontier
    (x,) = again.resume()
    assert (x.url, x.attempt) == (f"{A}/x", 1)
    again.answer(x, 200)
    tally = one.frontier.tally()
    assert (tally.urls, tally.reasons, tally.conclude()) == (2, {"ok": 2}, (Ending.COMPLETE, {}))
