"""When failures are the network's, and when they are not."""

from __future__ import annotations

import pytest

from crawler.core.bounds import PLENTY
from crawler.core.hosts.host import Host
from crawler.core.messages import NO_MEMORY, Actions, Failed, Fetched, Link, Pause, Trouble
from crawler.core.network.fetch_window import ALONE, REST, Passage
from crawler.core.network.outage import DOUBT, MANY, WINDOW, Outage, Verdict
from crawler.core.rules import Rules

GONE = Failed(1, Trouble.CONNECT)
SLOW = Failed(1, Trouble.TIMEOUT, "first byte")
STARVED = Failed(1, Trouble.STARVED)
SHORT = Failed(1, Trouble.STARVED, f"{NO_MEMORY} (MemoryError)")
HERE = Fetched(1, 200)


def hosts(count: int) -> list[Host]:
    return [Host(f"http://h{n}.test", Rules()) for n in range(count)]


def known(count: int, wait: float = 300.0) -> tuple[Outage, list[Host]]:
    outage, some = Outage(wait), hosts(count)
    for host in some:
        outage.hear(host, HERE, 0.0)
    return outage, some


def test_one_dead_site_that_never_answered_is_no_outage() -> None:
    outage, (host,) = Outage(300.0), hosts(1)
    assert {outage.hear(host, GONE, float(now)) for now in range(50)} == {Verdict.COUNTS}
    assert not outage.on


def test_a_dead_stranger_among_sites_that_answer_is_no_outage() -> None:
    outage, some = known(3)
    stranger = hosts(4)[-1]
    for now in range(50):
        assert outage.hear(stranger, GONE, float(now)) is Verdict.COUNTS
        outage.hear(some[now % 3], HERE, now + 0.5)
    assert not outage.on


def test_a_few_witnesses_that_all_fail_are_an_outage_and_what_was_in_doubt_never_happened() -> None:
    outage, (a, b) = known(2)
    link = Link(7, "http://h0.test/7", 1)
    assert outage.hear(a, SLOW, WINDOW) is Verdict.IN_DOUBT
    outage.doubt(a, link, SLOW, WINDOW)
    assert outage.hear(a, GONE, WINDOW) is Verdict.COUNTS
    assert outage.decided(WINDOW) == []
    assert outage.hear(b, GONE, WINDOW) is Verdict.COUNTS
    assert outage.hear(b, GONE, WINDOW) is Verdict.NEVER_HAPPENED
    assert outage.on
    assert outage.decided(WINDOW) == [(a, link, SLOW, Verdict.NEVER_HAPPENED)]
    assert outage.hear(a, SLOW, WINDOW) is Verdict.NEVER_HAPPENED


def test_a_witness_that_fails_while_others_answer_is_judged_as_any_other() -> None:
    outage, (a, b) = known(2)
    link = Link(7, "http://h0.test/7", 1)
    assert outage.hear(a, SLOW, 1.0) is Verdict.IN_DOUBT
    outage.doubt(a, link, SLOW, 1.0)
    assert list(outage.wakes(1.0)) == [1.0 + DOUBT]
    outage.hear(b, HERE, 2.0)
    assert outage.decided(2.0) == [(a, link, SLOW, Verdict.COUNTS)]


def test_after_a_silence_a_failure_in_doubt_is_judged_as_any_other() -> None:
    outage, (a,) = known(1)
    link = Link(7, "http://h0.test/7", 1)
    assert outage.hear(a, SLOW, 1.0) is Verdict.IN_DOUBT
    outage.doubt(a, link, SLOW, 1.0)
    assert outage.decided(1.0 + DOUBT - 0.1) == []
    assert outage.decided(1.0 + DOUBT) == [(a, link, SLOW, Verdict.COUNTS)]


def test_one_host_alone_is_away_however_often_it_fails() -> None:
    outage, (a,) = known(1)
    assert {outage.hear(a, GONE, WINDOW + n / 10) for n in range(50)} == {Verdict.COUNTS}
    assert not outage.on


@pytest.mark.parametrize(("failing", "away"), [(0.85, False), (0.9, True)])
def test_many_witnesses_need_not_all_fail(failing: float, away: bool) -> None:
    outage, some = known(2 * MANY)
    dead = round(failing * len(some))
    for host in some[:dead]:
        outage.hear(host, GONE, WINDOW - 1)
    assert outage.on is away
    if away:
        outage.hear(some[-1], HERE, WINDOW)
        assert outage.on, "it lies on this side of what is broken"
        outage.hear(some[0], HERE, WINDOW)
        assert not outage.on


