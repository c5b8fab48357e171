"""Figures along a factor, one line per engine. Pure: numbers in, SVG out.

Dots are trials, spread slightly to both sides of their level, because noise is often smaller than a marker. No text
stands among the marks: the page has the engines in a legend, the ceilings are named above the figure.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from crawler.compare.html_report.numbers import full
from crawler.compare.intervals import Estimate
from crawler.report.numbers import Show, short, trimmed
from crawler.report.svg import CHART, Axis, box, colour, dots, left_axis, logarithmic, mark, path, rule, svg, words

HEIGHT = 330
LEFT, RIGHT, TOP, BOTTOM = 60, CHART - 12, 30, HEIGHT - 48


@dataclass(frozen=True, slots=True)
class Line:
    """One engine along a factor: level -> trials, level -> estimate."""

    index: int
    name: str
    values: Mapping[float, Sequence[float]]
    levels: Mapping[float, Estimate]


@dataclass(frozen=True, slots=True)
class Scene:
    """The frame of the lines: name and format of both axes, ceilings by name (level -> value), crossings on the x
    axis (low, at, high), and for ratios the ROPE (level -> half-width around 1)."""

    x: str
    y: str
    show_x: Show = short
    show_y: Show = short
    ceilings: Mapping[str, Mapping[float, float]] = field(default_factory=dict)
    crossings: Sequence[tuple[float, float, float]] = ()
    ropes: Mapping[float, float] = field(default_factory=dict)


def curves(lines: Sequence[Line], scene: Scene, label: str) -> str:
    """Engines along a factor, both axes logarithmic."""
    levels = sorted({x for line in lines for x in line.levels})
    values = [y for line in lines for trials in line.values.values() for y in trials]
    values += [level.value for line in lines for level in line.levels.values()]
    values += [end for rope in scene.ropes.values() for end in (1 + rope, 1 / (1 + rope))]
    across = logarithmic(levels, LEFT + 16, RIGHT - 16, 1.0)
    up = logarithmic(values, BOTTOM, TOP, 1.3)
    parts = [words(4, 14, scene.y, "axis"), left_axis(up, LEFT, RIGHT, 6, scene.show_y)]
    parts += [_levels(across, levels, scene.show_x), words(RIGHT, HEIGHT - 8, scene.x, "axis", "end")]
    parts.append(_ropes(scene.ropes, across, up))
    for low, at, high in scene.crossings:
        parts.append(box(across.at(low), TOP, across.at(high) - across.at(low), BOTTOM - TOP, "between"))
        parts.append(rule(across.at(at), TOP, across.at(at), BOTTOM, "cross"))
    parts.append(_ceilings(scene.ceilings, across, up))
    lines = sorted(lines, key=lambda line: line.index)
    gaps = [across.at(later) - across.at(level) for level, later in itertools.pairwise(levels)]
    fan = min([15.0, *(0.3 * gap for gap in gaps)])
    parts += [_dots(line, across, up, fan) for line in lines]
    parts += [_through(line, across, up, scene.show_x, scene.show_y) for line in lines]
    return svg(CHART, HEIGHT, "".join(parts), label)


def _levels(axis: Axis, levels: Sequence[float], show: Show) -> str:
    """Grid lines at the measured levels, labelled as far as there is room."""
    parts, last = [], -math.inf
    for level in levels:
        x, named = axis.at(level), trimmed(show(level))
        parts.append(rule(x, TOP, x, BOTTOM, "grid"))
        if x - last >= 44:
            parts.append(words(x, BOTTOM + 18, named, "tick", "middle"))
            last = x
    return "".join(parts)


def _ceilings(ceilings: Mapping[str, Mapping[float, float]], across: Axis, up: Axis) -> str:
    """The parts of the ceilings inside the figure, dashed each in its own way, and their names above it."""
    parts, x = [], float(RIGHT)
    for (name, points), kind in zip(ceilings.items(), ("ceiling", "ceiling short"), strict=False):
        drawn = [(across.at(at), up.at(rate)) for at, rate in _clipped(sorted(points.items()), up.high)]
        if len(drawn) > 1:
            start = x - 6.6 * len(name)
            parts += [path(drawn, kind), rule(start - 30, 10, start - 6, 10, kind), words(start, 14, name, "named")]
            x = start - 44
    return "".join(parts)


def _clipped(points: Sequence[tuple[float, float]], top: float) -> list[tuple[float, float]]:
    """The part of a line (straight in log-log) below `top`, clipped there."""
    kept: list[tuple[float, float]] = []
    finite = [(x, y) for x, y in points if math.isfinite(y)]
    for (x, y), (later, then) in itertools.pairwise(finite):
        if y <= top and not kept:
            kept.append((x, y))
        if (y - top) * (then - top) < 0:
            share = math.log(top / y) / math.log(then / y)
            kept.append((x * (later / x) ** share if x else later, top))
        if then <= top:
            kept.append((later, then))
    return kept


def _ropes(ropes: Mapping[float, float], across: Axis, up: Axis) -> str:
    """The ROPE around the line at 1: differences too small to matter."""
    if not ropes:
        return ""
    above = [(across.at(x), up.at(1 + rope)) for x, rope in sorted(ropes.items())]
    below = [(across.at(x), up.at(1 / (1 + rope))) for x, rope in sorted(ropes.items())]
    return path([*above, *reversed(below)], "band") + rule(above[0][0], up.at(1), above[-1][0], up.at(1), "one")


def _dots(line: Line, across: Axis, up: Axis, fan: float) -> str:
    places = [
        (across.at(x) + fan * (2 * (place + 0.5) / len(trials) - 1), up.at(y))
        for x, trials in line.values.items()
        for place, y in enumerate(trials)
    ]
    return dots(line.index, places, 2.2)


def _through(line: Line, across: Axis, up: Axis, show_x: Show, show_y: Show) -> str:
    """The line of estimates, the intervals with arrows where they leave the axis, the markers."""
    points = sorted(line.levels.items())
    parts = [path([(across.at(x), up.at(level.value)) for x, level in points], f"through {colour(line.index)}")]
    for level_x, level in points:
        x = across.at(level_x)
        if level.known:
            parts.append(rule(x, up.at(level.low), x, up.at(level.high), f"ci {colour(line.index)}"))
            for beyond, y, side in ((level.high > up.high, up.end, 7), (level.low < up.low, up.start, -7)):
                if beyond:
                    parts.append(path([(x - 5, y + side), (x, y), (x + 5, y + side)], "arrow"))
        title = f"{line.name}, {show_x(level_x)}: {full(level, show_y)}".lstrip(", ")
        parts.append(mark(line.index, x, up.at(level.value), 4.2 if line.index >= 0 else 6.2, "m", title))
    return "".join(parts)
