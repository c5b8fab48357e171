"""The figure of a report: URLs per second over active time, those not ok below, runs marked. Pure.

Drawn wide and narrow at its true size, with the axes of the comparison's figures; colours are classes of the page.
"""

from __future__ import annotations

from crawler.report.facts import PaceFacts
from crawler.report.numbers import number
from crawler.report.svg import (
    NARROW,
    WIDE,
    Axis,
    bottom_axis,
    box,
    escape,
    left_axis,
    rule,
    svg,
    words,
)

HEIGHT = 240
UNITS = ((1.0, "s", 180), (60.0, "min", 10_800), (3600.0, "h", 259_200), (86_400.0, "days", float("inf")))
MOST_MARKS = 12


def throughput(pace: PaceFacts, seconds: float = 0.0, rate: float = 0.0) -> str:
    """The figure at both widths. `seconds`, `rate`: minimum ends of its axes, so that several can be compared."""
    if not pace.bars:
        return ""
    seconds = max(seconds, pace.seconds, pace.width)
    rate = max(rate, peak(pace)) * 1.08
    return "".join(_drawn(width, pace, seconds, rate) for width in (WIDE, NARROW))


def peak(pace: PaceFacts) -> float:
    """URLs per second in the busiest bar."""
    return max((bar.fine + bar.other for bar in pace.bars), default=0) / pace.width


def _drawn(width: int, pace: PaceFacts, seconds: float, rate: float) -> str:
    left, right, top, bottom = 56, width - 14, 26, HEIGHT - 46
    unit, name = next((unit, name) for unit, name, up_to in UNITS if seconds <= up_to)
    across = Axis(0, seconds / unit, left, right)
    up = Axis(0, rate, bottom, top)
    parts = [
        bottom_axis(across, top, bottom, 5 if width == NARROW else 10, label=f"active time, {name}"),
        left_axis(up, left, right, 5),
        words(4, 12, "URLs/s", "axis"),
    ]
    for place, bar in enumerate(pace.bars):
        x, to_x = across.at(place * pace.width / unit), across.at((place + 1) * pace.width / unit)
        other, all_of_it = up.at(bar.other / pace.width), up.at((bar.fine + bar.other) / pace.width)
        wide = max(1.0, to_x - x - (1 if to_x - x > 4 else 0))
        named = f"{bar.fine + bar.other:,} URLs in {pace.width:g} s, {bar.other:,} of them not ok"
        drawn = box(x, all_of_it, wide, other - all_of_it, "fine") + box(x, other, wide, bottom - other, "other")
        parts.append(f"<g><title>{escape(named)}</title>{drawn}</g>" if bar.fine or bar.other else "")
    if 1 < len(pace.spans) <= MOST_MARKS:
        parts += [_begin(across.at(span.offset / unit), top, bottom, span.run) for span in pace.spans]
    label = f"Throughput over {seconds / unit:.3g} {name} of active time, at most {number(peak(pace))} URLs per second"
    return svg(width, HEIGHT, "".join(parts), label)


def _begin(x: float, top: float, bottom: float, run: int) -> str:
    return rule(x, top - 6, x, bottom, "begin") + words(x + 3, top - 2, f"run {run}", "tick")
