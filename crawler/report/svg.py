"""SVG primitives of every figure: axes, marks, text, written without a library. Pure.

Rules, and why:
- An engine has one colour (Okabe & Ito's palette for colour-blind readers) AND one marker everywhere, as print in grey
  keeps only the marker. The A/A arm is grey and hollow, because it shows the noise floor.
- A figure of a comparison is drawn once, CHART pixels wide, for a phone; a larger screen sets several side by side.
  A wide figure shrunk to a phone is unreadable. The one figure of a crawl, a timeline, is drawn wide and narrow.
- It is static SVG, not a chart library or a specification for one: the page needs no script, and equal numbers give an
  equal file.
- Colours are classes, so that the page decides on light, dark and print. All text of a figure is escaped here only.
"""

from __future__ import annotations

import html
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from crawler.report.numbers import Show, short, trimmed

WIDE, NARROW, CHART = 960, 360, 400
COLOURS = 8
SHAPES: tuple[tuple[tuple[float, float], ...], ...] = (
    (),  # a circle
    ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
    ((0, -1.2), (1.15, 0.85), (-1.15, 0.85)),
    ((0, -1.3), (1.2, 0), (0, 1.3), (-1.2, 0)),
    ((0, 1.2), (1.15, -0.85), (-1.15, -0.85)),
    ((-1.3, -0.6), (0, -0.6), (0, -1.3), (1.3, 0), (0, 1.3), (0, 0.6), (-1.3, 0.6)),
    ((-0.65, -1.05), (0.65, -1.05), (1.3, 0), (0.65, 1.05), (-0.65, 1.05), (-1.3, 0)),
    ((-0.5, -1.3), (0.5, -1.3), (0.5, 1.3), (-0.5, 1.3)),
)
"""The markers, as corners relative to the centre."""


@dataclass(frozen=True, slots=True)
class Axis:
    """Maps data to pixels. A log axis that starts at 0 places 0 half a decade before its first level."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False
    zero: bool = False

    def at(self, value: float) -> float:
        """The pixel of a value, clamped to the ends."""
        low, high, value = self._scaled(0.0 if self.zero else self.low), self._scaled(self.high), self._scaled(value)
        share = (value - low) / (high - low) if high > low else 0.5
        return round(self.start + (self.end - self.start) * min(1.0, max(0.0, share)), 1)

    def _scaled(self, value: float) -> float:
        if not self.log:
            return value
        if value > 0:
            return math.log10(value)
        return math.log10(self.low) - (0.5 if self.zero else 0.0)

    def ticks(self, most: int) -> list[float]:
        """Round values, at most about `most` of them."""
        if self.log and not self.zero and self.high < 8 * self.low:
            return Axis(self.low, self.high, self.start, self.end).ticks(most)
        if self.log:
            decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            for steps in ((1, 2, 5), (1, 3), (1,)):
                found = [s * 10.0**d for d in decades for s in steps if self.low <= s * 10.0**d <= self.high]
                if len(found) <= most:
                    return found
            return found[:: -(-len(found) // most)]
        step = _round_step((self.high - self.low) / most)
        first = math.ceil(self.low / step - 1e-9)
        return [round(step * k, 12) for k in range(first, math.floor(self.high / step + 1e-9) + 1)]


def linear(values: Sequence[float], start: float, end: float) -> Axis:
    """An axis from 0 to a little above the largest value."""
    top = max([value for value in values if math.isfinite(value)], default=1.0)
    return Axis(0.0, (top or 1.0) * 1.05, start, end)


def logarithmic(values: Sequence[float], start: float, end: float, room: float = 1.15) -> Axis:
    """A log axis around the positive values, with a slot for 0 where it is among them."""
    found = [value for value in values if value > 0 and math.isfinite(value)] or [1.0]
    zero = any(value == 0 for value in values)
    return Axis(min(found) / (1.0 if zero else room), max(found) * room, start, end, log=True, zero=zero)


def _round_step(step: float) -> float:
    unit = 10.0 ** math.floor(math.log10(step)) if step > 0 else 1.0
    return next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= step * 0.999)


def escape(text: str) -> str:
    """Text escaped for HTML and SVG."""
    return html.escape(text, quote=True)


def cut(text: str, most: int) -> str:
    """Text cut to at most `most` characters; the table shows it in full."""
    return text if len(text) <= most else text[: most - 1] + "…"


def words(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    """A line of text."""
    anchored = f' text-anchor="{anchor}"' if anchor != "start" else ""
    return f'<text x="{x:g}" y="{y:g}"{_class(kind)}{anchored}>{escape(text)}</text>'


def rule(x: float, y: float, to_x: float, to_y: float, kind: str) -> str:
    """A straight line."""
    return f'<path{_class(kind)} d="M{x:g} {y:g}L{to_x:g} {to_y:g}"/>'


def path(points: Sequence[tuple[float, float]], kind: str) -> str:
    """A line through points."""
    return f'<path{_class(kind)} d="M{"L".join(f"{x:g} {y:g}" for x, y in points)}"/>' if points else ""


def box(x: float, y: float, width: float, height: float, kind: str) -> str:
    """A filled rectangle."""
    return f'<rect x="{x:g}" y="{y:g}" width="{max(0.0, width):g}" height="{max(0.0, height):g}"{_class(kind)}/>'


def mark(index: int, x: float, y: float, size: float, kind: str = "", title: str = "") -> str:
    """The marker of engine `index` (-1: the A/A arm), `size` pixels in radius."""
    opening = f'<path{_class(f"{kind} {colour(index)}")} d="{_outline(index, x, y, size)}"'
    return f"{opening}><title>{escape(title)}</title></path>" if title else f"{opening}/>"


def dots(index: int, places: Sequence[tuple[float, float]], size: float) -> str:
    """Pale markers of one engine's trials, as one path, because there may be thousands."""
    drawn = "".join(_outline(index, round(x, 1), y, size) for x, y in places)
    return f'<path class="d {colour(index)}" d="{drawn}"/>' if drawn else ""


