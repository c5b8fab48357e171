"""Engines with a planted fault run through whole trials, on a flat web and on a linked one: each is caught by the gate
or the figure that is for it, and an honest one passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from crawler.compare import trial, workload
from crawler.compare.design import Planned
from crawler.compare.launch import Cost
from crawler.compare.records import Arm, Condition, Trial
from crawler.compare.run_process import run_watched
from tests.live.trials import UNMEASURED, failed

ARM = Arm("async", "async", "native")
FLAT = Condition(sweep="headline", pages=160, concurrency=8, latency=0.05, payload=2000)
GRAPH = Condition(sweep="graph", workload="graph", pages=150, hosts=13, concurrency=16, latency=0.0, payload=0)
POLITE = msgspec.structs.replace(GRAPH, sweep="politeness", workload="polite", delay=0.02)
MACHINE = {"G8", "G9"}
"""Gates of the machine: other work may use it, too."""
AT_ONCE = 6
Metrics = dict[str, float]


class Planted(NamedTuple):
    """The gates that must find a fault on a web, all of them; or the figure that shows it, from the metrics of the
    engine and those of an honest one."""

    name: str
    condition: Condition
    gates: set[str] = set()  # noqa: RUF012
    shown: Callable[[Metrics, Metrics], bool] = lambda ours, honest: True


def slower(factor: float, rate: str = "crawl_rate") -> Callable[[Metrics, Metrics], bool]:
    """Whether an engine reaches at most this share of the honest one."""
    return lambda ours, honest: ours[rate] < factor * honest[rate]


TABLE = (
    Planted("honest", FLAT),
    Planted("honest", GRAPH),
    Planted("honest", POLITE),
    Planted("parses_at_the_end", FLAT, {"G10"}),
    Planted("parses_at_the_end", GRAPH, shown=slower(0.8)),
    Planted("never_parses", FLAT, {"G1"}),
    Planted("never_parses", GRAPH, {"G1"}),
    Planted("stores_no_bodies", FLAT, {"G2"}),
    Planted("stores_no_bodies", GRAPH, {"G2"}),
    Planted("syncs_nothing", FLAT, {"G11"}),
    Planted("syncs_nothing", GRAPH, {"G11"}),
    Planted("commits_at_the_end", FLAT, {"G11"}),
    Planted("commits_at_the_end", GRAPH, {"G11"}),
    Planted("skips_pages", FLAT, {"G1", "G2", "G3"}),
    Planted("skips_pages", GRAPH, {"G1", "G2", "G3"}),
    Planted("has_a_hidden_limit", FLAT, {"G5"}),
    Planted("has_a_hidden_limit", GRAPH, shown=slower(0.5, "in_flight")),
    Planted("asks_more_at_once", FLAT, {"G5", "G6"}),
    Planted("asks_more_at_once", GRAPH, {"G5"}),
    Planted("fetches_twice", FLAT, {"G3", "G7"}),
    Planted("fetches_twice", GRAPH, {"G3", "G7"}),
    Planted("answers_from_a_cache", FLAT, {"G3"}),
    Planted("answers_from_a_cache", GRAPH, {"G3"}),
    Planted("ignores_the_delay", POLITE, {"G6"}),
    Planted("ignores_robots", GRAPH, {"G1", "G3", "G6"}),
    Planted("states_half_the_time", FLAT, {"G10"}),
    Planted("states_half_the_time", GRAPH, {"G10"}),
    Planted("states_even_commits", FLAT, {"G11"}),
    Planted("states_even_commits", GRAPH, {"G11"}),
    Planted("states_less_cpu", FLAT, shown=lambda ours, honest: ours["cpu_per_1000"] > honest["cpu_per_1000"] / 2),
    Planted("states_less_cpu", GRAPH, shown=lambda ours, honest: ours["cold_rate"] < 1.5 * honest["cold_rate"]),
)
MAY_BREAK_A_REST = "has_a_hidden_limit"
"""What waits in the client was ordered before a host asked for a rest."""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Condition], Trial]:
    """The trial of each engine of the table, some at a time: they mostly wait."""
    folder = tmp_path_factory.mktemp("planted")
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(AT_ONCE) as pool:
        patch.setattr(trial, "run_watched", planted_run)
        keys = [(one.name, one.condition) for one in TABLE]
        trials = dict(zip(keys, pool.map(lambda key: run(folder, *key), keys), strict=True))
    return lambda name, condition: trials[name, condition]


def planted_run(command: Sequence[str], folder: Path, *rest: object) -> Cost:
    """Run the crawler with the fault that the folder is named after."""
    python, _, _, *flags = command
    return run_watched([python, "-m", "tests.live.planted", folder.name, *flags], folder, *rest)  # type: ignore[arg-type]


def run(folder: Path, name: str, condition: Condition) -> Trial:
    """One strict trial of an engine."""
    work = folder / condition.workload / name
    work.mkdir(parents=True)
    return trial.run_trial(
        Planned(0, 1, ARM, condition), work, seed=1, rates=UNMEASURED, strict=True, stopped=lambda: False
    )


@pytest.mark.parametrize("one", TABLE, ids=lambda one: f"{one.name}-{one.condition.workload}")
def test_a_planted_fault_is_found(ran: Callable[[str, Condition], Trial], one: Planted) -> None:
    found, honest = ran(one.name, one.condition), ran("honest", one.condition)
    assert found.metrics, found.failed
    assert one.gates <= failed(found), found.gates
    assert one.shown(found.metrics, honest.metrics)
    if not one.gates and one.name != MAY_BREAK_A_REST:
        assert failed(found) <= MACHINE, "a slow engine is slow, not void"


def test_an_engine_that_stalls_is_slower_and_not_void(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "run_watched", planted_run)
    shares = {}
    for name in ("honest", "stalls"):
        found = run(tmp_path, name, msgspec.structs.replace(FLAT, pages=400))
        assert failed(found) <= MACHINE
        shares[name] = found.metrics["steady_rate"] / found.metrics["possible_rate"]
    assert shares["stalls"] < 0.95 * shares["honest"]


def test_a_web_that_answers_in_waves_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = workload.serve
    alike = msgspec.structs.replace(FLAT, spread=0.0)
    monkeypatch.setattr(trial, "run_watched", planted_run)
    monkeypatch.setattr(workload, "serve", lambda condition, log: honest(alike, log))
    found = run(tmp_path, "honest", FLAT)
    assert "G8" in failed(found)
    assert "ms early: it has other latencies" in next(gate.detail for gate in found.gates if gate.name == "G8")
