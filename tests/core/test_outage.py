"""Which failures are taken for a network outage."""

from __future__ import annotations

import pytest

from crawler.core.bounds import PLENTY
from crawler.core.hosts.host import Host
from crawler.core.messages import Actions, Failed, Fetched, Link
from crawler.core.network.fetch_window import ALONE, REST, FetchWindow
from crawler.core.network.outage import DOUBT, MANY, WINDOW, Fault, Outage
from crawler.core.reasons import NO_MEMORY, FetchErrorKind, Pause
from crawler.core.rules import Rules

GONE = Failed(1, FetchErrorKind.CONNECT)
SLOW = Failed(1, FetchErrorKind.TIMEOUT, "first byte")
STARVED = Failed(1, FetchErrorKind.RESOURCE_EXHAUSTED)
SHORT = Failed(1, FetchErrorKind.RESOURCE_EXHAUSTED, f"{NO_MEMORY} (MemoryError)")
HERE = Fetched(1, 200)


def hosts(count: int) -> list[Host]:
    return [Host(f"http://h{n}.test", Rules()) for n in range(count)]


def known(count: int, wait: float = 300.0) -> tuple[Outage, list[Host]]:
    outage, some = Outage(wait), hosts(count)
    for host in some:
        outage.observe(host, HERE, 0.0)
    return outage, some


def test_one_dead_site_that_never_answered_is_no_outage() -> None:
    outage, (host,) = Outage(300.0), hosts(1)
    assert {outage.observe(host, GONE, float(now)) for now in range(50)} == {Fault.HOST_FAULT}
    assert not outage.on


def test_an_unknown_dead_host_among_hosts_that_answer_is_no_outage() -> None:
    outage, some = known(3)
    stranger = hosts(4)[-1]
    for now in range(50):
        assert outage.observe(stranger, GONE, float(now)) is Fault.HOST_FAULT
        outage.observe(some[now % 3], HERE, now + 0.5)
    assert not outage.on


def test_when_all_of_a_few_known_hosts_fail_it_is_an_outage_and_their_failures_do_not_count() -> None:
    outage, (a, b) = known(2)
    link = Link(7, "http://h0.test/7", 1)
    assert outage.observe(a, SLOW, WINDOW) is Fault.UNDECIDED
    outage.doubt(a, link, SLOW, WINDOW)
    assert outage.observe(a, GONE, WINDOW) is Fault.HOST_FAULT
    assert outage.decided(WINDOW) == []
    assert outage.observe(b, GONE, WINDOW) is Fault.HOST_FAULT
    assert outage.observe(b, GONE, WINDOW) is Fault.NETWORK_FAULT
    assert outage.on
    assert outage.decided(WINDOW) == [(a, link, SLOW, Fault.NETWORK_FAULT)]
    assert outage.observe(a, SLOW, WINDOW) is Fault.NETWORK_FAULT


def test_a_known_host_that_fails_while_others_answer_is_treated_as_any_other() -> None:
    outage, (a, b) = known(2)
    link = Link(7, "http://h0.test/7", 1)
    assert outage.observe(a, SLOW, 1.0) is Fault.UNDECIDED
    outage.doubt(a, link, SLOW, 1.0)
    assert list(outage.wakes(1.0)) == [1.0 + DOUBT]
    outage.observe(b, HERE, 2.0)
    assert outage.decided(2.0) == [(a, link, SLOW, Fault.HOST_FAULT)]


def test_a_failure_in_doubt_counts_after_some_time_without_evidence() -> None:
    outage, (a,) = known(1)
    link = Link(7, "http://h0.test/7", 1)
    assert outage.observe(a, SLOW, 1.0) is Fault.UNDECIDED
    outage.doubt(a, link, SLOW, 1.0)
    assert outage.decided(1.0 + DOUBT - 0.1) == []
    assert outage.decided(1.0 + DOUBT) == [(a, link, SLOW, Fault.HOST_FAULT)]


def test_a_single_failing_host_is_unreachable_however_often_it_fails() -> None:
    outage, (a,) = known(1)
    assert {outage.observe(a, GONE, WINDOW + n / 10) for n in range(50)} == {Fault.HOST_FAULT}
    assert not outage.on


