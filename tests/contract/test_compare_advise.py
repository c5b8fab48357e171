"""The calculator: its cost model obeys the laws of queues, finds known costs again, and tells its error and doubts."""

from __future__ import annotations

import json
import math
import random
import shutil
import statistics
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import variants
from crawler.cli.compare_advise import DurationType
from crawler.compare.advise import shipped
from crawler.compare.advise.answer import EngineForecast, advice, extrapolated, forecasts, lines, notes
from crawler.compare.advise.fit import LEAST, fit_session
from crawler.compare.advise.fitted import CostModel
from crawler.compare.advise.least_squares import minimise, solve
from crawler.compare.advise.model import EngineCosts, Work, forecast, polite_rate, smooth_minimum
from crawler.compare.advise.points import points_of
from crawler.compare.cells import Cells
from crawler.compare.html_report.calculator import SCRIPT, embedded, usual_jobs
from crawler.compare.records import Session, Trial
from crawler.errors import Corrupt, UsageError
from tests import simulated_costs
from tests.contract import comparisons
from tests.simulated_costs import TRUTH

works = st.builds(
    Work,
    latency=st.floats(0, 10),
    cpu=st.floats(0, 1),
    payload=st.floats(0, 1e6),
    slots=st.integers(1, 1024),
    cores=st.integers(1, 64),
    hosts=st.integers(1, 10_000),
    delay=st.one_of(st.just(0.0), st.floats(0.01, 60)),
)
engines = st.builds(
    EngineCosts,
    mode=st.sampled_from(sorted(TRUTH)),
    hold=st.floats(1e-5, 0.1),
    cpu=st.floats(1e-5, 0.1),
    byte=st.floats(0, 1e-6),
    serial=st.floats(0.01, 0.99),
    growth=st.floats(-0.2, 0.3),
    knee=st.floats(0.5, 20),
)


@cache
def simulated() -> CostModel:
    """Fitted to a simulated `standard` comparison."""
    plan = simulated_costs.session()
    return fit_session(plan, simulated_costs.trials(plan))


@pytest.fixture
def model() -> CostModel:
    return simulated()


def job(**changes: Any) -> Work:
    return msgspec.structs.replace(Work(latency=0.08, cpu=0.0012, payload=32_768, slots=64, cores=2), **changes)


# ---- the model -------------------------------------------------------------------------------------------------------


@given(engines, works, st.floats(1, 10))
def test_a_slower_server_or_page_never_makes_a_crawl_faster(costs: EngineCosts, work: Work, times: float) -> None:
    rate = forecast(costs, work).rate
    for factor in ("latency", "cpu", "payload", "delay"):
        harder = msgspec.structs.replace(work, **{factor: getattr(work, factor) * times})
        assert forecast(costs, harder).rate <= rate * (1 + 1e-9), factor


@given(engines, works, st.integers(1, 8))
def test_more_cores_or_hosts_never_make_it_slower(costs: EngineCosts, work: Work, times: int) -> None:
    rate = forecast(costs, work).rate
    for factor in ("cores", "hosts"):
        more = msgspec.structs.replace(work, **{factor: getattr(work, factor) * times})
        assert forecast(costs, more).rate >= rate * (1 - 1e-9), factor


@given(engines, works)
def test_no_forecast_exceeds_littles_law_or_politeness_or_the_cores(costs: EngineCosts, work: Work) -> None:
    rate = forecast(costs, work).rate * (1 - 1e-9)
    assert rate <= polite_rate(work)
    assert rate * (work.latency + work.cpu) <= work.slots
    assert rate * (work.cpu + costs.own(work)) <= work.cores
    if costs.mode in ("async", "threads"):
        assert rate * work.cpu <= 1
    assert rate <= forecast(EngineCosts(mode=costs.mode), work).rate


def test_each_limit_is_named() -> None:
    costs = TRUTH["processes"]
    limits = {
        "politeness": job(hosts=10, delay=1.0),
        "slots": job(latency=10.0),
        "cores": job(latency=0.0, cpu=0.01),
        "workers": job(latency=0.0, cpu=0.01, cores=4, workers=2),
        "parent": job(latency=0.0, cpu=0.0, cores=64),
    }
    assert {limit: forecast(costs, work).limit for limit, work in limits.items()} == {one: one for one in limits}
    assert forecast(TRUTH["async"], job(latency=0.0, cores=64)).limit == "one core"


