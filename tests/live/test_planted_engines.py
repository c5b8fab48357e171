"""Engines with a planted fault run through whole trials, on a flat web and on a linked one: each is caught by the gate
or the figure that is for it, and an honest one passes."""

from __future__ import annotations

import functools
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
Metrics = dict[str, float]


class Planted(NamedTuple):
    """The gates that must find a fault on a web, all of them; or the figure that shows it, from the metrics of the
    engine and those of an honest one."""

    condition: Condition
    gates: frozenset[str] = frozenset()
    shown: Callable[[Metrics, Metrics], bool] | None = None


def found_by(*gates: str) -> tuple[Planted, Planted]:
    """On both webs by these gates."""
    return Planted(FLAT, frozenset(gates)), Planted(GRAPH, frozenset(gates))


def slower(factor: float, rate: str = "crawl_rate") -> Callable[[Metrics, Metrics], bool]:
    """Whether an engine reaches at most this share of the honest one."""
    return lambda ours, honest: ours[rate] < factor * honest[rate]


TABLE = {
    "honest": (Planted(FLAT), Planted(GRAPH), Planted(POLITE)),
    "parses_at_the_end": (Planted(FLAT, frozenset({"G10"})), Planted(GRAPH, shown=slower(0.8))),
    "never_parses": found_by("G1"),
    "stores_no_bodies": found_by("G2"),
    "syncs_nothing": found_by("G11"),
    "commits_at_the_end": found_by("G11"),
    "skips_pages": found_by("G1", "G2", "G3"),
    "has_a_hidden_limit": (Planted(FLAT, frozenset({"G5"})), Planted(GRAPH, shown=slower(0.5, "in_flight"))),
    "asks_more_at_once": found_by("G5"),
    "fetches_twice": found_by("G3", "G7"),
    "answers_from_a_cache": found_by("G3"),
    "ignores_the_delay": (Planted(POLITE, frozenset({"G6"})),),
    "ignores_robots": (Planted(GRAPH, frozenset({"G1", "G3", "G6"})),),
    "states_half_the_time": found_by("G10"),
    "states_even_commits": found_by("G11"),
    "states_less_cpu": (
        Planted(FLAT, shown=lambda ours, honest: ours["cpu_per_1000"] > honest["cpu_per_1000"] / 2),
        Planted(GRAPH, shown=lambda ours, honest: ours["cold_rate"] < 1.5 * honest["cold_rate"]),
    ),
}
"""By the name of each engine in tests/live/planted.py."""
STATES_TIMES, EARLY = ("states_even_commits",), "G10"
"""Wrong times may also be found so: where the machine was so busy that they came before the answers."""
MAY_BREAK_A_REST = ("has_a_hidden_limit", "parses_at_the_end")
"""What waits in the engine was ordered before a host asked for a rest."""


@pytest.fixture(autouse=True)
def planting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every trial runs the engine that its folder is named after."""
    monkeypatch.setattr(trial, "run_watched", planted_run)


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Condition], Metrics]:
    """The metrics of an honest engine under a condition, measured where they are asked for."""
    folder = tmp_path_factory.mktemp("reference")
    return functools.cache(lambda condition: run(folder, "honest", condition).metrics)


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


@pytest.mark.parametrize("name", TABLE)
def test_a_planted_fault_is_found(name: str, honest: Callable[[Condition], Metrics], tmp_path: Path) -> None:
    with ThreadPoolExecutor() as pool:  # they mostly wait
        ran = list(pool.map(lambda one: run(tmp_path, name, one.condition), TABLE[name]))
    for one, found in zip(TABLE[name], ran, strict=True):
        assert found.metrics, found.failed
        assert one.gates <= failed(found) or (name in STATES_TIMES and EARLY in failed(found)), found.gates
        assert one.shown is None or one.shown(found.metrics, honest(one.condition))
        if not one.gates and name not in MAY_BREAK_A_REST:
            assert failed(found) <= MACHINE, "a slow engine is slow, not void"


def test_an_engine_that_stalls_is_slower_and_not_void(tmp_path: Path) -> None:
    shares = {}
    for name in ("honest", "stalls"):
        found = run(tmp_path, name, msgspec.structs.replace(FLAT, pages=400))
        assert failed(found) <= MACHINE
        shares[name] = found.metrics["steady_rate"] / found.metrics["possible_rate"]
    assert shares["stalls"] < 0.95 * shares["honest"]


def test_a_web_that_answers_in_waves_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve, alike = workload.serve, msgspec.structs.replace(FLAT, spread=0.0)
    monkeypatch.setattr(workload, "serve", lambda condition, log: serve(alike, log))
    found = run(tmp_path, "honest", FLAT)
    assert "G8" in failed(found)
    assert "ms early: it has other latencies" in next(gate.detail for gate in found.gates if gate.name == "G8")
