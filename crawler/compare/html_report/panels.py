"""Figures about the run: trials in order, gates. Pure: numbers in, SVG out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from crawler.report.numbers import MINUS, short
from crawler.report.svg import (
    NARROW,
    Axis,
    bottom_axis,
    box,
    cut,
    dots,
    left_axis,
    path,
    rule,
    svg,
    words,
)


@dataclass(frozen=True, slots=True)
class PanelMoment:
    """A trial in the run: its order, log pages/s against the mean of its cell (None: void), its engine."""

    order: int
    relative: float | None
    index: int


def timeline(width: int, moments: Sequence[PanelMoment], drift: tuple[float, float] | None, label: str) -> str:
    """Every trial in run order against the mean of its cell, which would show a drift or a burst. `drift`: the relative
    level at the first and the last trial by Theil-Sen."""
    narrow = width == NARROW
    left, right, top, bottom = 50, width - 12, 28, 230 if narrow else 250
    reach = max([0.06, *(abs(moment.relative) for moment in moments if moment.relative is not None)]) * 1.1
    across = Axis(-0.5, max(moment.order for moment in moments) + 0.5, left + 6, right - 6)
    up = Axis(-reach, reach, bottom, top)

    def change(value: float) -> str:
        return f"{100 * value:+.3g} %".replace("-", MINUS) if abs(value) > 1e-9 else "0"

    parts = [words(4, 14, "pages/s against the mean of the cell", "axis"), left_axis(up, left, right, 6, change)]
    parts.append(
        bottom_axis(Axis(0, across.high, across.at(0), across.end), top, bottom, 5, short, "trial, in the order run")
    )
    parts.append(box(left, up.at(0.03), right - left, up.at(-0.03) - up.at(0.03), "band"))
    for moment in moments:
        x = across.at(moment.order)
        if moment.relative is None:
            parts.append(
                path([(x - 4, bottom - 12), (x + 4, bottom - 4)], "void")
                + path([(x + 4, bottom - 12), (x - 4, bottom - 4)], "void")
            )
    size = 3.2 if len(moments) < 200 else 2.4
    for index in sorted({moment.index for moment in moments}):
        ours = [
            (across.at(moment.order), up.at(moment.relative))
            for moment in moments
            if moment.index == index and moment.relative is not None
        ]
        parts.append(dots(index, ours, size))
    if drift:
        parts.append(rule(across.at(0), up.at(drift[0]), across.end, up.at(drift[1]), "trend"))
    return svg(width, bottom + 46, "".join(parts), label)


def gate_strip(
    width: int,
    gates: Mapping[str, str],
    failed: Mapping[str, Sequence[int]],
    warned: Mapping[str, int],
    warm_up: int,
    trials: int,
    label: str,
) -> str:
    """One bar per gate (name -> what it checks) over the run, with a cross at each failure."""
    left, right, step = 130, width - 86, 28
    across = Axis(-0.5, max(trials - 0.5, 0.5), left, right)
    parts = []
    for place, gate in enumerate(gates):
        y = 6 + step * place
        bad = failed.get(gate, ())
        parts.append(
            words(4, y + 15, cut(gate, 4), "name")
            + words(34, y + 15, gates[gate], "tick")
            + box(left, y, right - left, step - 8, "passed")
        )
        if warm_up:
            parts.append(box(left, y, across.at(warm_up - 0.5) - left, step - 8, "veil"))
        for order in bad:
            x = across.at(order)
            parts.append(box(x - 2.5, y - 2, 5, step - 4, "failed"))
        said = f"{len(bad):,} failed" if bad else f"{warned[gate]:,} warned" if warned.get(gate) else "all passed"
        parts.append(words(right + 8, y + 15, said, "tick"))
    bottom = 6 + step * len(gates)
    parts.append(
        words(left, bottom + 14, "first trial", "tick") + words(right, bottom + 14, "last trial", "tick", "end")
    )
    return svg(width, bottom + 24, "".join(parts), label)
