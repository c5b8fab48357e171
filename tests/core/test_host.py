"""One host: its state transitions, patience and politeness."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.core.hosts.health import Failure
from crawler.core.hosts.host import NEVER, Host
from crawler.core.hosts.host_state import TRANSITIONS, State, Trigger
from crawler.core.messages import Failed, Fetched, HostNote, Link
from crawler.core.reasons import FetchErrorKind, Reason
from crawler.core.rules import Rules

NAME = "http://a.test"
LEGAL = {state: {to for (at, _), to in TRANSITIONS.items() if at is state} | {state} for state in State}


def host(**rules: object) -> Host:
    return Host(NAME, Rules(**rules))  # type: ignore[arg-type]


def link(number: int = 1, attempts: int = 0) -> Link:
    return Link(number, f"{NAME}/{number}", 0, attempts=attempts)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("trigger", Trigger)
def test_every_trigger_in_every_state_is_in_the_table_or_changes_nothing(state: State, trigger: Trigger) -> None:
    one = host()
    one.state = state
    one.move(trigger)
    assert one.state is TRANSITIONS.get((state, trigger), state)


def test_every_state_is_reachable_and_only_gone_is_final() -> None:
    reached = {State.NEW, State.OPEN}
    for _ in State:
        reached |= {to for (at, _), to in TRANSITIONS.items() if at in reached}
    assert reached == set(State)
    assert {to for (at, _), to in TRANSITIONS.items() if at is State.GONE} == {State.GONE}


calls = st.sampled_from(
    ["answered", "failed", "obey", "give_up", "hold", "ask", "wake", "stale", "again", "put_back", "take"]
)


@given(st.lists(st.tuples(calls, st.floats(0, 100)), max_size=40), st.sampled_from([0.0, 1.0]))
def test_transitions_are_legal_and_delays_only_grow_for_any_sequence_of_events(
    history: list[tuple[str, float]], delay: float
) -> None:
    one, now = host(delay=delay, breaker_failures=2, host_patience=150.0), 0.0
    for call, amount in history:
        before, rested = one.state, one.not_before
        now += amount
        match call:
            case "answered":
                one.answered()
            case "failed":
                failure = Failure.UNREACHED if amount < 50 else Failure.CUT
                one.failed(link(round(amount)), Failed(1, FetchErrorKind.CONNECT), failure, now, 1)
                if one.is_hopeless(now):
                    list(one.give_up(Reason.HOST_DOWN, ""))
            case "obey":
                one.hear_robots(Fetched(1, 404 if amount < 50 else 503), now, 1)
            case "give_up" if amount > 95:
                assert all(isinstance(left, Link) for left in one.give_up(Reason.HELD, ""))
                assert one.ready_at(True) is None
            case "hold":
                one.hold(now - 50 + amount)
            case "ask" | "wake" | "stale" | "again":
                one.move(
                    {"ask": Trigger.ASK, "wake": Trigger.WAKE, "stale": Trigger.STALE, "again": Trigger.ASK_AGAIN}[call]
                )
            case "put_back" if one.gone is None:
                one.put_back(link(attempts=1), now + amount)
            case "take":
                at = one.ready_at(True)
                if at is not None and at <= now:
                    one.take(now)
        steps = LEGAL[before].union(*(LEGAL[state] for state in LEGAL[before]))  # robots.txt of a host in doubt: two
        assert one.state in steps | ({State.GONE} if call == "failed" else set())
        assert one.not_before >= rested
        assert one.connections == 1 or one.delay == 0


def test_a_hold_never_shortens_a_delay() -> None:
    one = host()
    one.hold(50.0)
    one.hold(20.0)
    assert one.not_before == 50.0


def test_a_host_with_a_delay_is_asked_by_one_connection() -> None:
    assert host(robots=False, delay=1.0, per_host=8).connections == 1
    assert host(robots=False, delay=0.0, per_host=8).connections == 8
    assert host(robots=True, delay=0.0, per_host=8).connections == 1, "robots.txt is fetched alone"


def test_crawl_delay_lengthens_the_delay_up_to_the_cap() -> None:
    one = host(delay=1.0, crawl_delay_cap=300.0)
    for asked, granted in ((0.5, 1.0), (5.0, 5.0), (1e9, 300.0)):
        one.hear_robots(Fetched(1, 200, robots_text=f"User-agent: *\nCrawl-delay: {asked}"), 0.0, 1)
        assert one.delay == granted


def test_a_page_budget_stops_new_urls_but_not_retries() -> None:
    one = host(robots=False)
    one.queue.append(link(1))
    assert one.ready_at(fresh=True) == 0.0
    assert one.ready_at(fresh=False) is None
    one.put_back(link(2, attempts=1), 7.0)
    assert one.ready_at(fresh=False) == 7.0
    assert one.ready_at(fresh=True) == 0.0
    assert one.take(now=7.0)[0].id == 2, "retries come first"
    assert one.take(now=7.0)[0].id == 1


def test_a_note_restores_rules_delay_and_hold() -> None:
    old = host(delay=1.0)
    old.move(Trigger.ASK)
    text = old.hear_robots(Fetched(1, 200, robots_text="User-agent: *\nDisallow: /no\nCrawl-delay: 9"), 0.0, 1)
    old.hold(90.0)
    new = host(delay=1.0)
    new.recall(old.note(100.0, text), now=100.0, began_at=100.0)
    assert (new.state, new.delay, new.not_before) == (State.OPEN, 9.0, 109.0)
    assert not new.robots.allows(f"{NAME}/no")


def test_stale_robots_txt_is_fetched_again_and_the_delay_is_kept() -> None:
    new = host(delay=1.0)
    new.recall(HostNote(NAME, "text", robots_until=99.0, delay=9.0, rest_until=300.0), now=100.0, began_at=100.0)
    assert (new.state, new.delay, new.not_before) == (State.NEW, 9.0, 300.0)


def test_with_robots_off_a_noted_crawl_delay_is_dropped() -> None:
    new = host(robots=False, delay=1.0)
    new.recall(HostNote(NAME, "text", robots_until=999.0, delay=9.0), now=100.0, began_at=100.0)
    assert (new.state, new.delay, new.robots_until) == (State.OPEN, 1.0, NEVER)
