"""Synthetic sessions of the comparison, seeded: what a report is tested with, and looked at.

The engines follow a simple model (a smooth minimum of Little's law and a CPU roof), so the truth that a report should
find is known: `async` and its twin are equal, `threads+urllib3` costs twice the CPU, threads pay for concurrency,
processes use two cores and start late, and where a host is asked once per delay all are equal.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from pathlib import Path

import msgspec

from crawler.compare.records import Arm, Condition, Gate, Session, Trial
from crawler.compare.session_files import FORMAT

ARMS = (
    Arm("async", "async", "aiohttp"),
    Arm("threads", "threads", "curl"),
    Arm("threads+urllib3", "threads", "urllib3"),
    Arm("processes", "processes", "curl"),
    Arm("async again", "async", "aiohttp", twin_of="async"),
)


@dataclass(frozen=True)
class Nature:
    """What an engine is like: CPU seconds per page and its growth per slot, cores, start in seconds, bytes, bytes per
    slot, switches per page."""

    cpu: float
    growth: float
    cores: int
    start: float
    memory: float
    slot: float
    switches: float


NATURES = {
    "async": Nature(0.00045, 0.00012, 1, 0.32, 62e6, 30e3, 0.14),
    "async again": Nature(0.00045, 0.00012, 1, 0.32, 62e6, 30e3, 0.14),
    "threads": Nature(0.00052, 0.0011, 1, 0.30, 66e6, 95e3, 4.4),
    "threads+urllib3": Nature(0.00098, 0.0012, 1, 0.31, 64e6, 90e3, 6.1),
    "processes": Nature(0.00056, 0.0006, 2, 0.95, 148e6, 95e3, 3.2),
}


def conditions(preset: str) -> tuple[Condition, ...]:
    """The design of a preset."""
    chosen = [Condition(sweep="headline", pages=4000, concurrency=64, latency=0.02)]
    if preset == "smoke":
        return tuple(chosen)
    slots = (1, 4, 16, 64, 256, 1024) if preset == "quick" else tuple(2**k for k in range(11))
    chosen += [Condition(sweep="concurrency", pages=200 + 20 * slot, concurrency=slot) for slot in slots]
    chosen += [
        Condition(sweep="latency", pages=2000, concurrency=64, latency=latency)
        for latency in (0.0, 0.001, 0.01, 0.05, 0.2, 1.0)
    ]
    chosen.append(Condition(sweep="politeness", pages=60, hosts=4, delay=0.2, concurrency=16))
    if preset == "standard":
        chosen += [
            Condition(sweep="cpu", concurrency=64, latency=latency, cpu_ms=cpu)
            for latency in (0.0, 0.05, 0.5)
            for cpu in (0.0, 0.5, 2.0, 8.0, 32.0)
        ]
        chosen += [Condition(sweep="job size", pages=pages) for pages in (10, 100, 1000, 10_000)]
        chosen += [Condition(sweep="errors", errors=errors) for errors in (0.0, 0.01, 0.05, 0.25)]
    chosen.append(Condition(sweep="graph", workload="graph", pages=150, hosts=13, concurrency=16, payload=0))
    return tuple(chosen)


def session(preset: str = "quick", *, seed: int = 7, arms: tuple[Arm, ...] = ARMS, **changes: object) -> Session:
    """A planned session."""
    blocks = {"smoke": 3, "quick": 5, "standard": 10}[preset]
    plan = Session(
        format=FORMAT,
        preset=preset,
        seed=seed,
        created_at=1_790_000_000.0,
        command=f"python -m crawler compare --preset {preset} --seed {seed}",
        arms=arms,
        conditions=conditions(preset),
        blocks={
            "headline": blocks,
            "concurrency": 5,
            "latency": 5,
            "graph": 5,
            "politeness": 5,
            "cpu": 5,
            "job size": 5,
            "errors": 5,
        },
        environment={
            "machine": "AMD EPYC 7B13, shared virtual machine",
            "cores": "2",
            "python": "CPython 3.11.7",
            "kernel": "Linux 6.1",
            "loop": "uvloop 0.23.0",
            "clients": "aiohttp 3.14.5, pycurl 7.49.0, urllib3 2.8.0",
            "git": "0123abc",
        },
    )
    return msgspec.structs.replace(plan, **changes)


def trials(plan: Session, *, warm_up: bool = True, invalid: bool = True) -> list[Trial]:
    """What running the plan gave: a discarded block 0 of the first condition, blocks in random order, a slow drift, and
    three trials that fail a gate or crash."""
    dice = random.Random(plan.seed)
    made: list[Trial] = []
    clock, drift = plan.created_at, 0.0
    for condition in plan.conditions:
        first = 0 if warm_up and condition == plan.conditions[0] else 1
        for block in range(first, plan.blocks[condition.sweep] + 1):
            order = list(plan.arms)
            dice.shuffle(order)
            for arm in order:
                drift = 0.95 * drift + dice.gauss(0, 0.012)
                metrics = measure(condition, arm.name, dice, drift)
                seconds = condition.pages / metrics["cold_rate"]
                made.append(
                    Trial(
                        block=block,
                        order=len(made),
                        arm=arm.name,
                        condition=condition,
                        started_at=clock,
                        seconds=seconds,
                        warm_up=block == 0,
                        gates=gates(condition, metrics),
                        metrics=metrics,
                    )
                )
                clock += seconds + 2.5
    return spoilt(made) if invalid else made


def measure(condition: Condition, name: str, dice: random.Random, drift: float) -> dict[str, float]:
    """One trial's metrics."""
    nature = NATURES.get(name, NATURES["async"])
    slots = condition.concurrency
    cpu = nature.cpu * (1 + nature.growth * slots) + condition.cpu_ms / 1000
    latency = condition.latency * (1 + 3 * condition.errors)
    bounds = [slots / (latency + cpu + 0.0004), nature.cores / cpu]
    if condition.delay:
        bounds.append(condition.hosts / condition.delay)
    rate = sum(bound**-8 for bound in bounds) ** (-1 / 8)
    noisy = 0.001 if condition.delay else 1.0
    rate *= math.exp(noisy * (drift + dice.gauss(0, 0.012)))
    start = nature.start * math.exp(dice.gauss(0, 0.05))
    lag = 0.3 + 40 * cpu * min(1.0, rate * cpu / nature.cores) * math.sqrt(slots)
    late, later = 0.3 * lag * math.exp(dice.gauss(0, 0.05)), 4 * lag * math.exp(dice.gauss(0, 0.12))
    whole = {"crawl_rate": 0.7 * rate, "least_rate": 320.0} if condition.workload == "graph" else {}
    return whole | {
        "steady_rate": rate,
        "cold_rate": condition.pages / (start + condition.pages / rate),
        "cpu_per_1000": 1000 * cpu * math.exp(dice.gauss(0, 0.02)),
        "memory": (nature.memory + nature.slot * slots) * math.exp(dice.gauss(0, 0.01)),
        "switches_per_page": nature.switches * (1 + nature.growth * slots * 3) * math.exp(dice.gauss(0, 0.05)),
        "threads": 3.0 + (slots if "threads" in name or name == "processes" else 0),
        "descriptors": 20.0 + slots,
        "startup": start,
        "overhead_p50": late,
        "overhead_p99": later,
        "heartbeat_p50": 0.2 * late,
        "heartbeat_p99": 0.4 * later,
        "in_flight": slots * 0.97,
        "raw_rate": min(slots / (condition.latency + 0.0003), 5200.0) * math.exp(dice.gauss(drift, 0.01)),
    }


