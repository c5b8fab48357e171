"""Comparisons of engines whose costs are known: the trials are what the cost model says, with noise.

The conditions are those of a preset, the web is served on the same two cores.
"""

from __future__ import annotations

import math
import random

from crawler.compare.advise.model import EngineCosts, Work, forecast
from crawler.compare.arms import Asked, arms_for
from crawler.compare.design import PRESETS
from crawler.compare.records import Condition, Gate, Session, Trial
from crawler.compare.session_files import FORMAT

TRUTH = {
    "async": EngineCosts(mode="async", hold=0.001, cpu=0.0008, byte=1e-8, serial=0.9, growth=0.02, knee=5, start=0.4),
    "threads": EngineCosts(
        mode="threads", hold=0.003, cpu=0.0012, byte=1.5e-8, serial=0.8, growth=0.1, knee=3, start=0.5
    ),
    "processes": EngineCosts(
        mode="processes", hold=0.004, cpu=0.0014, byte=1e-8, serial=0.7, growth=0.03, knee=3, start=1.0
    ),
    "prefork": EngineCosts(mode="prefork", hold=0.002, cpu=0.001, byte=1e-8, serial=0.85, knee=5, start=1.2),
}
CORES = 2
SERVED = 0.0002
"""CPU seconds of the server for a page."""


def session(preset: str = "standard", blocks: int = 5) -> Session:
    """A planned session of all engines on a machine that does not exist."""
    conditions = PRESETS[preset].conditions
    return Session(
        format=FORMAT,
        preset=preset,
        seed=1,
        created_at=1_790_000_000.0,
        command=f"python -m crawler compare --preset {preset}",
        arms=arms_for(Asked(tuple(TRUTH), loops=("uvloop",))),
        conditions=conditions,
        blocks={condition.sweep: blocks for condition in conditions},
        environment={"cpu": "a simulated machine", "cores": "2 usable of 2", "python": "CPython 3.11.0"},
    )


def trials(plan: Session, noise: float = 0.03, seed: int = 3, fault: float = 0.0) -> list[Trial]:
    """Its trials. `noise`: log-normal, in every trial; `fault`: the same in every cell, as by a wrong model."""
    dice = random.Random(seed)
    made: list[Trial] = []
    for condition in plan.conditions:
        wrong = {arm.name: dice.gauss(0, fault) for arm in plan.arms}
        for block in range(1, plan.blocks[condition.sweep] + 1):
            for arm in plan.arms:
                truth = TRUTH[arm.mode]
                metrics = _metrics(truth, condition, math.exp(dice.gauss(wrong[arm.name], noise)))
                made.append(
                    Trial(
                        block=block,
                        order=len(made),
                        arm=arm.name,
                        condition=condition,
                        started_at=plan.created_at,
                        seconds=condition.pages / metrics["cold_rate"],
                        warm_up=False,
                        gates=(Gate("G1", True),),
                        metrics=metrics,
                    )
                )
    return made


def work_of(condition: Condition) -> Work:
    """The job of a condition."""
    return Work(
        latency=condition.latency,
        cpu=condition.cpu_ms / 1000,
        payload=condition.payload,
        slots=condition.concurrency,
        cores=CORES,
        hosts=condition.hosts,
        delay=condition.delay,
        served=SERVED,
        workers=condition.workers,
    )


def _metrics(truth: EngineCosts, condition: Condition, noise: float) -> dict[str, float]:
    work = work_of(condition)
    rate = forecast(truth, work).rate * noise
    return {
        "steady_rate": rate,
        "crawl_rate": rate,
        "cold_rate": condition.pages / (truth.start + condition.pages / rate),
        "cpu_per_1000": 1000 * (truth.own(work) + work.cpu) / noise,
        "startup": truth.start / 2,
        "memory": 1e8,
        "server_rate": 1 / SERVED,
    }
