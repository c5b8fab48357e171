"""Figures of one condition, drawn at a given width: dots in rows, and the forest of pairs. Pure: numbers in, SVG out.

Every trial is a dot, the estimate and its 95 % interval lie on top. Ceilings are dashed and named.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from crawler.compare.html_report.numbers import full
from crawler.compare.intervals import Estimate
from crawler.report.numbers import Show
from crawler.report.svg import (
    NARROW,
    WIDE,
    Axis,
    bottom_axis,
    box,
    cut,
    dots,
    linear,
    mark,
    rule,
    svg,
    words,
)


@dataclass(frozen=True, slots=True)
class Lane:
    """One row of dots: the engine's index, its name, its trials, its estimate, its own ceiling (inf: none)."""

    index: int
    name: str
    values: Sequence[float]
    level: Estimate
    roof: float = math.inf


def lanes(width: int, rows: Sequence[Lane], unit: str, show: Show, ceilings: Mapping[str, float], label: str) -> str:
    """Dots in rows on one axis from 0: a rate or a cost of each engine."""
    narrow = width < WIDE
    left, right, step = (6, width - 16, 58) if narrow else (184, width - 230, 46)
    seen = [value for row in rows for value in row.values] + [row.level.value for row in rows]
    reach = seen + [min(row.level.high, 1.25 * max(seen)) for row in rows if row.level.known]
    visible = {name: rate for name, rate in ceilings.items() if rate <= 2.2 * max(reach)}
    head = 20
    top = head + 14 + 17 * len(visible)
    bottom = top + step * len(rows) + 6
    axis = linear([*reach, *visible.values()], left, right)
    parts = [bottom_axis(axis, top, bottom, 5 if narrow else 7, show), words(4, 14, unit, "axis")]
    for place, (name, rate) in enumerate(sorted(visible.items(), key=lambda ceiling: ceiling[1])):
        x, y = axis.at(rate), head + 14 + 17 * place
        end = x > left + 160
        parts.append(rule(x, y + 4, x, bottom, "ceiling"))
        parts.append(words(x - 6 if end else x + 6, y + 2, f"{name} {show(rate)}", "named", "end" if end else "start"))
    for place, row in enumerate(rows):
        y = top + step * place + (38 if narrow else step // 2)
        parts.append(_lane(axis, row, y, show))
        if narrow:
            parts.append(mark(row.index, left + 6, y - 22, 5, "m"))
            parts.append(words(left + 18, y - 18, cut(row.name, 18), "name"))
            parts.append(words(right, y - 18, full(row.level, show), "tick", "end"))
        else:
            parts.append(mark(row.index, 7, y, 5.5, "m") + words(22, y + 5, cut(row.name, 20), "name"))
            parts.append(words(right + 20, y + 5, full(row.level, show), "value"))
    return svg(width, bottom + 28, "".join(parts), label)


def _lane(axis: Axis, row: Lane, y: float, show: Show) -> str:
    parts = [rule(axis.start, y, axis.end, y, "lane")]
    if row.roof <= axis.high:
        x = axis.at(row.roof)
        parts.append(rule(x, y - 10, x, y + 10, "roof"))
        if axis.end > NARROW:
            parts.append(words(x, y - 13, "CPU roof", "tiny", "end" if x > axis.end - 30 else "middle"))
    places = [(axis.at(value), y + 11 + (place % 3 - 1) * 2.5) for place, value in enumerate(row.values)]
    parts.append(dots(row.index, places, 2.6))
    parts.append(_whisker(axis, row.level, y))
    parts.append(mark(row.index, axis.at(row.level.value), y, 6, "m", f"{row.name}: {full(row.level, show)}"))
    return "".join(parts)


def _whisker(axis: Axis, level: Estimate, y: float) -> str:
    return rule(axis.at(level.low), y, axis.at(level.high), y, "ci") if level.known else ""


@dataclass(frozen=True, slots=True)
class Duel:
    """One row of the forest: both arms (index, name), a/b, its value in every block, its word."""

    a: tuple[int, str]
    b: tuple[int, str]
    ratio: Estimate
    values: Sequence[float]
    said: str


def forest(width: int, rows: Sequence[Duel], rope: float, label: str) -> str:
    """Ratios of pairs on a log axis around 1, the ROPE as a band."""
    narrow = width == NARROW
    left, right, step = (14, width - 14, 76) if narrow else (300, width - 260, 40)
    ends = [end for row in rows for end in (row.ratio.low, row.ratio.high, *row.values) if 0 < end < math.inf]
    reach = min(20.0, max([1.25, (1 + rope) ** 2, *(max(end, 1 / end) for end in ends)])) * 1.03
    axis = Axis(1 / reach, reach, left, right, log=True)
    top, bottom = 22, 26 + step * len(rows)
    low, high = axis.at(1 / (1 + rope)), axis.at(1 + rope)
    parts = [
        box(low, top, high - low, bottom - top, "band"),
        words(axis.at(1), 14, "too small to matter", "tiny", "middle"),
    ]
    for tick in _ratio_ticks(axis):
        x = axis.at(tick)
        parts.append(rule(x, top, x, bottom, "one" if tick == 1 else "grid"))
        parts.append(words(x, bottom + 17, f"{tick:g}", "tick", "middle"))
    parts.append(words((left + right) / 2, bottom + 36, "ratio of pages/s (log scale)", "axis", "middle"))
    for place, row in enumerate(rows):
        y = top + step * place + (54 if narrow else 20)
        said = f"{full(row.ratio)} {row.said}"
        if narrow:
            parts.append(_versus(0, y - 34, row, 16) + words(5, y - 14, said, "tick"))
        else:
            parts.append(_versus(0, y, row, 16) + words(right + 16, y + 5, said, "value"))
        parts.append(rule(left, y, right, y, "lane"))
        parts.append(dots(row.a[0], [(axis.at(value), y + 10) for value in row.values], 2.4))
        parts.append(_whisker(axis, row.ratio, y))
        parts.append(mark(row.a[0], axis.at(row.ratio.value), y, 5.5, "m", f"{row.a[1]} / {row.b[1]}: {said}"))
    return svg(width, bottom + 46, "".join(parts), label)


def _versus(x: float, y: float, row: Duel, most: int) -> str:
    """Both arms' names, the second at a fixed place so that rows line up."""
    second = x + 12 + most * 8.3
    parts = [mark(row.a[0], x + 7, y, 4.5, "m"), words(x + 18, y + 4.5, cut(row.a[1], most), "name")]
    parts += [words(second + 4, y + 4.5, "/", "tick"), mark(row.b[0], second + 19, y, 4.5, "m")]
    parts.append(words(second + 30, y + 4.5, cut(row.b[1], most), "name"))
    return "".join(parts)


def _ratio_ticks(axis: Axis) -> list[float]:
    """1 and round ratios on both sides, as many as fit."""
    kept, last = [1.0], axis.at(1)
    for step in (1.1, 1.25, 1.5, 2, 3, 5, 10, 20):
        if step <= axis.high and axis.at(step) - last >= 36:
            kept += [step, round(1 / step, 2)]
            last = axis.at(step)
    return kept