def test_many_strangers_are_witnesses_while_nobody_has_answered() -> None:
    outage, some = Outage(300.0), hosts(MANY)
    assert [outage.hear(host, GONE, 1.0) for host in some[:-1]] == [Verdict.COUNTS] * (MANY - 1)
    assert outage.hear(some[-1], GONE, 1.0) is Verdict.NEVER_HAPPENED


def test_an_earlier_run_that_had_answers_is_trusted() -> None:
    outage, (a, b) = Outage(300.0), hosts(2)
    outage.trust()
    outage.hear(a, GONE, 1.0)
    outage.hear(b, GONE, 2.0)
    assert not outage.on
    outage.hear(a, GONE, 3.0)
    assert outage.on


def test_an_outage_is_probed_and_given_up_after_the_wait() -> None:
    outage, (a, b) = known(2, wait=30.0)
    ends: list[float] = []
    outage.ended = ends.append
    for host, now in ((a, 10.0), (b, 11.0), (a, 12.0)):
        outage.hear(host, GONE, now)
    assert (outage.probes(12.5), outage.probes(13.0)) == (0, 1)
    assert sorted(outage.wakes(12.5)) == [13.0, 42.0]
    outage.asked(13.0)
    assert (outage.probes(17.9), outage.probes(18.0)) == (0, 1)
    assert list(outage.wakes(18.0)) == [42.0], "a probe that is due waits for a host that may be asked"
    outage.decided(41.9)
    assert outage.on and not ends
    outage.decided(42.0)
    assert not outage.on and ends == [42.0]
    assert [outage.hear(a, GONE, 43.0 + n) for n in range(9)] == [Verdict.COUNTS] * 9, "no more hope"
    outage.hear(a, HERE, 60.0)
    assert outage.hear(a, SLOW, 61.0) is Verdict.IN_DOUBT


def test_a_run_that_is_stopped_waits_for_no_certainty() -> None:
    outage, (a,) = known(1)
    link = Link(7, "http://h0.test/7", 1)
    outage.hear(a, SLOW, 1.0)
    outage.doubt(a, link, SLOW, 1.0)
    outage.stop()
    assert outage.decided(1.0) == [(a, link, SLOW, Verdict.COUNTS)]
    assert outage.hear(a, SLOW, 1.1) is Verdict.COUNTS


def test_a_wait_of_0_judges_everything_at_once() -> None:
    outage, (a,) = known(1, wait=0.0)
    assert {outage.hear(a, GONE, 10.0 + n) for n in range(9)} == {Verdict.COUNTS}


def test_what_says_nothing_of_the_network_is_no_evidence() -> None:
    outage, (a,) = known(1)
    (stranger,) = hosts(1)
    for trouble in (Trouble.LOST, Trouble.BLOCKED, Trouble.INTERNAL):
        assert [outage.hear(a, Failed(1, trouble), 10.0 + n) for n in range(5)] == [Verdict.COUNTS] * 5
    for trouble in (Trouble.DISCONNECT, Trouble.TIMEOUT):
        assert [outage.hear(a, Failed(1, trouble), 10.0 + n) for n in range(5)] == [Verdict.IN_DOUBT] * 5
        assert outage.hear(stranger, Failed(1, trouble), 16.0) is Verdict.COUNTS
    assert outage.hear(a, Failed(1, Trouble.TIMEOUT, "connect"), 20.0) is Verdict.COUNTS
    assert outage.hear(a, Failed(1, Trouble.TLS), 20.0) is Verdict.COUNTS


# ---- descriptors -----------------------------------------------------------------------------------------------------


def test_who_starves_asks_less_at_once_and_slowly_more_again() -> None:
    passage, (a,) = Passage(300.0, 300.0), hosts(1)
    assert passage.room(PLENTY, 0, 1.0) == PLENTY
    assert passage.judge(a, STARVED, 39, 10.0) is Verdict.NEVER_HAPPENED
    assert passage.room(PLENTY, 0, 10.0) == 30
    passage.judge(a, STARVED, 29, 10.1)
    assert passage.room(PLENTY, 0, 10.1) == 30, "what was on its way then says nothing new"
    assert passage.room(PLENTY, 35, 10.1) < 0
    for _ in range(30):
        passage.judge(a, HERE, 29, 11.0)
    assert passage.room(PLENTY, 0, 12.0) == 31
    passage.judge(a, STARVED, 30, 12.0)
    assert passage.room(PLENTY, 0, 12.0) == 23
    actions = Actions()
    passage.tell(actions)
    assert (actions.pauses, actions.away) == ([Pause.STARVED, Pause.STARVED], False)


