"""Figures of one condition, drawn at a given width: an estimate in each row. Pure: numbers in, SVG out.

Every trial (or block) is a dot, the estimate and its 95 % interval lie on top. Ceilings are dashed and named.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from crawler.compare.html_report.numbers import full
from crawler.compare.intervals import Estimate
from crawler.report.numbers import Show, number
from crawler.report.svg import NARROW, WIDE, Axis, bottom_axis, box, cut, dots, linear, mark, rule, svg, words


@dataclass(frozen=True, slots=True)
class Lane:
    """One row: the engine's index, the name of the row, its values, its estimate, its own ceiling (inf: none), what is
    said of it."""

    index: int
    name: str
    values: Sequence[float]
    level: Estimate
    roof: float = math.inf
    said: str = ""


def lanes(width: int, rows: Sequence[Lane], unit: str, show: Show, ceilings: Mapping[str, float], label: str) -> str:
    """Dots in rows on one axis from 0: a rate or a cost of each engine."""
    left, right, step = (6, width - 16, 58) if width < WIDE else (184, width - 230, 46)
    seen = [value for row in rows for value in row.values] + [row.level.value for row in rows]
    reach = seen + [min(row.level.high, 1.25 * max(seen)) for row in rows if row.level.known]
    visible = {name: rate for name, rate in ceilings.items() if rate <= 2.2 * max(reach)}
    top = 34 + 17 * len(visible)
    bottom = top + step * len(rows) + 6
    axis = linear([*reach, *visible.values()], left, right)
    parts = [bottom_axis(axis, top, bottom, 5 if width < WIDE else 7, show), words(4, 14, unit, "axis")]
    for place, (name, rate) in enumerate(sorted(visible.items(), key=lambda ceiling: ceiling[1])):
        x, y = axis.at(rate), 34 + 17 * place
        side, anchor = (-6, "end") if x > left + 160 else (6, "start")
        parts.append(rule(x, y + 4, x, bottom, "ceiling"))
        parts.append(words(x + side, y + 2, f"{name} {show(rate)}", "named", anchor))
    parts += [_lane(axis, row, top + step * place, width, show) for place, row in enumerate(rows)]
    return svg(width, bottom + 28, "".join(parts), label)


def forest(width: int, rows: Sequence[Lane], rope: float, label: str) -> str:
    """Ratios of pairs on a log axis around 1, the ROPE as a band."""
    left, right, step = (14, width - 14, 58) if width < WIDE else (300, width - 260, 46)
    ends = [end for row in rows for end in (row.level.low, row.level.high, *row.values) if 0 < end < math.inf]
    reach = min(20.0, max([1.25, (1 + rope) ** 2, *(max(end, 1 / end) for end in ends)])) * 1.03
    axis = Axis(1 / reach, reach, left, right, log=True)
    top, bottom = 22, 28 + step * len(rows)
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
    parts += [_lane(axis, row, top + step * place, width, number) for place, row in enumerate(rows)]
    return svg(width, bottom + 46, "".join(parts), label)


def _lane(axis: Axis, row: Lane, top: float, width: int, show: Show) -> str:
    """A row with its name and its estimate in words: beside it, or above it where there is no room."""
    narrow = width < WIDE
    y = top + (38 if narrow else 23)
    said = f"{full(row.level, show)} {row.said}".rstrip()
    name_y, said_x, anchor = (y - 18, axis.end, "end") if narrow else (y + 5, axis.end + 18, "start")
    parts = [
        mark(row.index, 7, name_y - 5, 5.5, "m"),
        words(20, name_y, cut(row.name, int(axis.start / 8.3) if not narrow else 24), "name"),
        words(said_x, name_y, said, "tick" if narrow else "value", anchor),
        rule(axis.start, y, axis.end, y, "lane"),
    ]
    if row.roof <= axis.high:
        x = axis.at(row.roof)
        parts.append(rule(x, y - 10, x, y + 10, "roof"))
        if axis.end > NARROW:
            parts.append(words(x, y - 13, "CPU roof", "tiny", "end" if x > axis.end - 30 else "middle"))
    places = [(axis.at(value), y + 11 + (place % 3 - 1) * 2.5) for place, value in enumerate(row.values)]
    parts.append(dots(row.index, places, 2.6))
    if row.level.known:
        parts.append(rule(axis.at(row.level.low), y, axis.at(row.level.high), y, "ci"))
    parts.append(mark(row.index, axis.at(row.level.value), y, 6, "m", f"{row.name}: {said}"))
    return "".join(parts)


def _ratio_ticks(axis: Axis) -> list[float]:
    """1 and round ratios on both sides, as many as fit."""
    kept, last = [1.0], axis.at(1)
    for step in (1.1, 1.25, 1.5, 2, 3, 5, 10, 20):
        if step <= axis.high and axis.at(step) - last >= 36:
            kept += [step, round(1 / step, 2)]
            last = axis.at(step)
    return kept