def test_the_smooth_minimum_is_half_the_power_where_both_are_equal_and_the_minimum_far_away() -> None:
    assert smooth_minimum(100, 100, 2) == pytest.approx(100 / math.sqrt(2))
    assert smooth_minimum(1, 1e6, 2) == pytest.approx(1)
    assert smooth_minimum(100, 100, None) == 100
    assert smooth_minimum(100, math.inf, 2) == 100


# ---- the fit ---------------------------------------------------------------------------------------------------------


def test_least_squares_finds_the_bottom_of_rosenbrocks_valley() -> None:
    at = minimise(lambda x: [10 * (x[1] - x[0] ** 2), 1 - x[0]], [-1.2, 1.0])
    assert at == pytest.approx([1, 1], abs=1e-3)
    assert solve([[0, 2], [1, 1]], [4, 3]) == pytest.approx([1, 2])


@pytest.mark.parametrize("name", TRUTH)
def test_known_costs_are_found_again(model: CostModel, name: str) -> None:
    found = next(engine for engine in model.engines if engine.name == name).costs
    truth = TRUTH[name]
    assert found.cpu == pytest.approx(truth.cpu, rel=0.1)
    assert found.byte == pytest.approx(truth.byte, rel=0.25)
    assert found.serial == pytest.approx(truth.serial, abs=0.1)
    assert found.growth == pytest.approx(truth.growth, abs=0.04)
    assert found.start == pytest.approx(truth.start, rel=0.1)


def test_most_intervals_of_jobs_that_were_not_measured_hold_the_truth(model: CostModel) -> None:
    dice, held, errors = random.Random(1), [], []
    for _ in range(200):
        work = job(
            latency=0.2 * dice.random(),
            cpu=0.01 * dice.random(),
            slots=dice.randint(1, 512),
            payload=dice.randint(1024, 131_072),
        )
        for one in forecasts(model, work, 1000):
            truth = forecast(TRUTH[one.name], work).rate
            held.append(one.low <= truth <= one.high)
            errors.append(abs(math.log(one.rate / truth)))
    assert statistics.fmean(held) >= 0.9
    assert statistics.median(errors) <= 0.05


@pytest.mark.parametrize(("fault", "least", "most"), [(0.0, 0.001, 0.05), (0.3, 0.12, 0.5)])
def test_the_error_on_points_left_out_is_told(fault: float, least: float, most: float) -> None:
    plan = simulated_costs.session()
    found = fit_session(plan, simulated_costs.trials(plan, fault=fault))
    assert found.error is not None and least <= found.error <= most
    assert f"median error {100 * found.error:.0f} % on conditions left out of the fit" in lines(found, job(), 1000)[0]


def test_whole_jobs_of_other_sizes_are_forecast(model: CostModel) -> None:
    assert model.job_error is not None and model.job_error < 0.05


def test_equal_jobs_of_two_sweeps_are_one_point() -> None:
    plan = simulated_costs.session()
    points = points_of(Cells(plan, simulated_costs.trials(plan)), "async")
    assert len({point.work for point in points}) == len(points) == 23


def test_it_is_fitted_where_the_server_is_and_asked_where_it_is_not(model: CostModel) -> None:
    assert all(point.work.served for point in points_of(Cells(*_of_sweeps("headline")), "async"))
    busy = job(latency=0.0, cpu=0.001, cores=1, served=simulated_costs.SERVED)
    away = msgspec.structs.replace(busy, served=0.0)
    for engine in model.engines:
        assert forecast(engine.costs, away).rate > forecast(engine.costs, busy).rate


def test_too_few_conditions_give_bounds_and_say_so() -> None:
    found = fit_session(*_simulated("smoke"))
    assert found.error is None
    assert any(f"takes {LEAST} (async 1" in note for note in notes(found, job()))
    assert [one.rate for one in forecasts(found, job(), 1000)] == pytest.approx([788.2, 788.2, 788.2, 788.2], abs=0.1)
    told = lines(found, job(), 1000)
    assert sum("at most 788" in line for line in told) == 4
    assert told[-1].startswith("advice  none: ")


def test_too_few_conditions_for_a_full_interval_are_told() -> None:
    found = fit_session(*_of_sweeps("headline", "concurrency", "latency"))
    assert found.error is not None and found.error < 0.1
    assert any("the largest error instead" in note for note in notes(found, job()))


