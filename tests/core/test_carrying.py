"""Known pages that are not due: they count as they are stored, and their hosts are not asked."""

from __future__ import annotations

from typing import Any

import pytest

from crawler.core.bounds import Bounds
from crawler.core.crawl import Crawl
from crawler.core.messages import (
    Actions,
    CarriedOver,
    Discovered,
    Failed,
    Fetch,
    Fetched,
    Link,
    LiveLimits,
    Refill,
    Resumed,
    SitemapKind,
    Stop,
)
from crawler.core.reasons import Ending, FetchErrorKind, Reason
from crawler.core.revisit.carried import CarriedUrls, packed
from crawler.core.rules import Rules
from crawler.core.settling import CARRIED, read_back, settled_from, was_carried
from crawler.core.urls.scope import Scope

SEED = 7
HOME = "http://a.test/"
ONE, TWO, DEEP = "http://a.test/one", "http://a.test/two", "http://a.test/deep"


def crawl_with(*carried: str, bounds: Bounds | None = None, **rules: Any) -> Crawl:
    """A crawl that has answered for its seed, which is not robots.txt, and carries these pages over."""
    told = Rules(**({"robots": False, "delay": 0.0, "per_host": 4} | rules))
    crawl = Crawl(told, Scope(told, [HOME]), SEED, bounds)
    crawl.step([CarriedOver(packed(carried, SEED)), Discovered((HOME,))], room=0, now=0.0)
    return crawl


def answer(crawl: Crawl, links: tuple[str, ...], room: int = 9) -> Actions:
    """Ask for the seed, and answer with these links."""
    (home,) = crawl.step([], room=1, now=1.0).fetches
    return crawl.step([Fetched(home.id, 200, links)], room=room, now=2.0)


def stored(fetch: Fetch, *links: str) -> Fetched:
    """What a worker answers from the store."""
    return Fetched(fetch.id, 200, links, size=3, part="0/p", position=4, carried=True)


def test_the_marks_of_urls_tell_them_from_others() -> None:
    urls = [f"http://a.test/{number}" for number in range(500)]
    carried = CarriedUrls(packed(urls, SEED), SEED)
    assert all(url in carried for url in urls)
    assert not any(f"{url}x" in carried for url in urls)
    assert HOME not in CarriedUrls(b"", SEED)


def test_a_carried_page_is_read_from_the_store_whatever_its_host_wants_and_its_links_count() -> None:
    crawl = crawl_with(ONE, delay=1000.0)
    actions = answer(crawl, (ONE, TWO))
    assert [(fetch.url, fetch.carried) for fetch in actions.fetches] == [(ONE, True)]
    actions = crawl.step([stored(actions.fetches[0], DEEP)], room=9, now=3.0)
    (end,) = actions.settled
    assert (end.url, end.reason, end.status, end.attempts, end.carried) == (ONE, Reason.OK, 200, 0, True)
    assert (end.part, end.position, end.size) == ("0/p", 4, 3)
    assert [(link.url, link.depth) for link in actions.queued] == [(DEEP, 2)]
    assert actions.fetches == [] and actions.ending is None


def test_seeds_and_their_targets_and_sitemaps_are_always_asked_for() -> None:
    target, sitemap = "http://a.test/start", "http://a.test/map.xml"
    crawl = crawl_with(HOME, target, sitemap, ONE, sitemaps=True)
    (home,) = crawl.step([], room=1, now=1.0).fetches
    assert not home.carried
    (start,) = crawl.step([Fetched(home.id, 301, location=target)], room=9, now=2.0).fetches
    assert (start.url, start.carried) == (target, False)
    index = Fetched(start.id, 200, (sitemap,), sitemap=SitemapKind.INDEX)
    (named,) = crawl.step([index], room=9, now=3.0).fetches
    assert (named.url, named.carried) == (sitemap, False)
    (one,) = crawl.step([Fetched(named.id, 200, (ONE,), sitemap=SitemapKind.PAGES)], room=9, now=4.0).fetches
    assert (one.url, one.carried) == (ONE, True)


def test_a_carried_page_costs_no_page_of_the_budget() -> None:
    crawl = crawl_with(ONE, max_pages=1)
    (one,) = answer(crawl, (ONE, TWO)).fetches
    assert one.carried
    actions = crawl.step([stored(one)], room=9, now=3.0)
    assert (actions.fetches, actions.ending) == ([], Ending.LIMIT)


def test_pages_that_wait_to_be_carried_keep_a_crawl_going() -> None:
    crawl = crawl_with(ONE, max_pages=1)
    assert answer(crawl, (ONE,), room=0).ending is None
    (one,) = crawl.step([], room=1, now=3.0).fetches
    assert crawl.step([stored(one)], room=1, now=4.0).ending is Ending.COMPLETE


@pytest.mark.parametrize("kind", [FetchErrorKind.LEASE_EXPIRED, FetchErrorKind.RESOURCE_EXHAUSTED])
def test_a_worker_that_could_not_read_a_page_may_try_again(kind: FetchErrorKind) -> None:
    crawl = crawl_with(ONE, lost_limit=3)
    (fetch,) = answer(crawl, (ONE,)).fetches
    for _ in range(2):
        (fetch,) = crawl.step([Failed(fetch.id, kind)], room=9, now=3.0).fetches
        assert fetch.carried
    (fetch,) = crawl.step([Failed(fetch.id, kind)], room=9, now=3.0).fetches
    assert (fetch.url, fetch.carried, fetch.attempt) == (ONE, False, 1)


