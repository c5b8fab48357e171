"""A fitted cost model: the costs of each engine, how far off they are, where they were measured. Pure.

Rules, and why:
- The interval of a forecast is the jackknife's (Barber et al. 2021): SHARE of the errors at points left out of the fit
  are within its reach. Fewer points than that takes are told, and the reach is then the largest error.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Literal

import msgspec

from crawler.compare.advise.model import EngineCosts

SHARE = 0.9
ENOUGH_ERRORS = 9
"""Errors of which one can be the SHARE-quantile: ceil((9 + 1) * 0.9) = 9."""


class FittedEngine(msgspec.Struct, frozen=True, kw_only=True):
    """An engine's costs, and log(forecast / measured) at each point left out of the fit; none where nothing was fitted.
    `points`: how many there were. `jobs`: the same errors of the seconds of whole jobs."""

    name: str
    costs: EngineCosts
    points: int
    errors: tuple[float, ...] = ()
    jobs: tuple[float, ...] = ()

    @property
    def fitted(self) -> bool:
        """Whether there were enough points."""
        return bool(self.errors)

    @property
    def reach(self) -> float:
        """How far a forecast's interval reaches to both sides, as a factor."""
        rank = min(math.ceil((len(self.errors) + 1) * SHARE), len(self.errors))
        return math.exp(sorted(map(abs, self.errors))[rank - 1])


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """Where a model is from. `created_at`: Unix time; `slots`, `payload`: those of the headline; `blocks`: of a sweep,
    the fewest; `ranges`: the lowest and highest value of each factor of a job."""

    preset: str
    created_at: float
    cpu: str
    python: str
    cores: int
    blocks: int
    slots: int
    payload: int
    ranges: dict[str, tuple[float, float]]

    @property
    def factor_ranges(self) -> dict[str, tuple[float, float]]:
        """The measured ranges, the cores included: with fewer of them the model only leaves some out."""
        return self.ranges | {"cores": (1, self.cores)}


class CostModel(msgspec.Struct, frozen=True, kw_only=True):
    """The engines of a comparison."""

    format: Literal[1] = 1
    measured: Measured
    engines: tuple[FittedEngine, ...]

    @property
    def error(self) -> float | None:
        """The median error at points left out of the fits, as a share; None without a fit."""
        return _median_error([error for engine in self.engines for error in engine.errors])

    @property
    def job_error(self) -> float | None:
        """The median error of the seconds of whole jobs, as a share; None where there were none."""
        return _median_error([error for engine in self.engines for error in engine.jobs])


def _median_error(errors: Sequence[float]) -> float | None:
    return statistics.median(abs(math.expm1(error)) for error in errors) if errors else None
