"""The statistics of the comparison: known values, laws for any numbers, and how often the intervals miss."""

from __future__ import annotations

import math
import random
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.compare import analysis, models, noise
from crawler.compare.intervals import LEAST, Estimate, estimate, student, t_quantile, t_tail
from crawler.compare.records import Condition
from crawler.compare.results import results
from crawler.compare.verdicts import leaders
from tests.contract import comparisons
from tests.simulated import NOISES, simulate

logs = st.lists(st.floats(-3, 3, allow_nan=False).map(lambda x: round(x, 3)), min_size=5, max_size=9)
blocks = st.dictionaries(st.integers(1, 12), st.floats(0.01, 1e6), min_size=2, max_size=12)


@pytest.mark.parametrize(("freedom", "value"), [(1, 12.706), (2, 4.303), (4, 2.776), (9, 2.262), (30, 2.042)])
def test_students_quantiles_are_those_of_the_tables(freedom: int, value: float) -> None:
    assert t_quantile(freedom) == pytest.approx(value, abs=5e-4)
    assert t_tail(t_quantile(freedom), freedom) == pytest.approx(0.05, abs=1e-9)


def test_student_interval_by_hand() -> None:
    low, high = student([1.0, 2.0, 3.0, 4.0, 5.0], 0.05)
    reach = 2.776445 * math.sqrt(2.5 / 5)
    assert (low, high) == pytest.approx((3 - reach, 3 + reach), abs=1e-5)
    wider = estimate([1.0, 2.0, 3.0, 4.0, 5.0])
    assert wider.low < low and high < wider.high, "it is taken at a nominal 97 %"


@given(logs, st.floats(-5, 5), st.floats(0.1, 10))
def test_intervals_move_and_stretch_with_their_values(values: list[float], shift: float, scale: float) -> None:
    if statistics.stdev(values) < 0.01:
        return
    here, there = estimate(values), estimate([shift + scale * value for value in values])
    assert (there.low, there.high) == pytest.approx(
        (shift + scale * here.low, shift + scale * here.high), rel=1e-6, abs=1e-6
    )


@given(logs)
def test_the_interval_of_b_over_a_is_the_mirror_of_a_over_b(values: list[float]) -> None:
    here, mirrored = estimate(values), estimate([-value for value in values])
    assert (mirrored.low, mirrored.high) == pytest.approx((-here.high, -here.low))


def test_few_values_have_their_range_and_no_interval() -> None:
    few = estimate([1.0, 2.0, 3.0, 4.0])
    assert (few.value, few.low, few.high) == (2.5, 1.0, 4.0) and not few.known
    one = estimate([1.0])
    assert (one.low, one.high) == (1.0, 1.0) and not one.known
    assert estimate([1.0] * LEAST).known
    with pytest.raises(ValueError, match="no values"):
        estimate([])


@pytest.mark.parametrize("blocks", [5, 10])
@pytest.mark.parametrize("noise", NOISES)
def test_whatever_the_noise_intervals_hold_the_truth_and_equal_engines_are_not_told_apart(
    noise: str, blocks: int
) -> None:
    erred = simulate(600, blocks, 1.0, noise)
    assert erred.missed <= 0.07
    assert max(erred.called, erred.winner) <= 0.05
    assert erred.refused <= 0.07, "the A/A arm seldom differs"


@pytest.mark.parametrize("blocks", [5, 10])
@pytest.mark.parametrize("noise", NOISES)
def test_whatever_the_noise_an_engine_that_is_ten_percent_faster_is_not_called_equivalent(
    noise: str, blocks: int
) -> None:
    erred = simulate(400, blocks, 1.1, noise)
    assert max(erred.equal, erred.tie) <= 0.05
    assert erred.missed <= 0.07


def test_a_real_difference_and_a_real_tie_are_found_where_there_is_little_noise() -> None:
    assert simulate(200, 10, 1.1, "steady").called >= 0.9
    assert simulate(200, 5, 1.2, "steady").winner >= 0.9
    assert simulate(200, 10, 1.0, "steady").equal >= 0.3