def test_a_page_whose_lease_expires_is_read_by_another_worker() -> None:
    crawl = crawl_with(ONE, lease=5.0)
    answer(crawl, (ONE,))
    (again,) = crawl.step([], room=9, now=8.0).fetches
    assert (again.url, again.carried) == (ONE, True)


def test_a_stored_page_that_cannot_be_read_is_asked_for() -> None:
    crawl = crawl_with(ONE)
    (fetch,) = answer(crawl, (ONE,)).fetches
    (asked,) = crawl.step([Failed(fetch.id, FetchErrorKind.DISCONNECT)], room=9, now=3.0).fetches
    assert (asked.url, asked.carried) == (ONE, False)
    actions = crawl.step([Fetched(asked.id, 200)], room=9, now=4.0)
    assert [(end.url, end.attempts, end.carried) for end in actions.settled] == [(ONE, 1, False)]
    assert actions.ending is Ending.COMPLETE


def test_a_host_that_is_given_up_keeps_its_carried_pages() -> None:
    crawl = crawl_with(ONE, DEEP, max_hold=10.0)
    fetch, two = answer(crawl, (ONE, TWO)).fetches
    failed = crawl.step([Fetched(two.id, 429, retry_after=60.0)], room=9, now=3.0)
    actions = crawl.step([stored(fetch, DEEP)], room=9, now=4.0)
    assert [end.reason for end in failed.settled] == [Reason.HELD]
    assert [end.reason for end in actions.settled] == [Reason.OK]
    assert [fetch.carried for fetch in actions.fetches] == [True]
    ended = crawl.step([Failed(actions.fetches[0].id, FetchErrorKind.DISCONNECT)], room=9, now=5.0)
    assert [(end.url, end.reason) for end in ended.settled] == [(DEEP, Reason.HELD)]


def test_nothing_is_carried_while_the_crawl_is_paused_or_stops() -> None:
    crawl = crawl_with(ONE, TWO)
    (home,) = crawl.step([], room=1, now=1.0).fetches
    crawl.step([LiveLimits(paused=True)], room=9, now=1.0)
    assert crawl.step([Fetched(home.id, 200, (ONE, TWO))], room=9, now=2.0).fetches == []
    assert len(crawl.step([LiveLimits()], room=1, now=3.0).fetches) == 1
    assert crawl.step([Stop()], room=9, now=4.0).fetches == []


def test_a_resumed_crawl_carries_what_is_owed_and_no_window_grows_beyond_its_bound() -> None:
    urls = [f"http://a.test/{number}" for number in range(40)]
    rules = Rules(robots=False, delay=0.0)
    crawl = Crawl(rules, Scope(rules, [HOME]), SEED, Bounds(links=8, hosts=4))
    resumed = Resumed(None, owed=40, seeds_owed=0, next_id=41, fetched=0, size=0)
    crawl.step([CarriedOver(packed(urls, SEED)), resumed, Discovered(())], room=0, now=0.0)
    links = [Link(number + 1, url, 1) for number, url in enumerate(urls)]
    actions = crawl.step([], room=0, now=0.0)
    done: list[str] = []
    host = "http://a.test"
    crawl._hosts.take_in(host)
    for now in range(1, 200):
        events: list[Any] = [stored(fetch) for fetch in actions.fetches]
        for request in actions.refill_requests:
            after = [link for link in links if link.id > request.after][: request.count]
            upto = after[-1].id if after else links[-1].id
            events.append(Refill(host, tuple(after), upto, upto < links[-1].id))
        actions = crawl.step(events, room=3, now=float(now))
        assert all(fetch.carried for fetch in actions.fetches) and len(crawl._carrying) <= 8
        done += [end.url for end in actions.settled]
        if actions.ending:
            break
    assert done == urls and actions.ending is Ending.COMPLETE


def test_links_beyond_the_window_of_their_host_wait_in_the_frontier() -> None:
    urls = tuple(f"http://a.test/{number}" for number in range(20))
    crawl = crawl_with(*urls, bounds=Bounds(links=6, hosts=1))
    actions = answer(crawl, urls, room=2)
    assert len(actions.queued) == 20 and len(actions.fetches) == 2 and len(crawl._carrying) <= 4
    actions = crawl.step([stored(fetch) for fetch in actions.fetches], room=9, now=3.0)
    actions = crawl.step([stored(fetch) for fetch in actions.fetches], room=9, now=4.0)
    assert [request.host for request in actions.refill_requests] == ["http://a.test"]


@pytest.mark.parametrize(
    ("event", "detail"),
    [(Fetched(1, 200, part="0/p", carried=True), CARRIED), (Fetched(1, 200, cut=3, carried=True), None)],
)
def test_the_detail_of_a_row_states_that_nobody_was_asked(event: Fetched, detail: str | None) -> None:
    end = settled_from(Link(1, ONE, 1, status=200), Reason.OK, event, "")
    assert end.carried and was_carried("0/p", end.detail) and not was_carried("", end.detail)
    assert detail is None or end.detail == detail
    assert read_back(end.status, end.detail) == (None, event.cut)
