"""The figure of the run: trials in the order in which they ran. Pure: numbers in, SVG out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from crawler.report.numbers import percent, short
from crawler.report.svg import NARROW, Axis, bottom_axis, box, dots, left_axis, rule, svg, words


@dataclass(frozen=True, slots=True)
class OrderedTrial:
    """A trial in the run: its order, log pages/s against the mean of its cell (None: void), its engine."""

    order: int
    relative: float | None
    index: int


def timeline(width: int, trials: Sequence[OrderedTrial], drift: tuple[float, float] | None, label: str) -> str:
    """Every trial in run order against the mean of its cell, which would show a drift or a burst. `drift`: the relative
    level at the first and the last trial by Theil-Sen."""
    left, right, top, bottom = 50, width - 12, 28, 230 if width == NARROW else 250
    reach = max([0.06, *(abs(trial.relative) for trial in trials if trial.relative is not None)]) * 1.1
    across = Axis(-0.5, max(trial.order for trial in trials) + 0.5, left + 6, right - 6)
    up = Axis(-reach, reach, bottom, top)
    parts = [
        words(4, 14, "pages/s against the mean of the cell", "axis"),
        left_axis(up, left, right, 6, lambda value: percent(1 + value)),
        bottom_axis(Axis(0, across.high, across.at(0), across.end), top, bottom, 5, short, "trial, in the order run"),
        box(left, up.at(0.03), right - left, up.at(-0.03) - up.at(0.03), "band"),
    ]
    for x in (across.at(trial.order) for trial in trials if trial.relative is None):
        parts += [rule(x - side, bottom - 12, x + side, bottom - 4, "void") for side in (4, -4)]
    size = 3.2 if len(trials) < 200 else 2.4
    for index in sorted({trial.index for trial in trials}):
        ours = [
            (across.at(trial.order), up.at(trial.relative))
            for trial in trials
            if trial.index == index and trial.relative is not None
        ]
        parts.append(dots(index, ours, size))
    if drift:
        parts.append(rule(across.at(0), up.at(drift[0]), across.end, up.at(drift[1]), "trend"))
    return svg(width, bottom + 46, "".join(parts), label)
