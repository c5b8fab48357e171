"""Hosts that are unreachable for a while: how long the crawl waits, which attempts count, when a host is given up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from crawler.core.hosts.health import MOST_UNREACHED, NEVER_ANSWERED, Failure, Health
from crawler.core.messages import Event, Failed, Fetch, Fetched, Stop
from crawler.core.reasons import Ending, FetchErrorKind, Reason
from crawler.core.rules import Rules
from tests.core.test_crawl import A, B, Driver, driver, started, urls

PATIENCE = 600.0
Answer = Callable[[Fetch, float], Event]


def good(fetch: Fetch, now: float) -> Event:
    return Fetched(fetch.id, 404 if fetch.robots else 200)


def refused(fetch: Fetch, now: float) -> Event:
    return Failed(fetch.id, FetchErrorKind.CONNECT, "refused")


def status_503(fetch: Fetch, now: float) -> Event:
    return Fetched(fetch.id, 503)


def pages_503(fetch: Fetch, now: float) -> Event:
    return good(fetch, now) if fetch.robots else status_503(fetch, now)


def silent(fetch: Fetch, now: float) -> Event:
    return Failed(fetch.id, FetchErrorKind.TIMEOUT, "first byte")


def reset(fetch: Fetch, now: float) -> Event:
    return Failed(fetch.id, FetchErrorKind.DISCONNECT, "reset")


def cut(fetch: Fetch, now: float) -> Event:
    return Fetched(fetch.id, 200, truncated="disconnect")


def play(one: Driver, fetches: list[Fetch], answer: Answer, most: float = 20_000.0) -> list[tuple[float, str]]:
    """Answer every fetch until the crawl is over; returns when each URL was fetched."""
    asked: list[tuple[float, str]] = []
    end = one.now + most
    while one.last.ending is None and one.now < end:
        asked += [(one.now, fetch.url) for fetch in fetches]
        for event in [answer(fetch, one.now) for fetch in fetches]:
            one.step(event)
            fetches = [*one.last.fetches]
            asked += [(one.now, fetch.url) for fetch in fetches]
            while fetches:
                one.step(*(answer(fetch, one.now) for fetch in fetches))
                fetches = [*one.last.fetches]
                asked += [(one.now, fetch.url) for fetch in fetches]
        fetches = one.wait() if one.last.ending is None else []
    return asked


def away(first: float, last: float, how: Answer) -> Answer:
    """Answers well, except for a time in which host A answers differently."""
    return lambda fetch, now: (how if first <= now < last and fetch.url.startswith(A) else good)(fetch, now)


def site(pages: int, **keys: object) -> tuple[Driver, list[Fetch]]:
    """A crawl whose seed was fetched and links to so many pages."""
    usual: dict[str, Any] = {"robots": True, "host_patience": PATIENCE, "delay": 0.5, "outage_wait": 300.0}
    one, (robots,) = started(**(usual | keys))
    one.answer(robots, 404)
    (root,) = one.wait()
    one.answer(root, 200, *(f"{A}/{n}" for n in range(pages)))
    return one, one.wait()


@pytest.mark.parametrize("how", [refused, status_503, pages_503, silent, reset, cut])
@pytest.mark.parametrize("pages", [1, 3, 60])
def test_a_host_that_is_away_for_8_seconds_loses_no_url(how: Answer, pages: int) -> None:
    one, fetches = site(pages)
    play(one, fetches, away(one.now, one.now + 8.0, how))
    assert {end.reason for end in one.settled.values()} == {Reason.OK}
    assert not any(end.truncated for end in one.settled.values())
    assert len(one.settled) == pages + 1


@pytest.mark.parametrize("how", [refused, status_503])
@pytest.mark.parametrize("pages", [1, 3, 60])
def test_an_absence_within_patience_loses_no_url_and_takes_few_requests(how: Answer, pages: int) -> None:
    one, fetches = site(pages)
    left = one.now + 0.9 * PATIENCE
    asked = play(one, fetches, away(one.now, left, how))
    assert {end.reason for end in one.settled.values()} == {Reason.OK}
    assert len([url for at, url in asked if at < left]) <= 40 + pages
    assert one.now < left + 70.0 + pages, "the crawl continues by itself"


@pytest.mark.parametrize("how", [refused, status_503, silent])
def test_a_host_that_stays_away_is_given_up_after_its_patience_and_each_page_by_its_own_failure(how: Answer) -> None:
    one, fetches = site(40)
    gone_at = one.now
    play(one, fetches, away(gone_at, 1e9, how))
    assert one.last.ending is Ending.COMPLETE
    assert gone_at + PATIENCE <= one.now <= gone_at + PATIENCE + 70.0
    own = Reason.CONNECT if how is refused else Reason.TIMEOUT if how is silent else Reason.SERVER_ERROR
    asked = [end for end in one.settled.values() if end.attempts and end.reason is not Reason.OK]
    never = [end for end in one.settled.values() if not end.attempts]
    assert asked and {end.reason for end in asked} == {own}
    assert {end.reason for end in never} <= {Reason.HOST_DOWN, Reason.ROBOTS_UNAVAILABLE}
    assert len(asked) + len(never) == 40


def test_pages_not_yet_fetched_wait_and_use_no_attempt_while_their_host_is_away() -> None:
    one, fetches = site(60)
    play(one, fetches, away(one.now, one.now + 300.0, refused))
    assert {end.attempts for end in one.settled.values()} == {1}


def test_a_few_pages_that_always_fail_settle_soon_after_the_others() -> None:
    one, fetches = site(5)
    bad = {f"{A}/3", f"{A}/4"}
    began = one.now
    play(one, fetches, lambda fetch, now: (status_503 if fetch.url in bad else good)(fetch, now))
    assert {url for url, end in one.settled.items() if end.reason is Reason.SERVER_ERROR} == bad
    assert {one.settled[url].attempts for url in bad} == {3}
    assert one.now < began + NEVER_ANSWERED + 30.0, "robots.txt is answered, so the host is not away"


def test_a_page_that_fails_among_others_settles_after_attempts_spread_over_time() -> None:
    one, fetches = site(200)
    asked = play(one, fetches, lambda fetch, now: (reset if fetch.url == f"{A}/0" else good)(fetch, now))
    times = [at for at, url in asked if url == f"{A}/0"]
    assert len(times) == 3 and times[-1] - times[0] > 10.0
    assert (one.reason(f"{A}/0"), one.settled[f"{A}/0"].attempts) == (Reason.DISCONNECT, 3)
    assert not any(url.endswith("robots.txt") for _, url in asked), "the host was not suspected to be away"


@pytest.mark.parametrize("how", [refused, status_503, silent])
@pytest.mark.parametrize("robots", [True, False])
@pytest.mark.parametrize("patience", [5.0, 60.0, 7200.0])
def test_a_host_that_never_answered_is_given_up_after_half_a_minute(how: Answer, robots: bool, patience: float) -> None:
    one, fetches = started(robots=robots, host_patience=patience, outage_wait=300.0, delay=1.0)
    began = one.now
    play(one, fetches, how)
    assert one.last.ending is Ending.COMPLETE
    assert one.now <= began + min(NEVER_ANSWERED, patience) + 10.0
    assert one.settled[f"{A}/"].reason is not Reason.OK


def test_a_seed_with_503_whose_robots_txt_is_answered_settles_within_45_seconds() -> None:
    one, fetches = started(robots=True, host_patience=7200.0, delay=1.0)
    began = one.now
    play(one, fetches, pages_503)
    assert one.reason(f"{A}/") is Reason.SERVER_ERROR
    assert one.now < began + 45.0


@pytest.mark.parametrize("robots", [True, False])
def test_a_host_that_accepts_but_never_answers_is_given_up_at_the_second_timeout(robots: bool) -> None:
    one, fetches = started(robots=robots, host_patience=7200.0, delay=1.0)
    began, silence = one.now, 20.0
    while one.last.ending is None:
        fetches = fetches or one.wait()
        events = [Failed(fetch.id, FetchErrorKind.TIMEOUT, "first byte", silence) for fetch in fetches]
        fetches = one.step(*events, after=silence if events else 0.0)
    assert one.now <= began + 42.0
    assert one.settled[f"{A}/"].reason is not Reason.OK


def test_the_duration_of_a_timeout_counts_towards_the_spread_of_attempts() -> None:
    health = Health(Rules(host_patience=PATIENCE))
    health.answered()
    assert health.last_attempt_at(1, now=120.0, seconds=20.0) == 100.0 + NEVER_ANSWERED
    assert health.last_attempt_at(1, now=141.0, seconds=20.0) == 100.0 + NEVER_ANSWERED


def test_an_absence_continues_across_a_kill() -> None:
    one, fetches = site(40)
    gone_at = one.now
    play(one, fetches, away(gone_at, 1e9, refused), most=0.7 * PATIENCE)
    again = driver(robots=True, host_patience=PATIENCE, delay=0.5)
    again.frontier, again.now = one.frontier, one.now
    again.resume()
    play(again, again.wait(), refused)
    assert again.last.ending is Ending.COMPLETE
    assert again.now < one.now + 0.5 * PATIENCE, "the patience does not start again"
    assert {end.reason for end in again.settled.values()} <= {Reason.CONNECT, Reason.HOST_DOWN}


def test_a_crawl_killed_during_an_absence_loses_no_url() -> None:
    one, fetches = site(40)
    play(one, fetches, away(one.now, 1e9, refused), most=0.5 * PATIENCE)
    again = driver(robots=True, host_patience=PATIENCE, delay=0.5)
    again.frontier, again.now = one.frontier, one.now
    again.resume()
    play(again, again.wait(), good)
    rows = list(again.frontier.settled())
    assert len(rows) == 41 and {row.reason for row in rows} == {Reason.OK}
    assert again.frontier.note(A) is not None and again.frontier.note(A).down_for == 0.0  # type: ignore[union-attr]


def test_a_host_that_is_away_delays_no_other_and_a_stop_does_not_wait_for_it() -> None:
    one, fetches = started(f"{A}/", f"{B}/", host_patience=PATIENCE, robots=False)
    play(one, fetches, lambda fetch, now: (refused if fetch.url.startswith(A) else good)(fetch, now), most=5.0)
    assert one.reason(f"{B}/") is Reason.OK
    one.step(Stop(), *(refused(fetch, one.now) for fetch in one.last.fetches))
    assert one.last.ending is Ending.STOPPED
    assert f"{A}/" not in one.settled


def test_a_network_outage_is_not_an_absence_of_a_host() -> None:
    one, fetches = started(f"{A}/", f"{B}/", host_patience=60.0, outage_wait=60.0, robots=False, delay=1.0)
    for fetch in fetches:
        one.answer(fetch, 200, *(f"{fetch.url}{n}" for n in range(30)))
    left = one.now + 55.0
    play(one, one.wait(), lambda fetch, now: (refused if now < left else good)(fetch, now))
    assert {end.reason for end in one.settled.values()} == {Reason.OK}


def test_a_page_in_doubt_is_released_with_its_host() -> None:
    one, (root,) = started(f"{A}/", host_patience=PATIENCE, outage_wait=300.0, robots=False, max_hold=60.0)
    x, y = one.answer(root, 200, f"{A}/x", f"{A}/y")
    one.step(silent(x, one.now))
    one.answer(y, 429, retry_after=61.0, after=0.5)
    assert one.reason(f"{A}/x") is Reason.HELD
    assert one.last.ending is Ending.COMPLETE
    assert one.step(after=10.0) == []


def test_of_an_absence_with_very_many_pages_the_first_failures_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crawler.core.hosts.health.MOST_TRIED", 2)
    one, fetches = site(40, delay=0.0, per_host=10)
    play(one, fetches, away(one.now, 1e9, status_503))
    assert len([end for end in one.settled.values() if end.reason is Reason.SERVER_ERROR]) == 2
    assert len(one.settled) == 41


def test_retry_after_of_a_robots_txt_is_obeyed() -> None:
    one, (robots,) = started(robots=True, host_patience=PATIENCE)
    assert one.answer(robots, 503, retry_after=7.0) == []
    assert one.step(after=6.9) == []
    assert urls(one.step(after=0.1)) == [f"{A}/robots.txt"]


def test_with_a_patience_of_0_nothing_waits() -> None:
    one, fetches = site(3, host_patience=0.0)
    began = one.now
    play(one, fetches, away(began, 1e9, refused))
    assert one.last.ending is Ending.COMPLETE
    assert one.now < began + 30.0


def test_a_page_that_alone_is_unreachable_settles_while_its_host_answers_for_others() -> None:
    one, fetches = site(200)
    asked = play(one, fetches, lambda fetch, now: (refused if fetch.url == f"{A}/7" else good)(fetch, now))
    assert one.reason(f"{A}/7") is Reason.CONNECT
    assert len([url for _, url in asked if url == f"{A}/7"]) == MOST_UNREACHED
    assert {end.reason for url, end in one.settled.items() if url != f"{A}/7"} == {Reason.OK}


def test_an_absence_starts_with_the_first_request_that_timed_out() -> None:
    health = Health(Rules())
    health.failed(Failure.UNREACHED, Failed(1, FetchErrorKind.TIMEOUT, "connect", seconds=10.0), 1, 100.0)
    assert health.since == 90.0
    health.clear()
    health.answered()
    health.failed(Failure.UNREACHED, Failed(1, FetchErrorKind.TIMEOUT, "connect", seconds=10.0), 1, 100.0)
    assert health.since == 100.0, "it was reachable until then"