def test_who_starves_alone_for_too_long_fails() -> None:
    passage, (a,) = Passage(30.0, 30.0), hosts(1)
    assert passage.judge(a, STARVED, 0, 10.0) is Verdict.NEVER_HAPPENED
    assert passage.judge(a, STARVED, 0, 39.0) is Verdict.NEVER_HAPPENED
    assert passage.judge(a, STARVED, 1, 39.5) is Verdict.NEVER_HAPPENED, "somebody else holds what is missing"
    assert passage.judge(a, STARVED, 0, 40.0) is Verdict.NEVER_HAPPENED
    assert passage.judge(a, STARVED, 0, 70.0) is Verdict.COUNTS
    passage.judge(a, HERE, 0, 71.0)
    assert passage.judge(a, STARVED, 0, 72.0) is Verdict.NEVER_HAPPENED


def test_a_page_without_memory_waits_longer_each_time_and_fails_when_it_was_alone_often_enough() -> None:
    passage, (a,) = Passage(30.0, 30.0), hosts(1)
    link = Link(7, "http://h0.test/7", 1)
    gaps = []
    for _ in range(7):
        assert passage.judge(a, SHORT, 3, 100.0, link) is Verdict.NEVER_HAPPENED, "others hold what is missing"
        gaps.append(passage.put_off(a, link, SHORT, Verdict.NEVER_HAPPENED, 100.0) - 100.0)
    assert gaps == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 32.0]
    for _ in range(ALONE - 1):
        assert passage.judge(a, SHORT, 0, 1000.0, link) is Verdict.NEVER_HAPPENED
    assert passage.judge(a, SHORT, 0, 1000.0, link) is Verdict.COUNTS
    assert passage.judge(a, SHORT, 0, 1000.0, link) is Verdict.NEVER_HAPPENED, "counted anew"
    passage.judge(a, HERE, 0, 1001.0, link)
    passage.judge(a, SHORT, 3, 1002.0, link)
    assert passage.put_off(a, link, SHORT, Verdict.NEVER_HAPPENED, 1002.0) == 1003.0
    actions = Actions()
    passage.tell(actions)
    assert actions.pauses == [Pause.MEMORY, Pause.MEMORY, Pause.MEMORY]


def test_a_robots_txt_without_memory_waits_for_half_a_minute_at_most() -> None:
    passage, (a,) = Passage(300.0, 300.0), hosts(1)
    assert passage.judge(a, SHORT, 0, 10.0) is Verdict.NEVER_HAPPENED
    assert passage.judge(a, SHORT, 0, 40.0) is Verdict.COUNTS


def test_an_outage_is_told_once_and_lets_only_probes_out() -> None:
    passage, (a, b) = Passage(30.0, 30.0), hosts(2)
    passage.judge(a, HERE, 0, 0.0)
    passage.judge(b, HERE, 0, 0.0)
    for host, now in ((b, 10.0), (a, 11.0), (b, 12.0), (a, 12.5)):
        passage.judge(host, GONE, 0, now)
    assert (passage.room(5, 0, 12.5), passage.room(5, 0, 13.0)) == (0, 1)
    actions = Actions()
    passage.tell(actions)
    assert (actions.pauses, actions.away) == ([Pause.OUTAGE], True)
    link = Link(7, "http://h0.test/7", 1)
    assert passage.put_off(a, link, GONE, Verdict.NEVER_HAPPENED, 13.0) == 13.0
    passage.judge(a, HERE, 0, 14.0)
    assert passage.put_off(a, link, STARVED, Verdict.NEVER_HAPPENED, 15.0) == 15.0 + REST
    assert passage.put_off(a, link, GONE, Verdict.IN_DOUBT, 15.0) == 15.0 + DOUBT
    again = Actions()
    passage.tell(again)
    assert (again.pauses, again.away) == ([], False)
