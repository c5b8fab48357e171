"""Which links are in memory and which wait in the frontier. That it makes no difference is tested in tests/sim."""

from __future__ import annotations

import pytest

from crawler.core.bounds import Bounds
from crawler.core.hosts.hosts import Hosts
from crawler.core.messages import Acknowledged, Discovered, Failed, Fetched, Link
from crawler.core.reasons import Ending, FetchErrorKind, Reason
from crawler.core.rules import Rules
from crawler.core.urls import seen
from crawler.storage.frontier.base import Batch
from tests.core.test_crawl import A, B, C, Driver, driver, started, urls

TINY = Bounds(hosts=1, links=2, marks=1000)


def in_memory(one: Driver) -> int:
    return sum(len(host.queue) for host in one.crawl._hosts)


def test_a_long_queue_waits_in_the_frontier_and_is_loaded_in_order() -> None:
    one, (root,) = started(per_host=1, bounds=TINY)
    pages = [f"{A}/{number}" for number in range(40)]
    (first,) = one.answer(root, 200, *pages)
    assert in_memory(one) < 5
    order, fetches = [], [first]
    while fetches:
        order += urls(fetches)
        fetches = one.answer(fetches[0])
        assert in_memory(one) < 5
    assert order == pages
    assert one.last.ending is Ending.COMPLETE


def test_a_host_may_fill_the_window_if_no_other_host_needs_it() -> None:
    one, (root,) = started(per_host=1, bounds=Bounds(hosts=10, links=1000, marks=1000))
    one.answer(root, 200, *(f"{A}/{number}" for number in range(900)))
    assert in_memory(one) == 899
    assert one.last.refill_requests == []


def test_links_of_a_host_that_is_given_up_are_settled_wherever_they_wait() -> None:
    one, (root,) = started(per_host=1, bounds=TINY, breaker_failures=1)
    (page,) = one.answer(root, 200, *(f"{A}/{number}" for number in range(1200)))
    one.step(Failed(page.id, FetchErrorKind.TIMEOUT, "idle"))
    assert one.last.ending is Ending.COMPLETE
    assert len(one.settled) == 1201


def test_a_host_without_room_in_memory_waits_until_another_is_done() -> None:
    one, fetches = started(f"{A}/", f"{B}/", f"{C}/", bounds=TINY)
    assert urls(fetches) == [f"{A}/"]
    fetches = one.answer(fetches[0])
    assert urls(fetches) == [f"{B}/"]
    fetches = one.answer(fetches[0])
    assert urls(fetches) == [f"{C}/"]
    one.answer(fetches[0])
    assert one.last.ending is Ending.COMPLETE


def test_the_state_of_a_dropped_host_is_restored_with_it() -> None:
    one, (robots,) = started(f"{A}/", f"{B}/", robots=True, bounds=TINY)
    assert one.answer(robots, 200, robots_text="User-agent: *\nDisallow: /no\nCrawl-delay: 3") == []
    (root,) = one.step(after=3.0)
    (robots_of_b,) = one.answer(root, 200)
    assert robots_of_b.url == f"{B}/robots.txt"
    (page,) = one.answer(robots_of_b, 404)
    assert one.answer(page, 200, f"{A}/no/way", f"{A}/x") == []
    assert urls(one.step(after=3.0)) == [f"{A}/x"]
    assert one.reason(f"{A}/no/way") is Reason.ROBOTS


def test_a_delay_survives_dropping_the_host_from_memory() -> None:
    one, fetches = started(f"{A}/", f"{B}/", delay=5.0, bounds=TINY)
    (page,) = one.answer(fetches[0])
    assert page.url == f"{B}/"
    assert one.answer(page, 200, f"{A}/x", after=1.0) == []
    assert one.step(after=3.9) == []
    assert urls(one.step(after=0.1)) == [f"{A}/x"]


def test_the_reason_why_a_host_was_given_up_is_kept() -> None:
    one, (root,) = started(f"{A}/", f"{B}/", bounds=TINY, breaker_failures=1)
    (page,) = one.step(Failed(root.id, FetchErrorKind.TIMEOUT, "idle"))
    assert page.url == f"{B}/"
    one.answer(page, 200, f"{A}/x")
    assert one.reason(f"{A}/x") is Reason.HOST_DOWN
    assert one.last.ending is Ending.COMPLETE


