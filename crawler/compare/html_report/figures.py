"""Figures of one condition: an estimate in each row. Pure: numbers in, SVG out.

A row has its name and its estimate in words above its marks, so that no number ever lies over a mark.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from crawler.compare.html_report.numbers import full
from crawler.compare.intervals import Estimate
from crawler.report.numbers import Show, number
from crawler.report.svg import CHART, Axis, bottom_axis, box, cut, dots, linear, mark, path, rule, svg, words

STEP = 56
"""Pixels from one row to the next."""
FARTHEST = 20.0
"""The largest ratio on an axis."""


@dataclass(frozen=True, slots=True)
class Lane:
    """One row: the engine's index, the name of the row, its values, its estimate, its own ceiling (inf: none)."""

    index: int
    name: str
    values: Sequence[float]
    level: Estimate
    roof: float = math.inf


def lanes(rows: Sequence[Lane], unit: str, show: Show, ceilings: Mapping[str, float], label: str) -> str:
    """Dots in rows on one axis from 0: a rate or a cost of each engine. A ceiling far beyond them is left out."""
    seen = [value for row in rows for value in row.values] + [row.level.value for row in rows]
    reach = seen + [min(row.level.high, 1.25 * max(seen)) for row in rows if row.level.known]
    visible = {name: rate for name, rate in ceilings.items() if rate <= 2.2 * max(reach)}
    top = 30 + 17 * len(visible)
    bottom = top + STEP * len(rows) + 6
    axis = linear([*reach, *visible.values()], 6, CHART - 16)
    parts = [bottom_axis(axis, top, bottom, 5, show), words(4, 14, unit, "axis")]
    for place, (name, rate) in enumerate(sorted(visible.items(), key=lambda ceiling: ceiling[1])):
        x, y = axis.at(rate), 32 + 17 * place
        side, anchor = (-6, "end") if x > CHART / 2 else (6, "start")
        parts += [
            rule(x, y - 8, x, y + 6, "ceiling"),
            words(x + side, y + 2, f"{name} {show(rate)}", "named", anchor),
            *(rule(x, top + STEP * row + 24, x, top + STEP * row + 52, "ceiling") for row in range(len(rows))),
        ]
    parts += [_lane(axis, row, top + STEP * place, show) for place, row in enumerate(rows)]
    return svg(CHART, bottom + 28, "".join(parts), label)


def forest(rows: Sequence[Lane], rope: float, label: str) -> str:
    """Ratios of pairs on a log axis around 1, the ROPE as a band."""
    ends = [end for row in rows for end in (row.level.low, row.level.high, *row.values) if 0 < end < math.inf]
    reach = min(FARTHEST, max([1.25, (1 + rope) ** 2, *(max(end, 1 / end) for end in ends)])) * 1.03
    axis = Axis(1 / reach, reach, 14, CHART - 14, log=True)
    top, bottom = 22, 28 + STEP * len(rows)
    low, high = axis.at(1 / (1 + rope)), axis.at(1 + rope)
    parts = [box(low, top, high - low, bottom - top, "band")]
    for tick in _ratio_ticks(axis):
        x = axis.at(tick)
        parts.append(rule(x, top, x, bottom, "grid"))
        parts.append(words(x, bottom + 17, f"{tick:g}", "tick", "middle"))
    parts.append(words(4, 14, "ratio of pages/s (log scale)", "axis"))
    for place, row in enumerate(rows):
        y = top + STEP * place
        parts += [rule(axis.at(1), y + 24, axis.at(1), y + 52, "one"), _lane(axis, row, y, number)]
    return svg(CHART, bottom + 28, "".join(parts), label)


def _lane(axis: Axis, row: Lane, top: float, show: Show) -> str:
    y, said = top + 36, full(row.level, show)
    room = int((CHART - 40 - 6.6 * len(said)) / 7.6)
    parts = [
        mark(row.index, 9, y - 22, 5.5, "m"),
        words(22, y - 17, cut(row.name, max(8, room)), "name"),
        words(CHART - 4, y - 17, said, "tick", "end"),
        rule(axis.start, y, axis.end, y, "lane"),
    ]
    if row.roof <= axis.high:
        parts.append(rule(axis.at(row.roof), y - 9, axis.at(row.roof), y + 9, "roof"))
    places = [(axis.at(value), y + 10 + (place % 3 - 1) * 2.5) for place, value in enumerate(row.values)]
    parts += [dots(row.index, places, 2.6), _interval(axis, row.level, y)]
    parts.append(mark(row.index, axis.at(row.level.value), y, 6, "m", f"{row.name}: {said}"))
    return "".join(parts)


def _interval(axis: Axis, level: Estimate, y: float) -> str:
    """The 95 % interval, with an arrow where it goes on beyond the axis. A range is not drawn: its ends are trials."""
    if not level.known:
        return ""
    parts = [rule(axis.at(level.low), y, axis.at(level.high), y, "ci")]
    for beyond, x, side in ((level.high > axis.high, axis.end, 6), (level.low < axis.low, axis.start, -6)):
        if beyond:
            parts.append(path([(x + side, y - 5), (x + 2 * side, y), (x + side, y + 5)], "arrow"))
    return "".join(parts)


def _ratio_ticks(axis: Axis) -> list[float]:
    """1 and round ratios on both sides, as many as fit."""
    kept, last = [1.0], axis.at(1)
    for step in (1.1, 1.25, 1.5, 2, 3, 5, 10, 20):
        if step <= axis.high and axis.at(step) - last >= 36:
            kept += [step, round(1 / step, 2)]
            last = axis.at(step)
    return kept
