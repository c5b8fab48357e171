"""`python -m tests.simulated`: how often is the analysis of a comparison wrong when the truth is known?

Sessions of three engines in randomised blocks under slow drift (AR(1), rho 0.95, 5 % spread, and 1 % more with every
block) and 2 % of noise in every trial; `truth` is how much faster the second engine is. Printed, as shares of all
comparisons: intervals that miss the truth, intervals that exclude 1, and comparisons of all three pairs in which any is
called faster or slower.
"""

from __future__ import annotations

import json
import math
import random
from typing import NamedTuple

from crawler.compare import analysis

ENGINES = "abc"
RHO, SHOCK = 0.95, 0.016
TREND, NOISE = 0.01, 0.02


class Erred(NamedTuple):
    """Shares of all comparisons."""

    missed: float
    excluded_one: float
    called: float


def session(dice: random.Random, blocks: int, truth: float) -> dict[str, dict[int, float]]:
    """Pages/s of each engine in each block; `b` is `truth` times as fast as the others."""
    rates: dict[str, dict[int, float]] = {engine: {} for engine in ENGINES}
    drift = 0.0
    for block in range(blocks):
        for engine in dice.sample(ENGINES, len(ENGINES)):
            drift = RHO * drift + dice.gauss(0, SHOCK)
            log = drift + TREND * block + dice.gauss(0, NOISE) + (math.log(truth) if engine == "b" else 0.0)
            rates[engine][block] = 1000 * math.exp(log)
    return rates


def simulate(comparisons: int, blocks: int, truth: float = 1.0, resamples: int = 500, seed: int = 5) -> Erred:
    """Analyse so many sessions."""
    dice = random.Random(seed)
    missed = excluded = called = 0
    for _ in range(comparisons):
        rates = session(dice, blocks, truth)
        ratio = analysis.ratio(rates["b"], rates["a"], resamples)
        assert ratio
        missed += not ratio.low <= truth <= ratio.high
        excluded += not ratio.low <= 1 <= ratio.high
        ps = analysis.pairs(rates, analysis.FLOOR, resamples=resamples)
        called += any(pair.word in ("faster", "slower") for pair in ps)
    return Erred(missed / comparisons, excluded / comparisons, called / comparisons)


if __name__ == "__main__":
    for blocks in (5, 10, 20):
        for truth in (1.0, 1.05):
            erred = simulate(1000, blocks, truth, resamples=10_000)
            print(json.dumps({"blocks": blocks, "truth": truth, **erred._asdict()}), flush=True)
