"""The brakes of a crawl as it sees them."""

from __future__ import annotations

from itertools import islice, pairwise, product

from crawler.core.crawl import Crawl
from crawler.core.hosts.host import Host
from crawler.core.hosts.host_state import State
from crawler.core.messages import Actions, Discovered, Fetched
from crawler.core.reasons import Reason
from crawler.core.rules import Rules
from crawler.core.traps.combined_limits import CombinedLimits
from crawler.core.urls.scope import Scope

A, B, C = (f"http://{name}.h.test" for name in "abc")
DELAY = 1.0


def begin(**keys: object) -> tuple[Crawl, Actions]:
    rules = Rules(**{"delay": DELAY, "scope": "domain", **keys})  # type: ignore[arg-type]
    crawl = Crawl(rules, Scope(rules, [f"{A}/"]), 1)
    return crawl, crawl.step([Discovered((f"{A}/", f"{B}/", f"{C}/"))], room=9, now=0.0)


def test_hosts_of_one_address_are_asked_one_after_the_other() -> None:
    crawl, actions = begin()
    assert len(actions.fetches) == 3, "their addresses are not known yet"
    events = [Fetched(fetch.id, 404, address="10.0.0.1") for fetch in actions.fetches]
    actions = crawl.step(events, room=9, now=0.5)
    now, asked = 0.5, []
    for _ in range(20):
        assert len(actions.fetches) <= 1
        asked += [now for _ in actions.fetches]
        events = [Fetched(fetch.id, 200, address="10.0.0.1") for fetch in actions.fetches]
        if actions.ending:
            break
        now = now if events else max(now, actions.wake_at or now)
        actions = crawl.step(events, room=9, now=now)
    assert len(asked) == 3
    assert all(later - sooner >= DELAY for sooner, later in pairwise(asked))


def test_each_host_has_its_own_delay_by_option() -> None:
    for keys in ({"per_address": False}, {"scope": "any", "per_address": False}):
        crawl, actions = begin(**keys)
        events = [Fetched(fetch.id, 404, address="10.0.0.1") for fetch in actions.fetches]
        crawl.step(events, room=9, now=0.5)
        assert len(crawl.step([], room=9, now=0.5 + DELAY).fetches) == 3
    assert [Rules(scope=scope).shares_addresses for scope in ("host", "domain", "any")] == [False, True, True]
    assert Rules(per_address=True).shares_addresses


def test_no_robots_txt_is_fetched_for_a_domain_without_budget() -> None:
    crawl, actions = begin(delay=0.0, max_domain_pages=1)
    robots = {fetch.url: fetch.id for fetch in actions.fetches}
    actions = crawl.step([Fetched(robots[f"{A}/robots.txt"], 404)], room=9, now=0.1)
    (page,) = actions.fetches
    links = ("http://d.h.test/", "http://e.h.test/")
    actions = crawl.step([Fetched(page.id, 200, links, fingerprint=(1, 1))], room=9, now=0.2)
    assert actions.fetches == []
    assert [end.reason for end in actions.settled] == [Reason.OK, Reason.DOMAIN_LIMIT, Reason.DOMAIN_LIMIT]


def test_a_host_without_links_has_nothing_to_refuse() -> None:
    brakes, host = CombinedLimits(Rules(delay=0.0)), Host(A, Rules(delay=0.0))
    assert brakes.refuses(host) is None
    assert not brakes.makes_wait(host, 0.0)
    assert host.state is State.NEW


def test_a_url_that_only_copies_linked_is_trusted_once_a_new_page_links_it_too() -> None:
    rules = Rules(delay=0, robots=False, per_host=10)
    crawl = Crawl(rules, Scope(rules, [f"{A}/"]), 1)
    named = (f"{A}/{''.join(letters)}" for letters in product("ghijklmn", repeat=4))
    now, early, copies = 0.0, "", 0
    open_fetches = {fetch.id: fetch for fetch in crawl.step([Discovered((f"{A}/",))], room=1, now=now).fetches}
    settled: dict[str, Reason] = {}
    doubted: list[str] = []
    links: tuple[str, ...]
    while open_fetches:
        now += 1
        waiting = next((one for one in open_fetches.values() if one.url == f"{A}/new"), None)
        others = [one for one in open_fetches.values() if one is not waiting]
        fetch = others[0] if others and (copies < 40 or waiting is None) else waiting
        assert fetch is not None
        del open_fetches[fetch.id]
        if fetch.url == f"{A}/":
            links, marks = (f"{A}/new", f"{A}/copy", f"{A}/copies"), (0, 0)
        elif fetch is waiting:
            early = next(url for url in reversed(doubted) if url not in settled)
            links, marks = (early,), (2, 2)
        else:
            copies += 1
            links, marks = tuple(islice(named, 3)), (1, 1)
            doubted += links if copies > 1 else ()
        actions = crawl.step([Fetched(fetch.id, 200, links, fingerprint=marks)], room=10, now=now)
        open_fetches |= {one.id: one for one in actions.fetches}
        settled |= {end.url: end.reason for end in actions.settled}
    refused = [url for url in doubted if settled.get(url) is Reason.REPEATED_PAGES]
    assert settled[early] is Reason.OK
    assert doubted.index(early) > doubted.index(refused[0]), "without the new page it would have been refused as well"