@settings(max_examples=40)
@given(blocks, blocks)
def test_ratios_turn_round(a: dict[int, float], b: dict[int, float]) -> None:
    forth, back = analysis.ratio(a, b), analysis.ratio(b, a)
    if forth is None or back is None:
        assert not a.keys() & b.keys()
        return
    assert forth.value == pytest.approx(1 / back.value)
    assert analysis.wins(a, b) == pytest.approx(1 - analysis.wins(b, a))
    turned = {"faster": "slower", "slower": "faster"}
    said = analysis.word(forth, 0.03)
    assert analysis.word(back, 0.03) == turned.get(said, said)


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (1.04, 1.2, "faster"),
        (0.8, 0.95, "slower"),
        (0.98, 1.02, "equivalent"),
        (1.01, 1.2, "inconclusive"),
        (0.9, 1.1, "inconclusive"),
        (1.01, 1.02, "equivalent"),
    ],
)
def test_the_word_comes_from_the_interval(low: float, high: float, said: str) -> None:
    middle = math.sqrt(low * high)
    assert analysis.word(Estimate(middle, low, high, 10), 0.03) == said
    assert analysis.word(Estimate(middle, low, high, 4), 0.03) == "too few blocks"


def test_where_noise_reaches_far_only_what_is_beyond_it_is_a_difference_and_nothing_is_equivalent() -> None:
    assert analysis.word(Estimate(1.1, 1.06, 1.2, 10), 0.05) == "faster"
    assert analysis.word(Estimate(1.1, 1.04, 1.2, 10), 0.05) == "inconclusive"
    assert analysis.word(Estimate(1.0, 0.99, 1.01, 10), 0.05) == "inconclusive"


def test_holm_by_hand_and_its_laws() -> None:
    assert analysis.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert analysis.holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_never_lowers_a_p_nor_changes_their_order(ps: list[float]) -> None:
    adjusted = analysis.holm(ps)
    assert all(before <= after <= 1 for before, after in zip(ps, adjusted, strict=True))
    ranked = sorted(range(len(ps)), key=ps.__getitem__)
    assert [adjusted[i] for i in ranked] == sorted(adjusted)


def test_the_margin_is_three_percent_or_what_the_twin_shows() -> None:
    def twin(low: float, high: float, n: int = 10) -> Estimate:
        return Estimate(1.0, low, high, n)

    assert analysis.margin_of(None) == 0.03
    assert analysis.margin_of(twin(0.99, 1.01)) == 0.03
    assert analysis.margin_of(twin(0.99, 1.08)) == pytest.approx(0.08)
    assert analysis.margin_of(twin(1 / 1.08, 1.01)) == pytest.approx(0.08)
    assert analysis.margin_of(twin(0.8, 1.3, n=2)) == 0.03, "two blocks show no margin; they get no word either"
    assert analysis.trusted(twin(0.99, 1.01)) and not analysis.trusted(twin(1.001, 1.02))


def test_drift_is_found_and_an_outlier_does_not_make_one() -> None:
    straight = noise.theil_sen([(k, 0.5 + 0.01 * k) for k in range(20)])
    assert (
        straight and straight.shown and straight.slope == pytest.approx(0.01) and straight.total == pytest.approx(0.19)
    )
    dice = random.Random(1)
    flat = noise.theil_sen([(k, dice.gauss(0, 1) + (500 if k == 19 else 0)) for k in range(20)])
    assert flat and not flat.shown
    assert noise.theil_sen([(1, 2.0), (2, 3.0)]) is None


def test_outliers_are_counted() -> None:
    values = [10.0, 11, 12, 13, 14, 15, 16, 17, 18, 19]
    assert noise.tukey(values) == noise.Outliers(0, 0, 10)
    found = noise.tukey([*values, 27.0, 60.0])
    assert (found.mild, found.severe, found.of) == (1, 1, 12)


def test_ceilings() -> None:
    assert models.little(100, 0.05) == pytest.approx(2000)
    assert models.little(100, 0.0) == math.inf
    assert models.cpu_roof(0.5, 2) == pytest.approx(4000)
    assert models.politeness(4, 0.2) == pytest.approx(20)


def test_a_crossing_is_found_where_it_is() -> None:
    dice, missed = random.Random(2), 0
    for _ in range(200):
        slopes = {x: 0.2 * math.log(x / 0.03) for x in (0.001, 0.01, 0.1, 1.0)}
        found = models.crossing({x: [mean + dice.gauss(0, 0.02) for _ in range(5)] for x, mean in slopes.items()})
        assert found and found.rising and found.at == pytest.approx(0.03, rel=0.5)
        missed += not found.low <= 0.03 <= found.high
    assert missed / 200 <= 0.07
    assert models.crossing(dict.fromkeys((1.0, 2.0), [1.0] * 5)) is None


