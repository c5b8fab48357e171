"""Which runs may run beside each other, and in which order queued ones start."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.service.core.run_admission import Admitted, QueuedRun, RestingHosts, RunReach, admit, reach_of

A, B = reach_of(["https://a.example/"], "site"), reach_of(["https://b.example/"], "site")
ANY = reach_of([], "any")


@pytest.mark.parametrize(
    ("one", "scope_of_one", "other", "scope_of_other", "overlap"),
    [
        ("https://a.example/", "site", "https://a.example/x", "site", True),
        ("https://a.example/", "site", "https://b.example/", "site", False),
        ("https://a.example./", "site", "https://a.example/", "site", True),
        ("http://a.example/", "host", "https://www.a.example/", "host", True),
        ("https://shop.a.example/", "site", "https://a.example/", "site", False),
        ("https://shop.a.example/", "site", "https://a.example/", "domain", True),
        ("https://shop.a.example/", "domain", "https://news.a.example/", "domain", True),
        ("https://shop.a.co.uk/", "domain", "https://b.co.uk/", "domain", False),
        ("https://a.example/", "site", "https://b.example/", "any", True),
        ("http://127.0.0.1:8001/", "site", "http://127.0.0.1:8002/", "site", False),
        ("http://127.0.0.1:8001/", "site", "http://127.0.0.1:8001/x", "host", True),
        ("http://127.0.0.1:8001/", "domain", "http://127.0.0.1:8002/", "site", True),
        ("http://a.example:80/", "site", "https://a.example:443/", "site", True),
        ("mailto:me@a.example", "site", "https://a.example/", "site", False),
    ],
)
def test_which_runs_may_ask_the_same_host(
    one: str, scope_of_one: str, other: str, scope_of_other: str, overlap: bool
) -> None:
    first, second = reach_of([one], scope_of_one), reach_of([other], scope_of_other)
    assert first.overlaps(second) is overlap
    assert second.overlaps(first) is overlap


def test_hosts_that_a_crawl_has_met_belong_to_its_reach() -> None:
    assert reach_of(["https://a.example/"], "site", ["https://www.b.example"]).overlaps(B)


def test_a_run_without_seeds_overlaps_none_but_one_that_may_ask_anything() -> None:
    assert not RunReach().overlaps(RunReach())
    assert not RunReach().overlaps(A)
    assert RunReach().overlaps(ANY)


def test_two_runs_do_not_work_in_one_directory_at_once() -> None:
    here = reach_of([], "site", directory="runs/run_1")
    assert here.overlaps(reach_of(["https://a.example/"], "site", directory="runs/run_1"))
    assert not here.overlaps(reach_of([], "site", directory="runs/run_2"))
    assert not here.overlaps(reach_of([], "site"))


def test_runs_start_in_order_up_to_the_limit() -> None:
    queued = [QueuedRun("one", A), QueuedRun("two", B), QueuedRun("three", RunReach())]
    assert admit(queued, [], 2, 0.0) == Admitted(("one", "two"), None)
    assert admit(queued, [RunReach(), RunReach()], 2, 0.0) == Admitted((), None)
    assert admit(queued, [RunReach(), RunReach(), RunReach()], 2, 0.0) == Admitted((), None)


def test_a_run_waits_for_the_hosts_of_a_running_one() -> None:
    assert admit([QueuedRun("one", A), QueuedRun("two", B)], [A], 9, 0.0) == Admitted(("two",), None)


def test_a_run_does_not_overtake_one_that_it_shares_hosts_with() -> None:
    wide = reach_of(["https://a.example/", "https://b.example/"], "site")
    queued = [QueuedRun("wide", wide), QueuedRun("b", B), QueuedRun("c", reach_of(["https://c.example/"], "site"))]
    assert admit(queued, [A], 9, 0.0).start == ("c",)
    assert admit(queued, [], 9, 0.0).start == ("wide", "c")


def test_a_retry_waits_for_its_time_and_holds_nobody_up_until_then() -> None:
    queued = [QueuedRun("retry", A, 50.0), QueuedRun("later", A, 70.0), QueuedRun("new", A)]
    assert admit(queued, [], 9, 10.0) == Admitted(("new",), 50.0)
    assert admit(queued, [], 9, 60.0) == Admitted(("retry",), 70.0)


def test_a_retry_that_waits_holds_its_directory() -> None:
    retry, after = reach_of([], "site", directory="runs/run_1"), A._replace(directory="runs/run_1")
    queued = [QueuedRun("retry", retry, 50.0), QueuedRun("after", after), QueuedRun("elsewhere", B)]
    assert admit(queued, [], 9, 10.0) == Admitted(("elsewhere",), 50.0)
    assert admit(queued, [], 9, 60.0).start == ("retry", "elsewhere")


def test_the_hosts_of_a_run_that_has_ended_rest_before_the_next_one_asks_them() -> None:
    resting = [RestingHosts(A, 12.0), RestingHosts(A, 15.0), RestingHosts(B, 9.0)]
    queued = [QueuedRun("a", A), QueuedRun("b", B), QueuedRun("a again", A)]
    assert admit(queued, [], 9, 10.0, resting) == Admitted(("b",), 15.0)
    assert admit(queued, [], 9, 15.0, resting) == Admitted(("a", "b"), None)


reaches = st.builds(
    reach_of,
    st.lists(st.sampled_from([f"https://{sub}{name}.example/" for sub in ("", "www.", "x.") for name in "abc"])),
    st.sampled_from(["host", "site", "domain", "any"]),
)


@given(st.lists(reaches, max_size=12), st.lists(reaches, max_size=3), st.integers(0, 6))
def test_what_starts_overlaps_nothing_and_what_waits_has_a_cause(
    waiting: list[RunReach], running: list[RunReach], most: int
) -> None:
    queued = [QueuedRun(str(number), reach) for number, reach in enumerate(waiting)]
    started = {int(run) for run in admit(queued, running, most, 0.0).start}
    assert len(started) <= max(0, most - len(running))
    for number, reach in enumerate(waiting):
        before = running + waiting[:number]
        if number in started:
            assert not any(reach.overlaps(other) for other in before)
        elif len(started) + len(running) < most:
            assert any(reach.overlaps(other) for other in before)