@pytest.mark.parametrize(("failing", "away"), [(0.85, False), (0.9, True)])
def test_of_many_known_hosts_not_all_need_to_fail(failing: float, away: bool) -> None:
    outage, some = known(2 * MANY)
    dead = round(failing * len(some))
    for host in some[:dead]:
        outage.observe(host, GONE, WINDOW - 1)
    assert outage.on is away
    if away:
        outage.observe(some[-1], HERE, WINDOW)
        assert outage.on, "an answer of a host that never failed does not end the outage"
        outage.observe(some[0], HERE, WINDOW)
        assert not outage.on


def test_many_unknown_hosts_indicate_an_outage_while_none_has_answered() -> None:
    outage, some = Outage(300.0), hosts(MANY)
    assert [outage.observe(host, GONE, 1.0) for host in some[:-1]] == [Fault.HOST_FAULT] * (MANY - 1)
    assert outage.observe(some[-1], GONE, 1.0) is Fault.NETWORK_FAULT


def test_hosts_that_answered_in_an_earlier_run_count_as_known() -> None:
    outage, (a, b) = Outage(300.0), hosts(2)
    outage.trust()
    outage.observe(a, GONE, 1.0)
    outage.observe(b, GONE, 2.0)
    assert not outage.on
    outage.observe(a, GONE, 3.0)
    assert outage.on


def test_an_outage_is_probed_and_given_up_after_the_wait() -> None:
    outage, (a, b) = known(2, wait=30.0)
    ends: list[float] = []
    outage.ended = ends.append
    for host, now in ((a, 10.0), (b, 11.0), (a, 12.0)):
        outage.observe(host, GONE, now)
    assert (outage.probes(12.5), outage.probes(13.0)) == (0, 1)
    assert sorted(outage.wakes(12.5)) == [13.0, 42.0]
    outage.asked(13.0)
    assert (outage.probes(17.9), outage.probes(18.0)) == (0, 1)
    assert list(outage.wakes(18.0)) == [42.0], "a probe that is due waits for a host that may be asked"
    outage.decided(41.9)
    assert outage.on and not ends
    outage.decided(42.0)
    assert not outage.on and ends == [42.0]
    assert [outage.observe(a, GONE, 43.0 + n) for n in range(9)] == [Fault.HOST_FAULT] * 9, "the wait is over"
    outage.observe(a, HERE, 60.0)
    assert outage.observe(a, SLOW, 61.0) is Fault.UNDECIDED


def test_a_stopped_run_does_not_wait_for_failures_in_doubt() -> None:
    outage, (a,) = known(1)
    link = Link(7, "http://h0.test/7", 1)
    outage.observe(a, SLOW, 1.0)
    outage.doubt(a, link, SLOW, 1.0)
    outage.stop()
    assert outage.decided(1.0) == [(a, link, SLOW, Fault.HOST_FAULT)]
    assert outage.observe(a, SLOW, 1.1) is Fault.HOST_FAULT


def test_with_a_wait_of_0_every_failure_counts_at_once() -> None:
    outage, (a,) = known(1, wait=0.0)
    assert {outage.observe(a, GONE, 10.0 + n) for n in range(9)} == {Fault.HOST_FAULT}


def test_failures_that_are_not_of_the_network_are_no_evidence() -> None:
    outage, (a,) = known(1)
    (stranger,) = hosts(1)
    for trouble in (FetchErrorKind.LEASE_EXPIRED, FetchErrorKind.BLOCKED, FetchErrorKind.INTERNAL):
        assert [outage.observe(a, Failed(1, trouble), 10.0 + n) for n in range(5)] == [Fault.HOST_FAULT] * 5
    for trouble in (FetchErrorKind.DISCONNECT, FetchErrorKind.TIMEOUT):
        assert [outage.observe(a, Failed(1, trouble), 10.0 + n) for n in range(5)] == [Fault.UNDECIDED] * 5
        assert outage.observe(stranger, Failed(1, trouble), 16.0) is Fault.HOST_FAULT
    assert outage.observe(a, Failed(1, FetchErrorKind.TIMEOUT, "connect"), 20.0) is Fault.HOST_FAULT
    assert outage.observe(a, Failed(1, FetchErrorKind.TLS), 20.0) is Fault.HOST_FAULT


# ---- descriptors -----------------------------------------------------------------------------------------------------