def gates(condition: Condition, metrics: dict[str, float]) -> tuple[Gate, ...]:
    """All passed."""
    return (
        Gate("G1", True, f"{condition.pages} of {condition.pages} records, digest equal"),
        Gate("G2", True, "digest from disk equal"),
        Gate("G3", True, "0 duplicates, 0 missing"),
        Gate("G5", True, f"mean {metrics['in_flight']:.1f} of {condition.concurrency} in flight"),
        Gate("G6", True, "smallest gap as asked"),
        Gate("G8", True, "server 31 % busy"),
        Gate("G9", True, "steal 0.2 %"),
    )


def spoilt(made: list[Trial]) -> list[Trial]:
    """Three trials go wrong: a lost page, a hidden cap on connections, a crash."""
    wrong = dict(zip(range(len(ARMS) + 2, len(made), max(1, len(made) // 3)), ("G1", "G5", ""), strict=False))
    for index, gate in wrong.items():
        trial = made[index]
        details = {"G1": "3,999 of 4,000 records: digest differs", "G5": "mean 31.2 of 64 in flight: a hidden cap"}
        if gate:
            found = tuple(Gate(g.name, False, details[gate]) if g.name == gate else g for g in trial.gates)
            made[index] = msgspec.structs.replace(trial, gates=found)
        else:
            made[index] = msgspec.structs.replace(trial, metrics={}, gates=(Gate("G1", False, "exit 70 after 2.1 s"),))
    return made


def write(folder: Path, plan: Session, run: list[Trial]) -> None:
    """Onto disk, as the harness writes it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "session.json").write_bytes(msgspec.json.encode(plan))
    (folder / "trials.jsonl").write_bytes(msgspec.json.Encoder().encode_lines(run))
