"""Figures along a factor, one line per engine. Pure: numbers in, SVG out.

Dots are trials, spread slightly to both sides of their level, because noise is often smaller than a marker. The line
goes through the estimates with their 95 % intervals; ceilings are dashed and named. Where there is room the engines are
named at the end of their lines; a narrow figure relies on the legend above it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from crawler.compare.html_report.numbers import full
from crawler.compare.intervals import Estimate
from crawler.report.numbers import Show, short, trimmed
from crawler.report.svg import (
    NARROW,
    WIDE,
    Axis,
    apart,
    box,
    colour,
    cut,
    dots,
    left_axis,
    logarithmic,
    mark,
    path,
    rule,
    svg,
    words,
)


@dataclass(frozen=True, slots=True)
class Line:
    """One engine along a factor: level -> trials, level -> estimate."""

    index: int
    name: str
    values: Mapping[float, Sequence[float]]
    levels: Mapping[float, Estimate]


@dataclass(frozen=True, slots=True)
class Scene:
    """The frame of the lines: name and format of both axes, dashed lines by name (level -> value), crossings on the x
    axis (low, at, high), and for ratios the ROPE (level -> half-width around 1)."""

    x: str
    y: str
    show_x: Show = short
    show_y: Show = short
    ceilings: Mapping[str, Mapping[float, float]] = field(default_factory=dict)
    crossings: Sequence[tuple[float, float, float]] = ()
    place: Show = "change places at {:g}".format
    ropes: Mapping[float, float] = field(default_factory=dict)


def curves(width: int, lines: Sequence[Line], scene: Scene, label: str, height: int = 420) -> str:
    """Engines along a factor, both axes logarithmic."""
    direct = width == WIDE
    left, right = (62, width - 176) if direct else (60, width - 12)
    height = min(height, 350) if width == NARROW else height
    top, bottom = 30, height - 48
    levels = sorted({x for line in lines for x in line.levels})
    values = [y for line in lines for trials in line.values.values() for y in trials]
    values += [level.value for line in lines for level in line.levels.values()]
    values += [end for rope in scene.ropes.values() for end in (1 + rope, 1 / (1 + rope))]
    across = logarithmic(levels, left + 16, right - 16, 1.0)
    up = logarithmic(values, bottom, top, 1.3)
    parts = [words(4, 14, scene.y, "axis"), left_axis(up, left, right, 6, scene.show_y)]
    parts.append(_levels(across, levels, top, bottom, scene.show_x, 44))
    parts.append(words((left + right) / 2, height - 8, scene.x, "axis", "middle"))
    parts.append(_ropes(scene.ropes, across, up))
    for low, at, high in scene.crossings:
        parts.append(box(across.at(low), top, across.at(high) - across.at(low), bottom - top, "band"))
        parts.append(rule(across.at(at), top, across.at(at), bottom, "ceiling"))
        side, anchor = (-6, "end") if at * at > levels[0] * levels[-1] else (6, "start")
        y = bottom - 8 if scene.ceilings else top + 14
        parts.append(words(across.at(at) + side, y, scene.place(at), "named", anchor))
    for place, (name, points) in enumerate(scene.ceilings.items()):
        parts.append(_ceiling(name, sorted(points.items()), across, up, place))
    lines = sorted(lines, key=lambda line: line.index)
    parts += [_dots(line, across, up, _fan(across, levels)) for line in lines]
    parts += [_through(line, across, up, scene.show_x, scene.show_y) for line in lines]
    if direct:
        parts.append(_names(lines, across, up, right + 6))
    return svg(width, height, "".join(parts), label)


def _levels(axis: Axis, levels: Sequence[float], top: float, bottom: float, show: Show, gap: float) -> str:
    """Grid lines at the measured levels, labelled as far as there is room."""
    parts, last = [], -math.inf
    for level in levels:
        named = trimmed(show(level))
        if named:
            parts.append(rule(axis.at(level), top, axis.at(level), bottom, "grid"))
        if named and axis.at(level) - last >= gap:
            parts.append(words(axis.at(level), bottom + 18, named, "tick", "middle"))
            last = axis.at(level)
    return "".join(parts)


def _ceiling(name: str, points: Sequence[tuple[float, float]], across: Axis, up: Axis, place: int) -> str:
    """The part of a dashed line inside the figure, with its name at the upper end, apart from the other names."""
    drawn = [(across.at(x), up.at(y)) for x, y in _clipped(points, up.high)]
    if len(drawn) < 2:
        return ""
    x, y = drawn[-1]
    if abs(y - drawn[0][1]) < 24:
        return path(drawn, "ceiling") + words(x - 130 * place, y - 8, name, "named", "end")
    falling, side = y > drawn[0][1], 10 + 28 * place
    x = drawn[0][0] + side if falling else x - side
    return path(drawn, "ceiling") + words(x, up.end + 14 + 18 * place, name, "named", "start" if falling else "end")


def _clipped(points: Sequence[tuple[float, float]], top: float) -> list[tuple[float, float]]:
    """The part of a line (straight in log-log) below `top`, clipped there."""
    kept: list[tuple[float, float]] = []
    finite = [(x, y) for x, y in points if math.isfinite(y) and x > 0]
    for (x, y), (later, then) in itertools.pairwise(finite):
        if y <= top and not kept:
            kept.append((x, y))
        if (y - top) * (then - top) < 0:
            share = math.log(top / y) / math.log(then / y)
            kept.append((x * (later / x) ** share, top))
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


def _fan(across: Axis, levels: Sequence[float]) -> float:
    """How far the trials of a level may spread to one side, in pixels."""
    gaps = [across.at(later) - across.at(level) for level, later in itertools.pairwise(levels)]
    return min([15.0, *(0.3 * gap for gap in gaps)])


def _dots(line: Line, across: Axis, up: Axis, fan: float) -> str:
    places = [
        (across.at(x) + fan * (2 * (place + 0.5) / len(trials) - 1), up.at(y))
        for x, trials in line.values.items()
        for place, y in enumerate(trials)
    ]
    return dots(line.index, places, 2.2)


def _through(line: Line, across: Axis, up: Axis, show_x: Show, show_y: Show) -> str:
    """The line of estimates, the intervals, the markers."""
    points = sorted(line.levels.items())
    parts = [path([(across.at(x), up.at(level.value)) for x, level in points], f"through {colour(line.index)}")]
    for x, level in points:
        if level.known:
            ends = (up.at(level.low), up.at(level.high))
            parts.append(rule(across.at(x), ends[0], across.at(x), ends[1], f"span {colour(line.index)}"))
        title = f"{line.name}, {show_x(x)}: {full(level, show_y)}".lstrip(", ")
        parts.append(mark(line.index, across.at(x), up.at(level.value), 4.2 if line.index >= 0 else 6.2, "m", title))
    return "".join(parts)


def _names(lines: Sequence[Line], across: Axis, up: Axis, x: float) -> str:
    """The engines' names at the ends of their lines, moved apart, each tied to its end."""
    ends = [max(line.levels.items()) for line in lines]
    wanted = [up.at(level.value) for _, level in ends]
    placed = apart(wanted, 18, up.end + 6, up.start)
    parts = []
    for line, (level, _), y, label_y in zip(lines, ends, wanted, placed, strict=True):
        parts.append(path([(across.at(level) + 6, y), (x + 2, label_y), (x + 8, label_y)], "leader"))
        parts.append(
            mark(line.index, x + 16, label_y, 4.5, "m") + words(x + 26, label_y + 4.5, cut(line.name, 18), "name")
        )
    return "".join(parts)
