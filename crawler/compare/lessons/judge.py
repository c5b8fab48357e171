"""The outcome of a lesson: its words, whether the claim holds, whether the prediction does, and why not. Pure.

Rules, and why:
- A ratio gets the word that its interval allows, by the rule of the comparison: faster, slower, equivalent (within
  3 %), inconclusive, too few blocks. There is no A/A arm, so the region is always 3 %.
- The interval is that of the median by the sign test: it assumes no distribution, and one outlier in five leaves a
  question open instead of answering it wrongly.
- An expectation of a number is met or not where the whole interval is on one side of each bound, else it is
  inconclusive. An expectation of a fact is met where every round agrees with it.
- A figure that needs free cores decides nothing while other processes keep them busy, however clear it looks. A lesson
  that samples the free cores itself, in the same rounds (`control`), is judged by that.
- A claim or prediction holds if all its expectations do; it does not if one does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import comb, inf
from statistics import median
from typing import Literal

from crawler.compare import analysis
from crawler.compare.intervals import Estimate
from crawler.compare.lessons.lesson import Expected, ExpectedRange, Kind, Lesson, Measure, number

Answer = Literal["held", "did not hold", "inconclusive"]
ANSWERS: dict[bool | None, Answer] = {True: "held", False: "did not hold", None: "inconclusive"}
UNDECIDED = ("inconclusive", analysis.TOO_FEW)
ERROR_RATE = 0.05  # of each end of the interval


@dataclass(frozen=True, slots=True, kw_only=True)
class LessonFigure:
    """One figure: its median, its interval and its word ("" for a level); what was claimed and predicted, and whether
    it is so (None: undecided). `reason`: why the prediction did not hold or is undecided."""

    name: str
    kind: Kind
    meaning: str
    median: float
    low: float
    high: float
    samples: tuple[float, ...]
    word: str = ""
    claimed: str = ""
    claim_true: bool | None = None
    predicted: str = ""
    prediction_true: bool | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LessonOutcome:
    """The outcome of a lesson. `others`: cores that other processes kept busy meanwhile, -1 where unknown. Where it did
    not finish, `trouble` is one line and there are no figures."""

    name: str
    title: str
    claim: str
    why: str
    holds: Answer = "inconclusive"
    prediction: Answer = "inconclusive"
    figures: tuple[LessonFigure, ...] = ()
    seconds: float = 0.0
    others: float = -1.0
    trouble: str = ""

    @property
    def reasons(self) -> list[str]:
        """Why the prediction did not hold or is undecided, a line per figure; [] where it held."""
        if self.trouble:
            return [self.trouble]
        return [f"{one.meaning}: {one.reason}" for one in self.figures if one.reason]


def interval(samples: Iterable[float]) -> tuple[float, float]:
    """The confidence interval of the median; each end errs with at most ERROR_RATE. Infinite below 5 samples."""
    ordered = sorted(samples)
    count, cut, tail = len(ordered), -1, 0.0
    while (tail := tail + comb(count, cut + 1) / 2**count) <= ERROR_RATE:
        cut += 1
    return (ordered[cut], ordered[-1 - cut]) if cut >= 0 else (-inf, inf)


def word_of(measure: Measure, samples: Sequence[float], free_cores: float = inf) -> str:
    """The word of a figure; "" for a level."""
    if measure.kind == "fact":
        return ANSWERS[all(samples)]
    if measure.kind == "level":
        return ""
    if free_cores < measure.needs:
        return "inconclusive"
    return analysis.word(Estimate(median(samples), *interval(samples), len(samples)), analysis.ROPE)


def decide(expected: Expected, samples: Sequence[float], word: str = "") -> bool | None:
    """Whether the samples, whose word is `word`, are as expected; None where they do not decide it."""
    if isinstance(expected, bool):
        agree = {bool(one) is expected for one in samples}
        return agree.pop() if len(agree) == 1 else None
    named = None if word in UNDECIDED else word == expected.word
    return together([within(expected, samples), named if expected.word else True])


def within(bounds: ExpectedRange, samples: Iterable[float]) -> bool | None:
    """Whether the median is within the bounds; None where its interval crosses one."""
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
    predictions: Mapping[str, Expected],
    samples: Mapping[str, list[float]],
    *,
    seconds: float = 0.0,
    others: float = -1.0,
    free_cores: float = inf,
) -> LessonOutcome:
    """The outcome of a lesson with these samples. Its own `control` takes precedence over `free_cores`."""
    free = interval(samples[lesson.control])[0] if lesson.control else free_cores
    figures = tuple(
        _figure(key, measure, predictions.get(key), samples[key], free) for key, measure in lesson.measures.items()
    )
    return LessonOutcome(
        name=name,
        title=lesson.title,
        claim=lesson.claim,
        why=lesson.why,
        holds=ANSWERS[together(figure.claim_true for figure in figures if figure.claimed)],
        prediction=ANSWERS[together(figure.prediction_true for figure in figures if figure.predicted)],
        figures=figures,
        seconds=seconds,
        others=others,
    )


def failed(name: str, lesson: Lesson | None, trouble: str, seconds: float = 0.0) -> LessonOutcome:
    """The outcome of a lesson that did not finish."""
    title, claim, why = (lesson.title, lesson.claim, lesson.why) if lesson else (name, "", "")
    return LessonOutcome(name=name, title=title, claim=claim, why=why, seconds=seconds, trouble=trouble)


def in_words(expected: Expected | None) -> str:
    """An expectation as text; "" for none."""
    if expected is None:
        return ""
    return ANSWERS[expected] if isinstance(expected, bool) else str(expected)


def _figure(
    key: str, measure: Measure, predicted: Expected | None, samples: Sequence[float], free: float
) -> LessonFigure:
    word, (low, high) = word_of(measure, samples, free), interval(samples)
    answers = [
        None if expected is None or free < measure.needs else decide(expected, samples, word)
        for expected in (measure.claim, predicted)
    ]
    wrong = predicted is not None and answers[1] is not True
    return LessonFigure(
        name=key,
        kind=measure.kind,
        meaning=measure.meaning,
        median=median(samples),
        low=max(low, min(samples)),
        high=min(high, max(samples)),
        samples=tuple(samples),
        word=word,
        claimed=in_words(measure.claim),
        claim_true=answers[0],
        predicted=in_words(predicted),
        prediction_true=answers[1],
        reason=_reason(measure, predicted, samples, word, free) if wrong and predicted is not None else "",
    )


def _reason(measure: Measure, predicted: Expected, samples: Sequence[float], word: str, free: float) -> str:
    """Why a figure is not what was predicted, or does not tell."""
    if free < measure.needs:
        return f"it takes {number(measure.needs)} free cores, and other processes left {number(free)}"
    if measure.kind == "fact":
        found = f"true in {sum(map(bool, samples))} of {len(samples)} rounds"
    else:
        found = f"{number(median(samples))}, interval {' to '.join(map(number, interval(samples)))}"
    return f"predicted {in_words(predicted)}, found {', '.join(filter(None, (word, found)))}"
