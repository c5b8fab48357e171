"""When pages are due again: estimated rates, intervals, trust in lastmod, and what a budget is spent on."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.core.revisit.change_rate import MOST, Observation, host_rate, own_rate, remembered, shrunk
from crawler.core.revisit.due import FEW, JITTER, Known, RevisitBounds, due_at, interval_after, rate_of, stepped
from crawler.core.revisit.lastmod import LEAST, LastmodScore
from crawler.core.revisit.lastmod import MOST as HALVED_AT
from crawler.core.revisit.worth import Candidate, chosen, worth

DAY = 86_400.0
BOUNDS = RevisitBounds(DAY / 4, DAY, 60 * DAY)
VISITS = st.lists(
    st.builds(Observation, st.floats(0.0, 1e8, allow_nan=False), st.booleans()), min_size=1, max_size=MOST
).map(tuple)


class TestRate:
    def test_without_visits_nothing_is_known(self) -> None:
        assert own_rate([]) == 0.0

    def test_for_equal_gaps_it_is_that_of_the_closed_form(self) -> None:
        visits = [Observation(DAY, number < 3) for number in range(10)]  # 3 of 10 changed: 1 - e^(-r d) = 0.3
        assert own_rate(visits) * DAY == pytest.approx(-math.log(0.7), rel=1e-6)

    def test_pages_that_never_changed_have_a_rate_of_zero(self) -> None:
        assert own_rate([Observation(DAY, False)] * 5) == 0.0

    def test_pages_that_changed_each_time_have_a_finite_rate_that_grows_with_the_visits(self) -> None:
        rates = [own_rate([Observation(DAY, True)] * visits) for visits in (1, 4, 16)]
        assert rates == sorted(rates) and 0 < rates[0] < rates[-1] < 4 / DAY

    @given(VISITS)
    def test_it_is_finite_and_never_negative(self, visits: tuple[Observation, ...]) -> None:
        assert 0.0 <= own_rate(visits) < math.inf

    @given(VISITS)
    def test_one_more_change_never_lowers_it(self, visits: tuple[Observation, ...]) -> None:
        calm = tuple(Observation(one.gap, False) for one in visits)
        assert own_rate((*calm, Observation(DAY, True))) >= own_rate((*calm, Observation(DAY, False)))

    def test_it_finds_the_rate_of_a_process(self) -> None:
        draw = random.Random(7)
        rate, found = 1 / (3 * DAY), []
        for _ in range(200):
            gaps = [draw.uniform(0.5, 5.0) * DAY for _ in range(MOST)]
            found.append(own_rate([Observation(gap, draw.random() < -math.expm1(-rate * gap)) for gap in gaps]))
        assert sum(found) / len(found) == pytest.approx(rate, rel=0.15)

    def test_only_the_last_visits_are_kept(self) -> None:
        visits: tuple[Observation, ...] = ()
        for number in range(MOST + 5):
            visits = remembered(visits, Observation(float(number), True))
        assert [one.gap for one in visits] == [float(number) for number in range(5, MOST + 5)]

    def test_few_visits_are_drawn_towards_the_host(self) -> None:
        calm = Observation(DAY, False)
        assert shrunk((), 0.25) == pytest.approx(0.25)
        assert 0.0 < shrunk((calm,) * 9, 1 / DAY) < shrunk((calm,), 1 / DAY) < 1 / DAY
        assert shrunk((calm,), None) == shrunk((calm,), 0.0) == 0.0

    def test_the_rate_of_a_host_is_that_of_all_its_visits(self) -> None:
        assert host_rate([]) is None and host_rate([()]) is None
        pages = [(Observation(DAY, True),) * 10, (Observation(DAY, False),) * 10]
        assert host_rate(pages) == pytest.approx(10.5 / (20 * DAY))


class TestInterval:
    def test_with_few_visits_it_halves_after_a_change_and_grows_without(self) -> None:
        assert stepped(DAY, True, BOUNDS) == (DAY + BOUNDS.shortest) / 2
        assert stepped(DAY, False, BOUNDS) == 1.5 * DAY
        assert interval_after(Known(0.0, 2 * DAY, (Observation(DAY, True),)), None, BOUNDS) == 2 * DAY

    def test_then_it_is_the_time_in_which_half_of_such_pages_change(self) -> None:
        known = Known(0.0, DAY, tuple(Observation(DAY, number % 2 == 0) for number in range(8)))
        assert interval_after(known, None, BOUNDS) == pytest.approx(math.log(2) / own_rate(known.visits))

    @given(VISITS, st.floats(1.0, 1e9), st.none() | st.floats(0.0, 1.0))
    def test_it_stays_within_its_bounds(
        self, visits: tuple[Observation, ...], interval: float, host: float | None
    ) -> None:
        known = Known(0.0, interval, visits)
        assert BOUNDS.shortest <= interval_after(known, host, BOUNDS) <= BOUNDS.longest
        assert rate_of(known, host) >= 0.0
        for changed in (True, False):
            assert BOUNDS.shortest <= stepped(interval, changed, BOUNDS) <= BOUNDS.longest

    def test_pages_that_never_change_wait_longest(self) -> None:
        known = Known(0.0, DAY, (Observation(DAY, False),) * FEW)
        assert interval_after(known, None, BOUNDS) == BOUNDS.longest
        assert interval_after(known, 0.0, BOUNDS) == BOUNDS.longest

    @given(st.text(max_size=30), st.floats(0.0, 2e9))
    def test_the_due_time_is_moved_by_the_hash_within_the_jitter(self, url: str, visited_at: float) -> None:
        known = Known(visited_at, DAY)
        due = due_at(url, known, None, BOUNDS)
        assert due == due_at(url, known, None, BOUNDS)
        assert abs(due - visited_at - DAY) <= JITTER * DAY + 1e-3

    def test_pages_found_together_are_not_due_together(self) -> None:
        dues = sorted(due_at(f"http://x.test/{number}", Known(0.0, DAY), None, BOUNDS) for number in range(50))
        assert max(later - earlier for earlier, later in pairwise(dues)) < 0.1 * DAY
        assert dues[-1] - dues[0] > JITTER * DAY


class TestLastmod:
    def test_a_host_is_trusted_once_its_lastmod_has_told_changes(self) -> None:
        score = LastmodScore()
        for _ in range(LEAST - 1):
            score = score.after(moved=True, changed=True)
        assert not score.trusted
        assert score.after(moved=True, changed=True).trusted

    def test_a_lastmod_that_moves_without_a_change_loses_the_trust(self) -> None:
        score = LastmodScore(LEAST, LEAST)
        for _ in range(LEAST):
            score = score.after(moved=True, changed=False)
        assert not score.trusted

    def test_one_that_stays_tells_nothing(self) -> None:
        assert LastmodScore(3, 2).after(moved=False, changed=True) == LastmodScore(3, 2)

    def test_a_host_that_begins_to_lie_is_found_out_after_years_of_truth(self) -> None:
        score, lies = LastmodScore(), 0
        for _ in range(10_000):
            score = score.after(moved=True, changed=True)
        while score.trusted:
            score, lies = score.after(moved=True, changed=False), lies + 1
        assert score.moved <= HALVED_AT and lies < HALVED_AT


class TestWorth:
    @given(st.floats(1e-12, 1.0), st.floats(0.0, 1e9))
    def test_it_is_never_negative_and_never_more_than_the_age(self, rate: float, age: float) -> None:
        assert 0.0 <= worth(rate, age) <= age + 1e-6

    def test_it_grows_with_the_age(self) -> None:
        values = [worth(1 / DAY, age * DAY) for age in (0.0, 1e-6, 1e-3, 0.5, 1.0, 5.0)]
        assert values == sorted(values) and values[0] == 0.0

    def test_pages_that_change_all_the_time_are_worth_less_than_those_that_change_at_times(self) -> None:
        assert worth(100 / DAY, DAY) < worth(1 / DAY, DAY) > worth(0.001 / DAY, DAY)

    def test_due_pages_come_first_and_new_ones_before_all(self) -> None:
        pages = [
            Candidate("calm", 0.01 / DAY, 0.0, 9 * DAY),
            Candidate("due", 0.1 / DAY, 0.0, DAY),
            Candidate("due and changing", 1 / DAY, 0.0, DAY),
            Candidate("new", None, 0.0, 0.0),
        ]
        now = 2 * DAY
        assert chosen(pages, None, now) == ["new", "due and changing", "due", "calm"]
        assert chosen(pages, 2, now) == ["new", "due and changing"]
        assert chosen(pages, 9, now, due_only=True) == ["new", "due and changing", "due"]
        assert chosen(pages, 0, now) == []


class TestFreshness:
    """A site of which half never changes, visited each night with a budget of a fifth of it. Measured is the share of
    pages whose copy is up to date, over the time between two nights."""

    PAGES, NIGHTS, BUDGET = 150, 60, 30

    def freshness(self, choose: Callable[[dict[str, Known], dict[str, float], float], Iterable[str]]) -> float:
        draw = random.Random(3)
        rates = {f"http://x.test/{number}": draw.choice([1e-6, 1e-6, 0.1, 0.7]) / DAY for number in range(self.PAGES)}
        known = {url: Known(0.0, 2 * DAY) for url in rates}
        stale: set[str] = set()
        shares = []
        for night in range(1, self.NIGHTS):
            now, fresh = night * DAY, 0.0
            for url in [url for url in rates if url not in stale]:
                lasts = draw.expovariate(rates[url])
                fresh += min(lasts / DAY, 1.0)
                if lasts < DAY:
                    stale.add(url)
            shares.append(fresh / len(rates))
            for url in choose(known, rates, now):
                before, changed = known[url], url in stale
                visits = remembered(before.visits, Observation(now - before.visited_at, changed))
                known[url] = Known(now, stepped(before.interval, changed, BOUNDS), visits)
                stale.discard(url)
        return sum(shares[self.NIGHTS // 2 :]) / (len(shares) - self.NIGHTS // 2)

    def adaptive(self, known: dict[str, Known], rates: dict[str, float], now: float) -> list[str]:
        host = host_rate(one.visits for one in known.values())
        return self.by_rate(known, {url: rate_of(one, host) for url, one in known.items()}, now)

    def by_rate(self, known: dict[str, Known], rates: dict[str, float], now: float) -> list[str]:
        return chosen((Candidate(url, rates[url], one.visited_at, now) for url, one in known.items()), self.BUDGET, now)

    def uniform(self, known: dict[str, Known], rates: dict[str, float], now: float) -> list[str]:
        return sorted(known, key=lambda url: (known[url].visited_at, url))[: self.BUDGET]

    def test_visits_where_they_are_worth_most_keep_a_site_fresher_than_turns_at_equal_budget(self) -> None:
        adaptive, uniform, best = map(self.freshness, (self.adaptive, self.uniform, self.by_rate))
        assert uniform < adaptive < 1.02 * best, (uniform, adaptive, best)
        assert adaptive - uniform > (best - uniform) / 2, "less than half of what the true rates would gain"
