"""When pages are due again: what is believed of their rates, intervals, trust in dates, what a budget is spent on."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.core.revisit.change_rate import (
    FLAT,
    MOST,
    NO_DATE,
    POINTS,
    RATES,
    Observation,
    Weights,
    belief,
    likelihood,
    prior,
    remembered,
    unchanged_chance,
)
from crawler.core.revisit.choice import LEAST, SAMPLE, DateScore, candidates, hosts_of
from crawler.core.revisit.due import FEW, JITTER, Known, RevisitBounds, due_at, interval_after, stepped
from crawler.core.revisit.lastmod import LEAST as LEAST_MOVED
from crawler.core.revisit.lastmod import MOST as HALVED_AT
from crawler.core.revisit.lastmod import LastmodScore
from crawler.core.revisit.worth import Candidate, chosen, expected_worth, worth, worth_of_change

DAY = 86_400.0
BOUNDS = RevisitBounds(DAY / 4, DAY, 60 * DAY)
VISITS = st.lists(
    st.builds(
        Observation,
        st.floats(0.0, 1e8, allow_nan=False),
        st.booleans(),
        st.just(NO_DATE) | st.floats(0.0, 1e9, allow_nan=False),
    ),
    max_size=MOST,
).map(tuple)


def mean_rate(visits: Iterable[Observation], dated: bool = False) -> float:
    """The rate that is believed in on average, per day, by the logarithm: nothing else is known of the page."""
    believed = belief(likelihood(visits, dated), FLAT)
    return math.exp(math.fsum(w * math.log(r) for w, r in zip(believed, RATES, strict=True))) * DAY


class TestRate:
    def test_without_visits_all_rates_are_alike(self) -> None:
        assert likelihood([], False) == (1.0,) * POINTS
        assert belief(likelihood([], True), FLAT) == pytest.approx(FLAT)
        assert prior([]) == FLAT

    @given(VISITS, st.booleans())
    def test_a_belief_is_a_distribution_whatever_was_seen(self, visits: tuple[Observation, ...], dated: bool) -> None:
        found = likelihood(visits, dated)
        assert max(found) == 1.0 and min(found) >= 0.0
        believed = belief(found, prior([found]))
        assert math.fsum(believed) == pytest.approx(1.0)

    @given(VISITS)
    def test_one_more_change_never_lowers_it(self, visits: tuple[Observation, ...]) -> None:
        more, less = ((*visits, Observation(DAY, changed)) for changed in (True, False))
        assert mean_rate(more) >= mean_rate(less)

    @pytest.mark.parametrize("rate", [1 / (60 * DAY), 1 / (3 * DAY), 2 / DAY])
    def test_visits_without_dates_find_the_rate_of_a_process(self, rate: float) -> None:
        draw = random.Random(7)
        found = []
        for _ in range(100):
            gaps = [draw.uniform(0.2, 2.0) / rate for _ in range(MOST)]
            found.append(mean_rate(Observation(gap, draw.random() < -math.expm1(-rate * gap)) for gap in gaps))
        assert sum(found) / len(found) == pytest.approx(rate * DAY, rel=0.3)

    def test_the_age_of_a_page_tells_of_its_rate_at_the_first_visit(self) -> None:
        old, young = (mean_rate([Observation(0.0, True, age)], dated=True) for age in (300 * DAY, 0.05 * DAY))
        assert old < 0.05 < 2.0 < young
        assert mean_rate([Observation(0.0, True, DAY)]) == pytest.approx(mean_rate([]))

    def test_a_date_tells_more_than_that_there_was_a_change(self) -> None:
        late = Observation(10 * DAY, True, 0.1 * DAY)
        assert mean_rate([late] * 4, dated=True) > 2 * mean_rate([late] * 4)
        assert mean_rate([Observation(DAY, True, 5 * DAY)], dated=True) == mean_rate([Observation(DAY, True)])

    def test_only_the_last_visits_are_kept(self) -> None:
        visits: tuple[Observation, ...] = ()
        for number in range(MOST + 5):
            visits = remembered(visits, Observation(float(number), True))
        assert [one.gap for one in visits] == [float(number) for number in range(5, MOST + 5)]

    def test_the_pages_of_a_host_tell_of_a_page_that_was_seen_once(self) -> None:
        calm, wild = ([likelihood([Observation(DAY, changed)] * 9, False)] * 20 for changed in (False, True))
        once = likelihood([Observation(DAY, True)], False)
        among_calm, among_wild = (unchanged_chance(belief(once, prior(pages)), DAY) for pages in (calm, wild))
        assert among_calm > 4 * among_wild

    def test_of_a_host_with_two_kinds_of_pages_both_are_believed_in(self) -> None:
        pages = [likelihood([Observation(DAY, number < 30)] * 12, False) for number in range(60)]
        mixture = prior(pages)
        slow, fast = (sum(w for w, r in zip(mixture, RATES, strict=True) if test(r * DAY)) for test in (calm, wild))
        assert slow == pytest.approx(0.5, abs=0.1) and fast == pytest.approx(0.5, abs=0.1)


def calm(rate: float) -> bool:
    return rate < 0.1


def wild(rate: float) -> bool:
    return rate > 1.0


class TestInterval:
    def test_with_few_visits_it_halves_after_a_change_and_grows_without(self) -> None:
        assert stepped(DAY, True, BOUNDS) == (DAY + BOUNDS.shortest) / 2
        assert stepped(DAY, False, BOUNDS) == 1.5 * DAY
        visits = (Observation(0.0, True, DAY), *[Observation(DAY, True)] * (FEW - 1))
        assert interval_after(Known(1.0, 2 * DAY, visits), FLAT, BOUNDS) == 2 * DAY

    @pytest.mark.parametrize("point", [8, 12, 15])
    def test_then_it_is_the_time_in_which_half_of_such_pages_change(self, point: int) -> None:
        certain: Weights = tuple(float(place == point) for place in range(POINTS))
        known = Known(1.0, DAY, (Observation(DAY, True),) * FEW)
        assert interval_after(known, certain, BOUNDS) == pytest.approx(math.log(2) / RATES[point], rel=0.01)

    @given(VISITS, st.floats(1.0, 1e9))
    def test_it_stays_within_its_bounds(self, visits: tuple[Observation, ...], interval: float) -> None:
        believed = belief(likelihood(visits, True), FLAT)
        found = interval_after(Known(1.0, interval, visits), believed, BOUNDS)
        assert BOUNDS.shortest <= found <= BOUNDS.longest
        for changed in (True, False):
            assert BOUNDS.shortest <= stepped(interval, changed, BOUNDS) <= BOUNDS.longest

    def test_pages_that_hardly_ever_change_wait_longest(self) -> None:
        never: Weights = (1.0, *[0.0] * (POINTS - 1))
        assert interval_after(Known(1.0, DAY, (Observation(DAY, False),) * FEW), never, BOUNDS) == BOUNDS.longest

    @given(st.text(max_size=30), st.floats(1.0, 2e9))
    def test_the_due_time_is_moved_by_the_hash_within_the_jitter(self, url: str, visited_at: float) -> None:
        due = due_at(url, Known(visited_at, DAY), FLAT, BOUNDS)
        assert due == due_at(url, Known(visited_at, DAY), FLAT, BOUNDS)
        assert abs(due - visited_at - DAY) <= JITTER * DAY + 1e-3

    def test_pages_found_together_are_not_due_together(self) -> None:
        dues = sorted(due_at(f"http://x.test/{number}", Known(1.0, DAY), FLAT, BOUNDS) for number in range(50))
        assert max(later - earlier for earlier, later in pairwise(dues)) < 0.1 * DAY
        assert dues[-1] - dues[0] > JITTER * DAY

    def test_a_page_that_was_never_visited_is_due(self) -> None:
        assert due_at("http://x.test/", Known(0.0, DAY), FLAT, BOUNDS) == 0.0


class TestDates:
    def test_they_are_trusted_once_they_moved_with_the_content(self) -> None:
        true = Observation(DAY, True, 0.5 * DAY)
        assert not DateScore().after([true] * (LEAST - 1)).trusted
        assert DateScore().after([true] * (LEAST - 1)).after([true]).trusted

    @pytest.mark.parametrize(
        "lie",
        [Observation(DAY, False, 0.0), Observation(DAY, True, 0.0), Observation(DAY, True, 9 * DAY)],
        ids=["always now", "always now, and changed", "never moves"],
    )
    def test_those_that_move_without_it_or_stay_when_it_changes_are_not(self, lie: Observation) -> None:
        true = Observation(DAY, True, 0.5 * DAY)
        assert not DateScore().after([true] * LEAST + [lie] * LEAST).trusted

    def test_visits_without_a_date_or_without_a_change_tell_nothing(self) -> None:
        silent = [Observation(DAY, True), Observation(DAY, False, 2 * DAY), Observation(0.0, True, DAY)]
        assert DateScore(3, 2).after(silent) == DateScore(3, 2)


class TestLastmod:
    def test_a_host_is_trusted_once_its_lastmod_has_told_changes(self) -> None:
        score = LastmodScore()
        for _ in range(LEAST_MOVED - 1):
            score = score.after(moved=True, changed=True)
        assert not score.trusted
        assert score.after(moved=True, changed=True).trusted

    def test_a_lastmod_that_moves_without_a_change_loses_the_trust(self) -> None:
        score = LastmodScore(LEAST_MOVED, LEAST_MOVED)
        for _ in range(LEAST_MOVED):
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

    def test_the_expected_one_lies_between_those_of_the_rates(self) -> None:
        two: Weights = tuple(0.5 if place in (4, 12) else 0.0 for place in range(POINTS))
        assert expected_worth(two, DAY) == pytest.approx((worth(RATES[4], DAY) + worth(RATES[12], DAY)) / 2)

    def test_without_a_budget_all_that_is_due_is_chosen_and_with_one_the_most_valuable(self) -> None:
        pages = [
            Candidate("little", 1.0, 2.0),
            Candidate("b", 5.0, 2.0),
            Candidate("a", 5.0, 2.0),
            Candidate("not due", 9.0, 4.0),
            Candidate("new", math.inf, 0.0),
        ]
        assert chosen(pages, None, 3.0) == ["new", "a", "b", "little"]
        assert chosen(pages, 3, 3.0) == ["new", "not due", "a"]
        assert chosen(pages, 99, 3.0) == ["new", "not due", "a", "b", "little"]


class TestChoice:
    def test_each_host_is_known_by_its_own_pages_and_by_no_more_than_a_sample(self) -> None:
        page = Known(1.0, DAY, (Observation(DAY, True, 0.5 * DAY),) * 2)
        many = [(f"http://a.test/{number:04d}", page) for number in range(3 * SAMPLE)]
        hosts = hosts_of([*many, ("http://b.test/", Known(1.0, DAY))])
        assert set(hosts) == {"http://a.test", "http://b.test"}
        assert (hosts["http://a.test"].dated, hosts["http://b.test"].dated) == (True, False)
        assert hosts["http://b.test"].prior == pytest.approx(FLAT)
        assert hosts["http://a.test"] == hosts_of(many)["http://a.test"]

    def test_what_is_known_of_a_page_becomes_a_worth_and_a_due_time(self) -> None:
        pages = [("http://a.test/1", Known(0.0, DAY)), ("http://a.test/2", Known(DAY, DAY))]
        new, known = candidates(pages, hosts_of(pages), BOUNDS, 2 * DAY)
        assert (new.worth, new.due_at) == (math.inf, 0.0)
        assert 0.0 < known.worth < DAY and abs(known.due_at - 2 * DAY) <= JITTER * DAY

    def test_a_page_that_a_trusted_sitemap_dates_anew_is_due_and_worth_a_change(self) -> None:
        still = (Observation(DAY, False),) * FEW
        pages = [(f"http://a.test/{number}", Known(DAY, DAY, still, moved=number == 1)) for number in range(3)]
        hosts, now = hosts_of(pages), 2 * DAY
        told, silent = (
            {one.url[-1]: one for one in candidates(pages, hosts, BOUNDS, now, scores)}
            for scores in ({"http://a.test": LastmodScore(LEAST_MOVED, LEAST_MOVED)}, {})
        )
        assert told["1"].due_at <= now < told["0"].due_at and told["1"].worth > 10 * told["0"].worth
        assert silent["1"].due_at > now and silent["1"].worth == silent["0"].worth
        certain: Weights = tuple(float(place == 3) for place in range(POINTS))
        assert worth_of_change(certain) == pytest.approx(1 / RATES[3])


class TestFreshness:
    """A site of which half never changes, visited each night with a budget of a fifth of it. Measured is the share of
    pages whose copy is up to date, over the time between two nights."""

    PAGES, NIGHTS, BUDGET = 120, 50, 24

    def freshness(self, choose: Callable[[dict[str, Known], dict[str, float], float], Iterable[str]]) -> float:
        draw = random.Random(3)
        rates = {f"http://x.test/{number}": draw.choice([1e-6, 1e-6, 0.1, 0.7]) / DAY for number in range(self.PAGES)}
        known = {url: Known(1.0, 2 * DAY) for url in rates}
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
        return chosen(candidates(known.items(), hosts_of(known.items()), BOUNDS, now), self.BUDGET, now)

    def by_rate(self, known: dict[str, Known], rates: dict[str, float], now: float) -> list[str]:
        values = {url: worth(rates[url], now - one.visited_at) for url, one in known.items()}
        return chosen((Candidate(url, value, now) for url, value in values.items()), self.BUDGET, now)

    def uniform(self, known: dict[str, Known], rates: dict[str, float], now: float) -> list[str]:
        return sorted(known, key=lambda url: (known[url].visited_at, url))[: self.BUDGET]

    def test_visits_where_they_are_worth_most_keep_a_site_fresher_than_turns_at_equal_budget(self) -> None:
        adaptive, uniform, best = map(self.freshness, (self.adaptive, self.uniform, self.by_rate))
        assert uniform < adaptive < 1.02 * best, (uniform, adaptive, best)
        assert adaptive - uniform > (best - uniform) / 2, "less than half of what the true rates would gain"
