"""Fits the cost model of each engine to the points of a comparison, and checks it on points that it has not seen. Pure.

Rules, and why:
- Least squares on the logarithms of pages/s and of CPU per page: an error of 10 % is as bad at 20 as at 2,000 pages/s.
  CPU counts half, because a crawl that mostly waits also spends CPU on waiting.
- Every parameter has a weak prior, a normal distribution on its logarithm: where a design does not vary what would show
  it (workers, say), it stays what is usual instead of wandering off. Its centre and width are in PRIORS.
- The error of the model is that on points left out of the fit, one after another. It holds noise and the faults of the
  model alike; an interval of the parameters would hold the noise alone, and be much too narrow.
- Below LEAST points nothing is fitted: an engine then has no costs, and its forecast is what no engine can exceed.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

import msgspec

from crawler.compare.advise.fitted import CostModel, FittedEngine, Measured
from crawler.compare.advise.least_squares import minimise
from crawler.compare.advise.model import EngineCosts, forecast
from crawler.compare.advise.points import Point, jobs_of, points_of, starts_of
from crawler.compare.cells import Cells
from crawler.compare.records import Session, Trial

LEAST = 6
"""Points that a fit takes."""
CPU_WEIGHT = 0.5
PRIORS = {
    "hold": (math.log(0.002), 1.5),
    "cpu": (math.log(0.001), 2.0),
    "serial": (1.0, 1.0),
    "growth": (0.0, 0.1),
    "knee": (math.log(4), 0.5),
    "byte": (math.log(5e-9), 1.5),
}
"""Centre and width: of `serial` those of its log-odds, of `growth` its own, of the others those of their logarithm."""

SPREAD = 0.1
"""The error of a point that weighs as much as a parameter one width away from the centre of its prior."""
WIDEST = 6


def fit_session(session: Session, trials: Sequence[Trial]) -> CostModel:
    """The cost model of a comparison's engines."""
    cells = Cells(session, trials)
    modes = {arm.name: arm.mode for arm in session.arms}
    points = {arm: points_of(cells, arm) for arm in cells.engines}
    return CostModel(
        measured=_measured(cells, [point for found in points.values() for point in found]),
        engines=tuple(_engine(cells, arm, modes[arm], found) for arm, found in points.items()),
    )


def _engine(cells: Cells, arm: str, mode: str, points: Sequence[Point]) -> FittedEngine:
    if len(points) < LEAST:
        return FittedEngine(name=arm, costs=EngineCosts(mode=mode), points=len(points))
    costs = fit(mode, points)
    errors = []
    for place, point in enumerate(points):
        unseen = fit(mode, [*points[:place], *points[place + 1 :]], costs)
        errors.append(math.log(forecast(unseen, point.work).rate / point.rate))
    costs = msgspec.structs.replace(costs, start=max(statistics.median(starts_of(cells, arm) or [0.0]), 0.0))
    jobs = [
        math.log((costs.start + pages / forecast(costs, work).rate) / seconds)
        for work, pages, seconds in jobs_of(cells, arm)
    ]
    return FittedEngine(name=arm, costs=costs, points=len(points), errors=tuple(errors), jobs=tuple(jobs))


def fit(mode: str, points: Sequence[Point], near: EngineCosts | None = None) -> EngineCosts:
    """The costs of an engine that fit its points best; the search begins `near` known ones."""
    names = [name for name in PRIORS if name != "byte" or len({point.work.payload for point in points}) > 1]
    start = [_encoded(near, name) if near else PRIORS[name][0] for name in names]

    def residuals(at: Sequence[float]) -> list[float]:
        costs = _decoded(mode, names, at)
        errors = [(x - PRIORS[name][0]) / PRIORS[name][1] * SPREAD for name, x in zip(names, at, strict=True)]
        for point in points:
            errors.append(math.log(forecast(costs, point.work).rate / point.rate))
            if point.cpu > 0:
                errors.append(CPU_WEIGHT * math.log((costs.own(point.work) + point.work.cpu) / point.cpu))
        return errors

    return _decoded(mode, names, minimise(residuals, start))


def _decoded(mode: str, names: Sequence[str], at: Sequence[float]) -> EngineCosts:
    values = {name: _bounded(name, value) for name, value in zip(names, at, strict=True)}
    growth, odds = values.pop("growth"), math.exp(values.pop("serial"))
    costs = {name: math.exp(value) for name, value in values.items()}
    return EngineCosts(mode=mode, serial=odds / (1 + odds), growth=growth, **costs)


def _bounded(name: str, value: float) -> float:
    """Within WIDEST widths of the prior, so that no step of the search ends in an overflow."""
    centre, width = PRIORS[name]
    return min(max(value, centre - WIDEST * width), centre + WIDEST * width)


def _encoded(costs: EngineCosts, name: str) -> float:
    value = float(getattr(costs, name))
    if name == "growth":
        return value
    return math.log(value / (1 - value)) if name == "serial" else math.log(value)


def _measured(cells: Cells, points: Sequence[Point]) -> Measured:
    session = cells.session
    headline = next((one for one in session.conditions if one.sweep == "headline"), session.conditions[0])
    factors = ("latency", "cpu", "payload", "slots")
    values = {name: [float(getattr(point.work, name)) for point in points] for name in factors} if points else {}
    return Measured(
        preset=session.preset,
        created_at=session.created_at,
        cpu=session.environment.get("cpu", "an unknown machine"),
        python=session.environment.get("python", "an unknown Python"),
        cores=max(cells.cores, 1),
        blocks=min(session.blocks.values()),
        slots=headline.concurrency,
        payload=headline.payload,
        ranges={name: (min(found), max(found)) for name, found in values.items()},
    )