def test_noise_around_a_tie_is_no_crossing() -> None:
    dice = random.Random(8)
    found = [
        models.crossing({x: [dice.gauss(0, 0.02) for _ in range(5)] for x in (1.0, 2.0, 4.0, 8.0)}) for _ in range(60)
    ]
    assert sum(crossing is not None for crossing in found) <= 4


def test_break_even_by_hand() -> None:
    quick = dict.fromkeys(range(5), (0.5, 1000.0))
    strong = dict.fromkeys(range(5), (1.5, 2000.0))
    found = models.break_even(quick, strong)
    assert found and found.at == pytest.approx(2000) and not found.rising
    assert models.break_even(quick, dict.fromkeys(range(5), (0.4, 2000.0))) is None


def test_the_truth_of_a_synthetic_session_is_found() -> None:
    plan = comparisons.session("standard")
    found = results(plan, comparisons.trials(plan))
    assert found.firm and found.base == "async" and found.headline
    words = {row.arm: row.word for row in found.headline.engines}
    assert words == {"async": None, "threads": "slower", "threads+urllib3": "slower", "processes": "faster"}
    assert all(row.word == "equivalent" for row in found.polite[0].engines if row.ratio)
    assert (found.audit.void, found.audit.warm_up) == (3, 5)
    fastest = leaders(found.headline)
    assert fastest and (fastest[0].arm, fastest[1]) == ("processes", {})
    assert found.even["processes"].low < found.even["processes"].at < found.even["processes"].high


def test_where_the_twin_differs_nothing_is_claimed() -> None:
    plan = comparisons.session("standard")
    run = comparisons.trials(plan, invalid=False)
    for trial in run:
        if trial.arm == "async again":
            trial.metrics["steady_rate"] *= 1.2
    found = results(plan, run)
    assert found.headline and not found.headline.claims
    assert {pair.word for pair in found.headline.pairs} == {"inconclusive"}
    assert {row.word for row in found.headline.rows} <= {"inconclusive", None}
    assert leaders(found.headline) is None


def test_void_trials_and_the_warm_up_do_not_count() -> None:
    plan = comparisons.session("standard")
    run = comparisons.trials(plan)
    found = results(plan, run)
    assert found.headline
    for row in found.headline.rows:
        counted = {t.block for t in run if t.valid and t.arm == row.arm and t.condition.sweep == "headline"}
        assert row.values["steady_rate"].keys() == counted and 0 not in counted


def test_one_block_shows_no_drift() -> None:
    plan = comparisons.session("quick")
    run = [trial for trial in comparisons.trials(plan, invalid=False) if trial.block == 1]
    found = results(plan, run)
    assert found.audit.drift is None and found.audit.valid == len(run)


def test_what_a_web_allows_may_come_with_the_trials() -> None:
    plan = comparisons.session("quick")
    run = comparisons.trials(plan, invalid=False)
    polite = results(plan, run).polite[0]
    assert polite.rate == "steady_rate" and polite.ceilings["politeness"] == pytest.approx(20)
    for trial in run:
        trial.metrics.update(least_rate=12.5, crawl_rate=10.0)
    polite = results(plan, run).polite[0]
    assert polite.rate == "crawl_rate" and polite.ceilings["politeness"] == pytest.approx(12.5)
    assert all(row.share == pytest.approx(0.8) for row in polite.rows)


def test_a_cpu_roof_below_what_was_measured_is_none() -> None:
    plan = comparisons.session("quick")
    run = comparisons.trials(plan, invalid=False)
    for trial in run:
        trial.metrics["cpu_per_1000"] = 1000 * 2 / trial.metrics["steady_rate"] * (2 if trial.arm == "async" else 0.5)
    found = results(plan, run).headline
    assert found
    roofs = {row.arm: row.roof for row in found.rows}
    assert roofs["async"] == math.inf and math.isfinite(roofs["processes"])
    assert all(row.share is None or row.share <= 1 for row in found.rows)


def test_a_graph_is_told_as_a_share_of_what_it_allows() -> None:
    graph = Condition(sweep="graph", workload="graph", pages=150, hosts=13, latency=0.0, concurrency=16)
    plan = comparisons.session("quick", conditions=(graph,), blocks={"graph": 5})
    run = comparisons.trials(plan, invalid=False)
    for trial in run:
        trial.metrics.update(least_rate=40.0, crawl_rate=30.0)
    found = results(plan, run).graph[0]
    assert found.ceilings == {"the graph": pytest.approx(40)}
    assert {row.ceiling for row in found.rows} == {"the graph"}
    assert all(row.share == pytest.approx(0.75) for row in found.rows)
