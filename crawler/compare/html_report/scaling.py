"""The findings of sweeps, in sentences that the intervals allow. Pure.

A level at which the A/A arm differs is used only in the sentence that reports this.
"""

from __future__ import annotations

from crawler.compare import analysis
from crawler.compare.analysis import Word
from crawler.compare.fields import Field, Row
from crawler.compare.html_report.numbers import LEVELS, full
from crawler.compare.html_report.phrases import NO_CLAIM, listed, stretch
from crawler.compare.models import Crossing
from crawler.compare.results import Sweep
from crawler.compare.verdicts import growth
from crawler.report.numbers import Show, short


def sweep(one: Sweep, base: str) -> list[str]:
    """The findings of a sweep, the most important first: the first two make the title."""
    _, show, after = LEVELS[one.factor]
    if not any(field.claims for field in one.fields):
        return [NO_CLAIM]
    if one.name == "concurrency":
        return _knees(one)
    parts = [
        f"{arm} and {base} change places at {crossing_at(found, show)}{after}"
        for arm, found in sorted(one.crossings.items())
    ]
    parts += [
        f"at {show(level)}{after} {row.arm} reaches {full(row.ratio)} times the pages/s of {base}"
        for level, row in _largest(one)
        if row.ratio
    ]
    ties = [level for level in one.levels if one.ties and all(level in levels for levels in one.ties.values())]
    open_words = {"equivalent", "inconclusive", analysis.TOO_FEW, None}
    blurred = [
        x for x, field in one.points if field.claims and x not in ties and {r.word for r in field.engines} <= open_words
    ]
    mute = [level for level, field in one.points if not field.claims]
    if ties:
        parts.append(f"every engine ties with {base} at {stretch(ties, one.levels, show)}{after}")
    if blurred:
        parts.append(f"no difference from {base} is shown at {stretch(blurred, one.levels, show)}{after}")
    if mute:
        parts.append(f"no claim at {stretch(mute, one.levels, show)}{after}, where the A/A arm differs")
    return parts or [f"no difference from {base} is shown at any level"]


def crossing_at(found: Crossing, show: Show) -> str:
    """The level of a crossing with its interval, to two digits, which is the precision of reading an axis."""
    low, at, high = (show(float(f"{place:.2g}")) for place in (found.low, found.at, found.high))
    return f"{at} [{low}, {high}]"


def _largest(one: Sweep) -> list[tuple[float, Row]]:
    """The level and row where an engine is furthest ahead of the base; if none is ahead, furthest behind."""
    found = [
        (row.ratio.value, level, row)
        for level, field in one.points
        for row in field.engines
        if row.ratio and row.word in ("faster", "slower")
    ]
    ahead = [one for one in found if one[2].word == "faster"]
    chosen = max(ahead, key=lambda one: one[0]) if ahead else min(found, key=lambda one: one[0], default=None)
    return [chosen[1:]] if chosen else []


def _knees(one: Sweep) -> list[str]:
    """The concurrency up to which each engine gains (the first level within 5 % of its best, where that is shown to be
    faster than the first one), and the engines that slow down beyond."""
    knees: dict[float, list[str]] = {}
    falls, still = [], []
    for arm in dict.fromkeys(row.arm for field in one.fields for row in field.engines):
        cells = {level: (row, field) for level, field in one.points if field.claims and (row := field.row(arm))}
        rates = {level: row.levels[field.rate].value for level, (row, field) in cells.items()}
        if not rates:
            continue
        best = max(rates, key=lambda level: rates[level])
        knee = min(x for x, rate in rates.items() if rate >= 0.95 * rates[best])
        if _turns(cells[min(cells)], cells[knee]) == "faster":
            knees.setdefault(knee, []).append(arm)
        else:
            still.append(arm)
        if _turns(cells[best], cells[max(cells)]) == "slower":
            falls.append(arm)
    parts = [f"{short(level)} ({', '.join(arms)})" for level, arms in sorted(knees.items())]
    said = [f"more in flight helps up to {listed(parts)}"] if parts else []
    if falls:
        every = len(falls) == sum(map(len, knees.values()), len(still))
        said.append(f"beyond that {'all engines' if every else listed(falls)} slow{'s' * (len(falls) == 1)} down")
    if still:
        said.append(f"no gain from more in flight is shown for {listed(still) if knees else 'any engine'}")
    return said or ["no engine has a valid trial here"]


def _turns(before: tuple[Row, Field], after: tuple[Row, Field]) -> Word:
    """The word for an engine's change from one level to another, paired by block."""
    (row, field), (later, beyond) = before, after
    ratio = analysis.ratio(later.values[beyond.rate], row.values[field.rate])
    return analysis.word(ratio, max(field.margin, beyond.margin)) if ratio else "inconclusive"


def scaling_cost(one: Sweep, base: str) -> list[str]:
    """The cost of more fetches in flight, as a multiple of the base's: CPU first, then switches."""
    claiming = [(level, field) for level, field in one.points if field.claims]
    if len(claiming) < 2:
        return [NO_CLAIM]
    (low, first), (high, last) = claiming[0], claiming[-1]
    said = []
    for metric, what in (("cpu_per_1000", "CPU per page"), ("switches_per_page", "switches per page")):
        found = growth(first, last, base, metric)
        grown = [f"{full(ratio)} times for {arm}" for arm, (ratio, word) in found.items() if word == "faster"]
        if grown:
            said.append(f"{what} over that of {base} grows {listed(grown)}")
        elif found:
            said.append(f"{what} is not shown to grow more for any engine than for {base}")
    if said:
        said[0] = f"from {short(low)} to {short(high)} in flight, {said[0]}"
    return said or ["no trial reports what more in flight costs"]