def test_an_engine_whose_trials_are_all_void_has_no_fit() -> None:
    plan, run = _of_sweeps("headline", "concurrency", "latency")
    void = [msgspec.structs.replace(trial, metrics={}) if trial.arm == "threads" else trial for trial in run]
    assert [engine.name for engine in fit_session(plan, void).engines if not engine.fitted] == ["threads"]


@pytest.mark.parametrize("times", [1e-6, 1e6])
def test_absurd_figures_and_an_unknown_machine_still_give_a_model(times: float) -> None:
    plan, run = _of_sweeps("headline", "concurrency", "latency")
    dice = random.Random(5)
    wild = [
        msgspec.structs.replace(
            trial,
            metrics={name: value * math.exp(dice.gauss(math.log(times), 4)) for name, value in trial.metrics.items()},
        )
        for trial in run
    ]
    found = fit_session(msgspec.structs.replace(plan, environment={}), wild)
    assert found.measured.cores == 1 and found.error is not None and found.error > 0.5
    assert all(0 < one.low <= one.rate <= one.high for one in forecasts(found, job(), 1000))


def _of_sweeps(*names: str) -> tuple[Session, list[Trial]]:
    """A session of few conditions: the whole of three sweeps gives too few points for a full interval."""
    plan = simulated_costs.session()
    plan = msgspec.structs.replace(plan, conditions=tuple(one for one in plan.conditions if one.sweep in names))
    return plan, simulated_costs.trials(plan)


def _simulated(preset: str) -> tuple[Session, list[Trial]]:
    plan = simulated_costs.session(preset)
    return plan, simulated_costs.trials(plan)


# ---- the answer ------------------------------------------------------------------------------------------------------


@given(works)
def test_an_interval_holds_its_estimate_and_stays_below_what_is_possible(work: Work) -> None:
    for one in forecasts(simulated(), work, 1000):
        assert 0 < one.low <= one.rate * (1 + 1e-9) and one.rate <= one.high * (1 + 1e-9)
        assert one.high <= polite_rate(work)


def test_what_is_slower_in_every_case_is_not_tied(model: CostModel) -> None:
    advised = advice(forecasts(model, job(latency=0.0, cpu=0.005, cores=8), 1000))
    assert advised.chosen in ("processes", "prefork") and "async" not in advised.tied and "threads" not in advised.tied


def test_politeness_makes_all_equal_and_the_cheapest_is_advised(model: CostModel) -> None:
    found = forecasts(model, job(hosts=20, delay=1.0), 1000)
    assert {one.limit for one in found} == {"politeness"}
    assert len({one.rate for one in found}) == 1 and found[0].rate == pytest.approx(20 / 1.08)
    advised = advice(found)
    assert advised.chosen == "async" and advised.tied == ("threads", "processes", "prefork")
    assert "hosts and delay" in advised.why


def test_one_engine_ahead_of_all_is_advised_alone() -> None:
    a = EngineForecast(name="a", fitted=True, rate=300, low=280, high=320, limit="cores", cpu=1, seconds=1)
    b = msgspec.structs.replace(a, name="b", rate=200, low=190, high=210)
    assert advice([a, b]).chosen == "a" and advice([a, b]).tied == () and "1.5 times" in advice([a, b]).why
    assert advice([a]).why == "the only mode that was measured"


def test_extrapolation_is_told(model: CostModel) -> None:
    assert extrapolated(model.measured, job()) == []
    assert extrapolated(model.measured, job(latency=5.0, cores=8)) == ["latency (0 s to 200 ms)", "cores (1 to 2)"]


# ---- the command -----------------------------------------------------------------------------------------------------


def advise(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "crawler", "compare", "advise", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_the_command_has_a_line_for_each_mode_without_a_comparison() -> None:
    ran = advise("--latency", "80ms", "--page-cpu", "1.2ms", "--cores", "4", "--hosts", "200", "--delay", "1")
    assert (ran.returncode, ran.stderr) == (0, "")
    for mode in TRUTH:
        assert sum(line.startswith(f"{mode} ") and "[" in line for line in ran.stdout.splitlines()) == 1
    assert "model   " in ran.stdout and "advice  " in ran.stdout and "median error" in ran.stdout


def test_the_model_in_the_package_knows_every_mode_and_its_error() -> None:
    model = shipped.shipped()
    assert {engine.name for engine in model.engines if engine.fitted} == set(variants.names())
    assert model.error is not None and model.error <= 0.15


def test_a_package_without_a_model_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shipped, "SHIPPED", tmp_path / "none.json")
    with pytest.raises(UsageError, match="--from DIR"):
        shipped.shipped()


