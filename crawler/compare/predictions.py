"""Predictions about pairs of arms: read before a comparison is run, judged by its intervals afterwards. See
predictions.toml for their form.

A prediction is a range of ratios. It held where the interval lies inside, it failed where the interval lies outside;
else it is open, as it is with too few blocks or an A/A arm that differs. It is judged by its own interval, uncorrected:
it was made before.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from crawler.compare import analysis
from crawler.compare.cells import Cells
from crawler.compare.fields import rate_of
from crawler.compare.html_report.numbers import full
from crawler.compare.intervals import Estimate
from crawler.compare.records import Arm, Condition, Prediction
from crawler.errors import UsageError

SHIPPED = Path(__file__).with_suffix(".toml")
RANGES = {
    "faster": (1 + analysis.ROPE, math.inf),
    "slower": (0.0, 1 / (1 + analysis.ROPE)),
    "equivalent": (1 / (1 + analysis.ROPE), 1 + analysis.ROPE),
}
FACTORS = frozenset(Condition.__struct_fields__) - {"sweep"}
Outcome = Literal["held", "failed", "open"]
OUTCOMES: tuple[Outcome, ...] = ("held", "failed", "open")


@dataclass(frozen=True, slots=True)
class JudgedPrediction:
    """A prediction under one condition, the ratio that was found (None where there is none), what came of it."""

    prediction: Prediction
    condition: Condition
    ratio: Estimate | None
    outcome: Outcome


def read(path: Path, arms: Sequence[Arm], conditions: Sequence[Condition]) -> tuple[Prediction, ...]:
    """The predictions in a file about these arms and conditions. Raises UsageError, also for one that fits none of
    them."""
    try:
        file = msgspec.toml.decode(path.read_bytes(), type=dict[str, list[Prediction]])
    except OSError as error:
        raise UsageError(f"cannot read the predictions in {path}: {error.strerror}") from error
    except (msgspec.MsgspecError, ValueError) as error:
        raise UsageError(f"{path} has no valid predictions: {error}") from error
    if file.keys() - {"prediction"}:
        raise UsageError(f"{path} may have nothing but [[prediction]]")
    found = tuple(file.get("prediction", ()))
    for one in found:
        if (one.expect is None) == (one.between is None) or one.where.keys() - FACTORS:
            raise UsageError(f"{path}: {in_words(one)} needs either `expect` or `between`, and factors in `where`")
        if not fitting((one,), arms, conditions):
            raise UsageError(f"{path}: {in_words(one)} is about arms or conditions that this comparison has not")
    return found


def shipped(arms: Sequence[Arm], conditions: Sequence[Condition]) -> tuple[Prediction, ...]:
    """The predictions that come with the package, those about these arms and conditions."""
    file = msgspec.toml.decode(SHIPPED.read_bytes(), type=dict[str, list[Prediction]])
    return fitting(file["prediction"], arms, conditions)


def fitting(
    found: Iterable[Prediction], arms: Sequence[Arm], conditions: Sequence[Condition]
) -> tuple[Prediction, ...]:
    """The predictions whose two arms take part and that some condition fits."""
    names = {arm.name for arm in arms}
    return tuple(one for one in found if {one.a, one.b} <= names and any(_fits(one, at) for at in conditions))


def judged(cells: Cells, claims: bool) -> list[JudgedPrediction]:
    """Every prediction of the session under each of its conditions. Without `claims` all are open."""
    return [
        _judged(cells, one, condition, claims)
        for one in cells.session.predictions
        for condition in cells.session.conditions
        if _fits(one, condition)
    ]


def in_words(one: Prediction) -> str:
    """A prediction in one line."""
    where = ", ".join([one.sweep, *(f"{name} {value:g}" for name, value in one.where.items())])
    if one.between:
        expected = "between {:g} and {:g} times".format(*one.between)
    else:
        expected = f"{one.expect} {'to' if one.expect == 'equivalent' else 'than'}"
    return f"{one.a} {expected} {one.b} ({where})"


def verdict(one: JudgedPrediction) -> tuple[str, str]:
    """A prediction and what came of it."""
    return (
        f"predicted: {in_words(one.prediction)}",
        f"{one.outcome}, {full(one.ratio) if one.ratio else 'not measured'}",
    )


def tally(found: Iterable[JudgedPrediction]) -> Mapping[Outcome, int]:
    """How many predictions came to which outcome."""
    return Counter(one.outcome for one in found)


def _fits(one: Prediction, condition: Condition) -> bool:
    here = one.sweep == condition.sweep
    return here and all(getattr(condition, name) == value for name, value in one.where.items())


def _judged(cells: Cells, one: Prediction, condition: Condition, claims: bool) -> JudgedPrediction:
    rate = rate_of(cells, condition)
    ratio = analysis.ratio(cells.blocks(condition, one.a, rate), cells.blocks(condition, one.b, rate))
    low, high = one.between or RANGES[one.expect or "equivalent"]
    outcome: Outcome = "open"
    if claims and ratio and ratio.known:
        if low <= ratio.low and ratio.high <= high:
            outcome = "held"
        elif ratio.high < low or high < ratio.low:
            outcome = "failed"
    return JudgedPrediction(one, condition, ratio, outcome)
