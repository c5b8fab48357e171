"""A lesson: an experiment, and what tutorials claim of each of its figures.

Rules, and why:
- A claim is written twice: in the words of the tutorials, and as what must be measured if it is true.
- Predictions are not here but in `predictions.toml`, because they differ by build and have a hash.
- Rates are compared as ratios within a round, so that a slow phase of the machine affects both sides. Costs are turned
  into rates, so that "faster" always means better.
- Standard library only, like everything that an experiment imports: it runs on interpreters without any package.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Literal

Samples = dict[str, list[float]]
Kind = Literal["ratio", "fact", "level"]


@dataclass(frozen=True, slots=True)
class ExpectedRange:
    """Where the median of a figure is expected, exclusive, and the word that its ratio should get ("" for any)."""

    low: float = -inf
    high: float = inf
    word: str = ""

    def __str__(self) -> str:
        return ", ".join(filter(None, (self.word, self._range())))

    def _range(self) -> str:
        if self.low > -inf and self.high < inf:
            return f"{number(self.low)} to {number(self.high)}"
        if self.low > -inf:
            return f"> {number(self.low)}"
        return f"< {number(self.high)}" if self.high < inf else ""


Expected = ExpectedRange | bool
"""Of a number: where it should be. Of a fact: whether it should hold."""


@dataclass(frozen=True, slots=True)
class Measure:
    """Something that a lesson samples once a round: a ratio of rates, a fact (1 or 0), or a level of anything else.
    `needs`: free cores without which it decides nothing."""

    kind: Kind
    meaning: str
    claim: Expected | None = None
    needs: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """One experiment. `cores`: cores without which it does not run. `control` names a measure of the cores that were
    free, taken in the same rounds as the others."""

    title: str
    claim: str
    why: str
    measures: Mapping[str, Measure]
    run: Callable[[], Samples]
    cores: int = 1
    control: str = ""


def above(low: float) -> ExpectedRange:
    """The median is above `low`."""
    return ExpectedRange(low=low)


def below(high: float) -> ExpectedRange:
    """The median is below `high`."""
    return ExpectedRange(high=high)


def between(low: float, high: float) -> ExpectedRange:
    """The median is between the two."""
    return ExpectedRange(low, high)


def ratio(meaning: str, claim: ExpectedRange | None = None, needs: float = 0.0) -> Measure:
    """A ratio of two rates of the same round, which gets a word: faster, slower, equivalent, inconclusive."""
    return Measure("ratio", meaning, claim, needs)


def fact(meaning: str, claim: bool | None = None) -> Measure:
    """A sentence that is true (1) or not (0) in a round."""
    return Measure("fact", meaning, claim)


def level(meaning: str, claim: ExpectedRange | None = None, needs: float = 0.0) -> Measure:
    """A number of its own: cores, connections, milliseconds."""
    return Measure("level", meaning, claim, needs)


def number(value: float) -> str:
    """A number with three significant digits: 0.0123, 1.25, 40, 1,250."""
    if value == 0:
        return "0"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
