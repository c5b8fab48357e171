"""A lesson, and how its claim and its prediction are judged.

Rules:
- A claim is judged by numbers, so it is written twice: in the words of the tutorials, and as statements about measures.
  Our prediction is written as statements too, before anything runs. The two often contradict each other.
- A statement is about the median of repeated samples, mostly ratios within one round, so that a slow phase of the
  machine affects both sides. It is true or false where the whole confidence interval of that median lies on one side of
  the bound, else "inconclusive".
- The interval inverts the sign test: it assumes no distribution, and one outlier in five leaves it undecided.
- A statement that needs free cores is undecided while other processes keep them busy, however clear the figures look. A
  lesson that samples the free cores itself, in the same rounds (`control`), is judged by that.
- Several statements hold if all are true; they do not hold if one is false.
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


class Statement(msgspec.Struct, frozen=True):
    """The median of `measure` lies above and below these bounds (exclusive). `needs`: free cores required to decide."""

    measure: str
    above: float | None = None
    below: float | None = None
    needs: float = 0.0

    def __str__(self) -> str:
        if self.above is not None and self.below is not None:
            return f"{number(self.above)} to {number(self.below)}"
        return f"> {number(self.above)}" if self.above is not None else f"< {number(self.below or 0)}"


class Lesson(msgspec.Struct, frozen=True, kw_only=True):
    """One experiment. `measures` names what `run` samples, as shown in the report; `cores`: free cores required.
    `control` names a measure of the cores that were free, taken in the same rounds as the others."""

    title: str
    claim: str
    claimed: tuple[Statement, ...]
    predicted: tuple[Statement, ...]
    why: str
    measures: Mapping[str, str]
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
    holds: Claim
    prediction: Prediction
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


def decide(statement: Statement, samples: Iterable[float], free_cores: float = inf) -> bool | None:
    """Whether a statement is true; None where the samples do not decide it."""
    if free_cores < statement.needs:
        return None
    low, high = interval(samples)
    above = -inf if statement.above is None else statement.above
    below = inf if statement.below is None else statement.below
    if above < low and high < below:
        return True
    return False if high <= above or low >= below else None


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

    def answers(statements: tuple[Statement, ...]) -> dict[str, tuple[str, bool | None]]:
        return {one.measure: (str(one), decide(one, samples[one.measure], free_cores)) for one in statements}

    claimed, predicted = answers(lesson.claimed), answers(lesson.predicted)
    figures = []
    for measure, meaning in lesson.measures.items():
        values = samples[measure]
        claim, claim_true = claimed.get(measure, ("", None))
        prediction, prediction_true = predicted.get(measure, ("", None))
        figures.append(
            LessonFigure(
                name=measure,
                meaning=meaning,
                median=median(values),
                low=min(values),
                high=max(values),
                samples=tuple(values),
                claimed=claim,
                claim_true=claim_true,
                predicted=prediction,
                prediction_true=prediction_true,
            )
        )
    holds: dict[bool | None, Claim] = {True: "holds", False: "does not hold here", None: "inconclusive"}
    met: dict[bool | None, Prediction] = {True: "met", False: "not met", None: "inconclusive"}
    return LessonOutcome(
        name=name,
        title=lesson.title,
        claim=lesson.claim,
        why=lesson.why,
        holds=holds[together(answer for _, answer in claimed.values())],
        prediction=met[together(answer for _, answer in predicted.values())],
        figures=tuple(figures),
        seconds=seconds,
        others=others,
    )


def failed(name: str, lesson: Lesson | None, trouble: str, seconds: float = 0.0) -> LessonOutcome:
    """The outcome of a lesson that did not finish."""
    return LessonOutcome(
        name=name,
        title=lesson.title if lesson else name,
        claim=lesson.claim if lesson else "",
        why=lesson.why if lesson else "",
        holds="inconclusive",
        prediction="inconclusive",
        seconds=seconds,
        trouble=trouble,
    )


def number(value: float) -> str:
    """A number with three significant digits: 0.0123, 1.25, 40, 1,250."""
    if value == 0:
        return "0"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
