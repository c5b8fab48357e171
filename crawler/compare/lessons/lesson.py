"""A lesson, and how its claim and its prediction are judged.

Rules:
- A claim is judged by numbers, so it is written twice: in the words of the tutorials, and as bounds of measures. Our
  prediction is written as bounds too, before anything runs. The two often contradict each other.
- Bounds are of the median of repeated samples, mostly ratios within one round, so that a slow phase of the machine
  affects both sides. They hold or do not where the whole confidence interval of that median lies on one side of the
  bound, else they are "inconclusive".
- The interval inverts the sign test: it assumes no distribution, and one outlier in five leaves it undecided.
- Bounds that need free cores are undecided while other processes keep them busy, however clear the figures look. A
  lesson that samples the free cores itself, in the same rounds (`control`), is judged by that.
- A claim holds if all its bounds do; it does not hold if one does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import comb, inf
from statistics import median
from typing import Literal

import msgspec

Samples = dict[str, list[float]]
Claim = Literal["holds", "does not hold here", "inconclusive"]
Prediction = Literal["met", "not met", "inconclusive"]

ERROR_RATE = 0.05  # of each end of the interval


class PredictedRange(msgspec.Struct, frozen=True):
    """Where a median is predicted to be, exclusive. `needs`: free cores required to decide whether they hold."""

    low: float = -inf
    high: float = inf
    needs: float = 0.0

    def __str__(self) -> str:
        if self.low > -inf and self.high < inf:
            return f"{number(self.low)} to {number(self.high)}"
        return f"> {number(self.low)}" if self.low > -inf else f"< {number(self.high)}"


def above(low: float, *, needs: float = 0.0) -> PredictedRange:
    """The median is above `low`."""
    return PredictedRange(low=low, needs=needs)


def below(high: float, *, needs: float = 0.0) -> PredictedRange:
    """The median is below `high`."""
    return PredictedRange(high=high, needs=needs)


def between(low: float, high: float) -> PredictedRange:
    """The median is between the two."""
    return PredictedRange(low, high)


class Measure(msgspec.Struct, frozen=True):
    """Something that a lesson samples: its name in the report, what tutorials say of it, what we predict."""

    meaning: str
    claim: PredictedRange | None = None
    prediction: PredictedRange | None = None


class Lesson(msgspec.Struct, frozen=True, kw_only=True):
    """One experiment. `cores`: free cores required. `control` names a measure of the cores that were free, taken in the
    same rounds as the others."""

    title: str
    claim: str
    why: str
    measures: Mapping[str, Measure]
    run: Callable[[], Samples]
    cores: int = 1
    control: str = ""


class LessonFigure(msgspec.Struct, frozen=True, kw_only=True):
    """One measured value. `low` and `high` are the range; also the bounds, and whether they hold."""

    name: str
    meaning: str
    median: float
    low: float
    high: float
    samples: tuple[float, ...]
    claimed: str = ""
    claim_true: bool | None = None
    predicted: str = ""
    prediction_true: bool | None = None


class LessonOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of a lesson. `others`: cores that other processes kept busy meanwhile, -1 where unknown. Where it did
    not finish, `trouble` is one line and there are no figures."""

    name: str
    title: str
    claim: str
    why: str
    holds: Claim = "inconclusive"
    prediction: Prediction = "inconclusive"
    figures: tuple[LessonFigure, ...] = ()
    seconds: float = 0.0
    others: float = -1.0
    trouble: str = ""


def interval(samples: Iterable[float]) -> tuple[float, float]:
    """The confidence interval of the median; each end errs with at most ERROR_RATE. Infinite below 5 samples."""
    ordered = sorted(samples)
    count, cut, tail = len(ordered), -1, 0.0
    while (tail := tail + comb(count, cut + 1) / 2**count) <= ERROR_RATE:
        cut += 1
    return (ordered[cut], ordered[-1 - cut]) if cut >= 0 else (-inf, inf)


def decide(bounds: PredictedRange, samples: Iterable[float], free_cores: float = inf) -> bool | None:
    """Whether the median is within the bounds; None where the samples do not decide it."""
    if free_cores < bounds.needs:
        return None
    low, high = interval(samples)
    if bounds.low < low and high < bounds.high:
        return True
    return False if high <= bounds.low or low >= bounds.high else None


def together(answers: Iterable[bool | None]) -> bool | None:
    """The conjunction of answers: False if one is False, else None if one is None, else True."""
    known = set(answers)
    return False if False in known else None if None in known or not known else True


def judge(
    name: str,
    lesson: Lesson,
    samples: Mapping[str, list[float]],
    *,
    seconds: float = 0.0,
    others: float = -1.0,
    free_cores: float = inf,
) -> LessonOutcome:
    """The outcome of a lesson with these samples. Its own `control` takes precedence over `free_cores`."""
    if lesson.control:
        free_cores = interval(samples[lesson.control])[0]

    def answer(measure: str, bounds: PredictedRange | None) -> bool | None:
        return decide(bounds, samples[measure], free_cores) if bounds else None

    figures = tuple(
        LessonFigure(
            name=name,
            meaning=one.meaning,
            median=median(samples[name]),
            low=min(samples[name]),
            high=max(samples[name]),
            samples=tuple(samples[name]),
            claimed=str(one.claim or ""),
            claim_true=answer(name, one.claim),
            predicted=str(one.prediction or ""),
            prediction_true=answer(name, one.prediction),
        )
        for name, one in lesson.measures.items()
    )
    holds: dict[bool | None, Claim] = {True: "holds", False: "does not hold here", None: "inconclusive"}
    met: dict[bool | None, Prediction] = {True: "met", False: "not met", None: "inconclusive"}
    return LessonOutcome(
        name=name,
        title=lesson.title,
        claim=lesson.claim,
        why=lesson.why,
        holds=holds[together(figure.claim_true for figure in figures if figure.claimed)],
        prediction=met[together(figure.prediction_true for figure in figures if figure.predicted)],
        figures=figures,
        seconds=seconds,
        others=others,
    )


def failed(name: str, lesson: Lesson | None, trouble: str, seconds: float = 0.0) -> LessonOutcome:
    """The outcome of a lesson that did not finish."""
    title, claim, why = (lesson.title, lesson.claim, lesson.why) if lesson else (name, "", "")
    return LessonOutcome(name=name, title=title, claim=claim, why=why, seconds=seconds, trouble=trouble)


def number(value: float) -> str:
    """A number with three significant digits: 0.0123, 1.25, 40, 1,250."""
    if value == 0:
        return "0"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