def test_a_model_that_cannot_be_written_is_told_in_one_line(tmp_path: Path) -> None:
    comparisons.write(tmp_path, *_simulated("smoke"))
    ran = advise("--from", tmp_path, "--latency", "1ms", "--save", tmp_path / "nowhere" / "model.json")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "cannot be written" in ran.stderr and len(ran.stderr.splitlines()) == 1


def test_the_command_fits_a_comparison_and_keeps_its_model(tmp_path: Path) -> None:
    plan, run = _of_sweeps("headline", "concurrency", "latency")
    comparisons.write(tmp_path / "c", plan, run)
    first = advise("--from", tmp_path / "c", "--latency", "0.05s", "--json", "--save", tmp_path / "model.json")
    again = advise("--from", tmp_path / "model.json", "--latency", "50ms", "--json")
    told = json.loads(first.stdout)
    assert told == json.loads(again.stdout)
    assert told["measured"]["preset"] == "standard" and [one["name"] for one in told["modes"]] == list(TRUTH)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((), "--latency"),
        (("--latency", "80"), "like 80ms"),
        (("--latency", "fast"), "like 80ms"),
        (("--latency", "2000min"), "more than an hour"),
        (("--latency", "1ms", "--cores", "0"), "--cores"),
        (("--latency", "1ms", "--page-size", "big"), "size like"),
        (("--latency", "1ms", "--from", "nowhere"), "nowhere is not a comparison"),
    ],
)
def test_what_cannot_be_used_is_told_in_one_line(arguments: tuple[str, ...], why: str) -> None:
    ran = advise(*arguments)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert why in ran.stderr and len(ran.stderr.splitlines()) == 1


def test_a_comparison_without_trials_and_a_damaged_model_are_refused(tmp_path: Path) -> None:
    plan, _ = _of_sweeps("headline", "concurrency", "latency")
    comparisons.write(tmp_path / "empty", plan, [])
    with pytest.raises(UsageError, match="no valid trials"):
        shipped.model_of(tmp_path / "empty")
    (tmp_path / "model.json").write_text('{"format": 1}')
    with pytest.raises(Corrupt, match="not a cost model"):
        shipped.model_of(tmp_path / "model.json")


@pytest.mark.parametrize(
    ("text", "seconds"), [("80ms", 0.08), ("1.2ms", 0.0012), ("0.08s", 0.08), ("20 us", 2e-5), ("0", 0.0)]
)
def test_a_time_is_read_with_its_unit(text: str, seconds: float) -> None:
    assert DurationType().convert(text, None, None) == pytest.approx(seconds)
    assert DurationType(bare=True).convert("1", None, None) == 1.0


# ---- the script ------------------------------------------------------------------------------------------------------


def test_the_script_of_the_report_computes_the_same(model: CostModel) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node on this machine")
    dice = random.Random(2)
    jobs = usual_jobs(model) + [
        Work(
            latency=dice.choice([0.0, dice.random()]),
            cpu=0.01 * dice.random(),
            payload=dice.randint(0, 10**6),
            slots=dice.randint(1, 500),
            cores=dice.randint(1, 16),
            hosts=dice.randint(1, 500),
            delay=dice.choice([0.0, 1.0]),
        )
        for _ in range(50)
    ]
    fields = ("name", "rate", "low", "high", "limit", "cpu", "seconds")
    asked = f"""
        const model = {embedded(model)}, jobs = {msgspec.json.encode(jobs).decode()};
        console.log(JSON.stringify(jobs.map((work) => {{
          const found = model.engines.map((engine) => withInterval(engine, work, 1000));
          return [found.map((one) => {json.dumps(fields)}.map((field) => one[field])), advice(found)];
        }})));"""
    ran = subprocess.run(
        [node, "-e", SCRIPT.read_text() + asked], capture_output=True, text=True, timeout=60, check=True
    )
    for work, (rows, advised) in zip(jobs, json.loads(ran.stdout), strict=True):
        found = forecasts(model, work, 1000)
        for one, row in zip(found, rows, strict=True):
            ours = [getattr(one, field) for field in fields]
            assert [x for x in row if isinstance(x, str)] == [x for x in ours if isinstance(x, str)]
            assert [x for x in row if not isinstance(x, str)] == pytest.approx(
                [x for x in ours if not isinstance(x, str)]
            )
        assert (advised["chosen"], tuple(advised["tied"])) == (advice(found).chosen, advice(found).tied)