def test_the_search_for_hosts_repeats_until_a_round_has_found_all() -> None:
    one = driver(bounds=Bounds(hosts=1, links=100, marks=1000))
    names = [f"http://h{number}.test" for number in range(5)]
    one.frontier.commit(Batch(queued=[Link(n + 1, f"{name}/", 1) for n, name in enumerate(names)]), 0.0)
    fetches = one.resume()
    asked = urls(fetches)
    while fetches:
        fetches = one.answer(fetches[0])
        asked += urls(fetches)
    assert sorted(asked) == sorted([f"{A}/", *(f"{name}/" for name in names)])
    assert one.last.search is None


# ---- URLs that may be known ------------------------------------------------------------------------------------------


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen, "RECENT", 1)


@pytest.mark.usefixtures("forgetful")
def test_beyond_the_limit_of_marks_the_frontier_decides_what_is_new() -> None:
    one, (root,) = started(per_host=1, bounds=Bounds(hosts=10, links=100, marks=1))
    pages = [f"{A}/{number}" for number in range(10)]
    fetches = one.answer(root, 200, *pages)
    order = []
    while fetches:
        order += urls(fetches)
        fetches = one.answer(fetches[0], 200, *pages)
    assert order == pages, "each once, although each was dropped and found again"
    assert one.last.ending is Ending.COMPLETE
    assert one.frontier.tally().queued == 11


@pytest.mark.usefixtures("forgetful")
def test_a_crawl_is_not_complete_while_the_frontier_has_to_decide_on_links() -> None:
    one, (root,) = started(bounds=Bounds(hosts=10, links=100, marks=0))
    one.crawl._seen.complete = False
    one._step([Fetched(root.id, 200, (f"{A}/", f"{A}/x"))], 10)
    assert [link.url for link in one.last.undetermined] == [f"{A}/x"]
    assert one.last.ending is None


def test_a_resume_without_marks_fetches_nothing_twice() -> None:
    one, (root,) = started()
    one.answer(root, 200, f"{A}/x")
    again = driver()
    again.frontier = one.frontier
    (page,) = again.resume(most_marks=0)
    assert page.url == f"{A}/x"
    assert again.answer(page, 200, f"{A}/", f"{A}/x") == []
    assert again.last.ending is Ending.COMPLETE


def test_a_resume_with_a_used_budget_starts_with_the_links_that_may_be_retried() -> None:
    one = driver(max_pages=1, bounds=Bounds(hosts=1, links=100, marks=1000))
    links = [Link(1, f"{A}/", 1), Link(2, f"{B}/", 1), Link(3, f"{C}/", 1)]
    one.frontier.commit(Batch(queued=links, retries=[Link(3, f"{C}/", 1, (), 1, 503)]), 0.0)
    (again,) = one.resume(f"{A}/")
    assert (again.url, again.attempt) == (f"{C}/", 2)
    one.answer(again)
    assert one.last.ending is Ending.LIMIT


def test_a_crawl_with_one_shard_ignores_other_shards() -> None:
    with pytest.raises(TypeError, match="one shard"):
        driver().step(Acknowledged((1,)))


def test_no_note_is_written_for_a_host_dropped_after_its_delay() -> None:
    one, fetches = started(f"{A}/", f"{B}/", bounds=TINY)
    one.answer(fetches[0])
    assert [(note.host, note.heard) for note in one.notes] == [(A, True)], "that it has answered is noted once"
    assert one.step(Discovered((f"{A}/",))) == []
    assert [note.host for note in one.notes] == [A]


def test_an_idle_host_that_gets_a_new_link_is_not_dropped() -> None:
    hosts = Hosts(Rules(), Bounds(hosts=1, links=4))
    host = hosts.get_or_add("http://a.test", 0.0)
    assert host is not None
    hosts.retire(host)
    hosts.queue(host, Link(1, "http://a.test/", 0))
    assert hosts.get_or_add("http://b.test", 0.0) is None
    host.queue.clear()
    hosts.retire(host)
    assert hosts.get_or_add("http://b.test", 0.0) is not None
    assert hosts.get("http://a.test") is None
