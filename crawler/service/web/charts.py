"""Figures of a run while it runs: static SVG, drawn with the parts of the reports' figures. Pure.

Rules, and why:
- The server draws, the script only asks for a new drawing. So a page without scripts has the same figures, and a figure
  has one author.
- The axis of time always covers the same span, and values keep the left end free until there are enough, so that a
  figure fills up instead of squeezing.
- A figure says in words what it shows last (`aria-label`); its numbers stand in the tiles above it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

from crawler.report.numbers import Show, seconds, short
from crawler.report.svg import Axis, box, escape, left_axis, linear, path, rule, svg, words
from crawler.service.records import RunProgress
from crawler.system.text import format_bytes

WIDTH, HEIGHT = 420, 150
LEFT, RIGHT, TOP, BOTTOM = 58, 6, 8, 22
SPARK_WIDTH, SPARK_HEIGHT = 120, 24
SPARK_POINTS = 60
WIDER = (60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 21_600.0, 86_400.0)


class Curve(NamedTuple):
    """A figure: its heading, what it draws from two neighbouring snapshots, and how a value is written."""

    name: str
    value: Callable[[RunProgress, RunProgress], float]
    show: Show


def _per_second(key: str) -> Callable[[RunProgress, RunProgress], float]:
    def value(before: RunProgress, now: RunProgress) -> float:
        grown = float(getattr(now, key) - getattr(before, key))
        return max(0.0, grown) / max(now.at - before.at, 1e-3)

    return value


def _fetch_seconds(before: RunProgress, now: RunProgress) -> float:
    """The mean duration of the fetches that ended between two snapshots, 0 where none did."""
    fetched = now.urls - before.urls
    return max(0.0, now.fetch_seconds - before.fetch_seconds) / fetched if fetched > 0 else 0.0


CURVES = (
    Curve("URLs per second", lambda _, now: now.rate, short),
    Curve("Mean time of a fetch", _fetch_seconds, seconds),
    Curve("Bytes per second", _per_second("bytes"), format_bytes),
    Curve("Queue", lambda _, now: float(now.queue), short),
)


def curves(history: Sequence[RunProgress]) -> list[tuple[str, str]]:
    """The name and the drawing of each figure; nothing where there are fewer than two snapshots."""
    if len(history) < 2:
        return []
    return [(curve.name, _drawn(curve, history)) for curve in CURVES]


def _drawn(curve: Curve, history: Sequence[RunProgress]) -> str:
    pairs = list(pairwise(history))
    values = [curve.value(before, now) for before, now in pairs]
    end = history[-1].at
    span = next((wide for wide in WIDER if end - history[0].at <= wide), end - history[0].at)
    across = Axis(end - span, end, LEFT, WIDTH - RIGHT)
    up = linear(values, HEIGHT - BOTTOM, TOP)
    points = [(across.at(now.at), up.at(value)) for (_, now), value in zip(pairs, values, strict=True)]
    floor = HEIGHT - BOTTOM
    area = [(points[0][0], floor), *points, (points[-1][0], floor)]
    parts = [
        left_axis(up, LEFT, WIDTH - RIGHT, 3, curve.show),
        rule(LEFT, floor, WIDTH - RIGHT, floor, "grid"),
        words(LEFT, HEIGHT - 6, f"{_span(span)} ago", "tick"),
        words(WIDTH - RIGHT, HEIGHT - 6, "now", "tick", "end"),
        path(area, "area"),
        path(points, "curve"),
    ]
    label = f"{curve.name}: now {curve.show(values[-1])}, at most {curve.show(max(values))} in the {_span(span)} shown"
    return svg(WIDTH, HEIGHT, "".join(parts), label)


def _span(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


def spark(values: Sequence[float]) -> str:
    """A small figure without axes, for a row of a table. "" for fewer than two values."""
    last = list(values)[-SPARK_POINTS:]
    if len(last) < 2:
        return ""
    across = Axis(0, SPARK_POINTS - 1, 1, SPARK_WIDTH - 1)
    up = linear(last, SPARK_HEIGHT - 2, 2)
    first = SPARK_POINTS - len(last)
    points = [(across.at(first + place), up.at(value)) for place, value in enumerate(last)]
    return (
        f'<svg class="spark" viewBox="0 0 {SPARK_WIDTH} {SPARK_HEIGHT}" width="{SPARK_WIDTH}" height="{SPARK_HEIGHT}"'
        f' aria-hidden="true">{path(points, "curve")}</svg>'
    )


class Column(NamedTuple):
    """A column of a figure of runs: its height, its class, and what it says when pointed at."""

    value: float
    kind: str
    title: str


def columns(runs: Sequence[Column], label: str, show: Show = short) -> str:
    """The figure of successive runs, the oldest at the left. "" where there is none."""
    if not runs:
        return ""
    up = linear([one.value for one in runs], HEIGHT - BOTTOM, TOP)
    wide = (WIDTH - RIGHT - LEFT) / max(len(runs), 12)
    drawn = []
    for place, one in enumerate(runs):
        y = up.at(one.value)
        bar = box(round(LEFT + place * wide + 1, 1), y, max(1.0, wide - 2), HEIGHT - BOTTOM - y, one.kind)
        drawn.append(f"<g><title>{escape(one.title)}</title>{bar}</g>")
    base = rule(LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM, "grid")
    return svg(WIDTH, HEIGHT, left_axis(up, LEFT, WIDTH - RIGHT, 3, show) + base + "".join(drawn), label)