def _outline(index: int, x: float, y: float, size: float) -> str:
    shape = SHAPES[index % COLOURS] if index >= 0 else ()
    if not shape:
        return f"M{x - size:.5g} {y:g}a{size:g} {size:g} 0 1 0 {2 * size:g} 0a{size:g} {size:g} 0 1 0 {-2 * size:g} 0z"
    (first_x, first_y), *_ = shape
    steps = ((bx - ax, by - ay) for (ax, ay), (bx, by) in itertools.pairwise(shape))
    sides = " ".join(f"{size * dx:.3g} {size * dy:.3g}" for dx, dy in steps)
    return f"M{x + size * first_x:.5g} {y + size * first_y:.5g}l{sides}z"


def colour(index: int) -> str:
    """The CSS class of an engine's colour."""
    return f"e{index % COLOURS}" if index >= 0 else "aa"


def bottom_axis(axis: Axis, top: float, bottom: float, most: int, show: Show = short, label: str = "") -> str:
    """Grid lines, ticks and the axis' name below a figure."""
    parts = []
    for tick in axis.ticks(most):
        x = axis.at(tick)
        parts += [rule(x, top, x, bottom, "grid"), words(x, bottom + 17, trimmed(show(tick)), "tick", "middle")]
    if label:
        parts.append(words((axis.start + axis.end) / 2, bottom + 36, label, "axis", "middle"))
    return "".join(parts)


def left_axis(axis: Axis, left: float, right: float, most: int, show: Show = short) -> str:
    """Grid lines and ticks at the left of a figure."""
    return "".join(
        rule(left, axis.at(tick), right, axis.at(tick), "grid")
        + words(left - 8, axis.at(tick) + 4, trimmed(show(tick)), "tick", "end")
        for tick in axis.ticks(most)
    )


def svg(width: float, height: float, body: str, label: str) -> str:
    """An SVG element. The page shows "wide" and "narrow" ones where they fit, and scales a "chart" a little."""
    kind = {WIDE: "wide", NARROW: "narrow"}.get(int(width), "chart")
    return (
        f'<svg class="{kind}" viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" role="img" '
        f'aria-label="{escape(label)}">{body}</svg>'
    )


def _class(kind: str) -> str:
    return f' class="{kind.strip()}"' if kind else ""
