"""`python -m tests.simulated`: how often is the analysis of a comparison wrong when the truth is known?

Sessions of three engines and an A/A arm in randomised blocks; `truth` is how many times as fast the second engine is as
the others. Each has one kind of noise:

- steady: 2 % in every trial; noisy: 5 %;
- drift: AR(1) over the trials in their order (rho 0.95, 5 % spread), and 1 % more with every block;
- autocorrelated: AR(1) with rho 0.5 and 4 % spread, so that neighbours are alike;
- bursts: another process takes 15 % of the machine in one trial of six, for some trials in a row;
- skewed: trials of the second engine alone are slowed by an exponential 4 %, as by pauses that only it has.

Printed, as shares of all sessions: intervals that miss the truth; sessions in which any pair is called faster or
slower; in which the second engine is called equivalent to another; in which the decision map names one winner, or a tie
of the second engine with another; in which nothing could be claimed because the A/A arm differed.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterator
from typing import NamedTuple

from crawler.compare import analysis
from crawler.compare.analysis import Blocks
from crawler.compare.fields import Field, Row
from crawler.compare.html_report.choice import choice
from crawler.compare.records import Condition

ENGINES = ("a", "b", "c")
ARMS = (*ENGINES, "a again")
RATE = "steady_rate"
NOISE = 0.02


class Erred(NamedTuple):
    """Shares of all sessions."""

    missed: float
    called: float
    equal: float
    winner: float
    tie: float
    refused: float


def _white(dice: random.Random) -> Iterator[float]:
    while True:
        yield dice.gauss(0, NOISE)


def _noisy(dice: random.Random) -> Iterator[float]:
    while True:
        yield dice.gauss(0, 0.05)


def _drift(dice: random.Random) -> Iterator[float]:
    walk, trial = 0.0, 0
    while True:
        walk = 0.95 * walk + dice.gauss(0, 0.016)
        yield walk + 0.01 * (trial // len(ARMS)) + dice.gauss(0, NOISE)
        trial += 1


def _autocorrelated(dice: random.Random) -> Iterator[float]:
    state = dice.gauss(0, 0.04)
    while True:
        yield state
        state = 0.5 * state + dice.gauss(0, 0.04 * math.sqrt(1 - 0.5**2))


def _bursts(dice: random.Random) -> Iterator[float]:
    busy = False
    while True:
        busy = dice.random() < (0.6 if busy else 0.08)
        yield dice.gauss(0, NOISE) - (0.15 if busy else 0.0)


NOISES: dict[str, Callable[[random.Random], Iterator[float]]] = {
    "steady": _white,
    "noisy": _noisy,
    "drift": _drift,
    "autocorrelated": _autocorrelated,
    "bursts": _bursts,
    "skewed": _white,
}


def session(dice: random.Random, noise: str, blocks: int, truth: float) -> dict[str, dict[int, float]]:
    """Pages/s of each arm in each block; `b` is `truth` times as fast as the others."""
    rates: dict[str, dict[int, float]] = {arm: {} for arm in ARMS}
    trials = NOISES[noise](dice)
    for block in range(blocks):
        for arm in dice.sample(ARMS, len(ARMS)):
            log = next(trials) + (math.log(truth) if arm == "b" else 0.0)
            if noise == "skewed" and arm == "b":
                log -= 0.04 * (dice.expovariate(1) - 1)
            rates[arm][block] = 1000 * math.exp(log)
    return rates


def simulate(sessions: int, blocks: int, truth: float = 1.0, noise: str = "drift", seed: int = 5) -> Erred:
    """Analyse so many sessions."""
    dice = random.Random(seed)
    missed = called = equal = winner = tie = refused = 0
    for _ in range(sessions):
        field = _field(session(dice, noise, blocks, truth))
        found = analysis.pairs({row.arm: row.values[RATE] for row in field.engines}, field.margin, field.claims)
        ratio = next(pair.ratio for pair in found if (pair.a, pair.b) == ("a", "b"))
        missed += not ratio.low <= 1 / truth <= ratio.high
        called += any(pair.word in ("faster", "slower") for pair in found)
        equal += any(pair.word == "equivalent" for pair in found if "b" in (pair.a, pair.b))
        best = choice(field)
        winner += best.kind == "clear"
        tie += best.kind == "tie" and "b" in best.engines
        refused += not field.claims
    return Erred(*(count / sessions for count in (missed, called, equal, winner, tie, refused)))


def _field(rates: dict[str, dict[int, float]]) -> Field:
    twin = analysis.ratio(rates["a again"], rates["a"])
    rows = [_row(arm, rates[arm]) for arm in ENGINES]
    margin, claims = analysis.margin_of(twin), analysis.trusted(twin)
    return Field(Condition(sweep="cpu"), RATE, twin, margin, claims, rows, [], {}, None)


def _row(arm: str, blocks: Blocks) -> Row:
    level = analysis.level(blocks)
    assert level
    return Row(arm, False, {RATE: blocks}, {RATE: level}, None, None, math.inf, "", None)


if __name__ == "__main__":
    for noise in NOISES:
        for blocks in (5, 10):
            for truth in (1.0, 1.03, 1.05, 1.1, 1.2):
                erred = simulate(2000, blocks, truth, noise)
                print(json.dumps({"noise": noise, "blocks": blocks, "truth": truth, **erred._asdict()}), flush=True)