def test_a_lack_of_descriptors_lowers_concurrency_which_then_recovers_slowly() -> None:
    window, (a,) = FetchWindow(300.0, 300.0), hosts(1)
    assert window.room(PLENTY, 0, 1.0) == PLENTY
    assert window.judge(a, STARVED, 39, 10.0) is Fault.NETWORK_FAULT
    assert window.room(PLENTY, 0, 10.0) == 30
    window.judge(a, STARVED, 29, 10.1)
    assert window.room(PLENTY, 0, 10.1) == 30, "failures of fetches already in flight do not count again"
    assert window.room(PLENTY, 35, 10.1) < 0
    for _ in range(30):
        window.judge(a, HERE, 29, 11.0)
    assert window.room(PLENTY, 0, 12.0) == 31
    window.judge(a, STARVED, 30, 12.0)
    assert window.room(PLENTY, 0, 12.0) == 23
    actions = Actions()
    window.drain_into(actions)
    assert (actions.pauses, actions.away) == ([Pause.STARVED, Pause.STARVED], False)


def test_a_fetch_that_lacks_descriptors_alone_for_too_long_fails() -> None:
    window, (a,) = FetchWindow(30.0, 30.0), hosts(1)
    assert window.judge(a, STARVED, 0, 10.0) is Fault.NETWORK_FAULT
    assert window.judge(a, STARVED, 0, 39.0) is Fault.NETWORK_FAULT
    assert window.judge(a, STARVED, 1, 39.5) is Fault.NETWORK_FAULT, "other fetches hold the descriptors"
    assert window.judge(a, STARVED, 0, 40.0) is Fault.NETWORK_FAULT
    assert window.judge(a, STARVED, 0, 70.0) is Fault.HOST_FAULT
    window.judge(a, HERE, 0, 71.0)
    assert window.judge(a, STARVED, 0, 72.0) is Fault.NETWORK_FAULT


def test_a_page_without_memory_waits_longer_each_time_and_fails_after_several_attempts_alone() -> None:
    window, (a,) = FetchWindow(30.0, 30.0), hosts(1)
    link = Link(7, "http://h0.test/7", 1)
    gaps = []
    for _ in range(7):
        assert window.judge(a, SHORT, 3, 100.0, link) is Fault.NETWORK_FAULT, "other fetches hold the memory"
        gaps.append(window.retry_at(a, link, SHORT, Fault.NETWORK_FAULT, 100.0) - 100.0)
    assert gaps == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 32.0]
    for _ in range(ALONE - 1):
        assert window.judge(a, SHORT, 0, 1000.0, link) is Fault.NETWORK_FAULT
    assert window.judge(a, SHORT, 0, 1000.0, link) is Fault.HOST_FAULT
    assert window.judge(a, SHORT, 0, 1000.0, link) is Fault.NETWORK_FAULT, "the count starts again"
    window.judge(a, HERE, 0, 1001.0, link)
    window.judge(a, SHORT, 3, 1002.0, link)
    assert window.retry_at(a, link, SHORT, Fault.NETWORK_FAULT, 1002.0) == 1003.0
    actions = Actions()
    window.drain_into(actions)
    assert actions.pauses == [Pause.MEMORY, Pause.MEMORY, Pause.MEMORY]


def test_a_robots_txt_without_memory_waits_for_half_a_minute_at_most() -> None:
    window, (a,) = FetchWindow(300.0, 300.0), hosts(1)
    assert window.judge(a, SHORT, 0, 10.0) is Fault.NETWORK_FAULT
    assert window.judge(a, SHORT, 0, 40.0) is Fault.HOST_FAULT


def test_an_outage_is_reported_once_and_allows_probes_only() -> None:
    window, (a, b) = FetchWindow(30.0, 30.0), hosts(2)
    window.judge(a, HERE, 0, 0.0)
    window.judge(b, HERE, 0, 0.0)
    for host, now in ((b, 10.0), (a, 11.0), (b, 12.0), (a, 12.5)):
        window.judge(host, GONE, 0, now)
    assert (window.room(5, 0, 12.5), window.room(5, 0, 13.0)) == (0, 1)
    actions = Actions()
    window.drain_into(actions)
    assert (actions.pauses, actions.away) == ([Pause.OUTAGE], True)
    link = Link(7, "http://h0.test/7", 1)
    assert window.retry_at(a, link, GONE, Fault.NETWORK_FAULT, 13.0) == 13.0
    window.judge(a, HERE, 0, 14.0)
    assert window.retry_at(a, link, STARVED, Fault.NETWORK_FAULT, 15.0) == 15.0 + REST
    assert window.retry_at(a, link, GONE, Fault.UNDECIDED, 15.0) == 15.0 + DOUBT
    again = Actions()
    window.drain_into(again)
    assert (again.pauses, again.away) == ([], False)
