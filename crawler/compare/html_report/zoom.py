"""Enlarging figures where scripts run: their numbers as embedded data, and the one script that draws them. Pure.

uPlot (MIT, see `uplot/LICENSE`) is stored beside this file and embedded in the page with its licence. The page's policy
allows the script by its hash, so no other can run, whatever text the data contains.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import msgspec

from crawler.compare.html_report.curves import Line
from crawler.report.numbers import Show
from crawler.report.svg import COLOURS, SHAPES

HERE = Path(__file__).parent
SPREAD = 0.28
"""How far the trials of a level spread to one side, as a share of the distance to the next level."""

Points = list[tuple[float, float]]


class Trace(msgspec.Struct, frozen=True):
    """One arm: its index among the engines (-1: the A/A arm), its marker's corners (none: a circle), its trials, its
    estimates (none: trials only)."""

    index: int
    name: str
    shape: list[tuple[float, float]]
    trials: Points
    levels: Points


class Plot(msgspec.Struct, frozen=True):
    """A figure's numbers. `ticks` names places on the x axis (none: it is a plain axis), `spread` is the distance of
    trials from their place, `unit` follows every value."""

    x: str
    y: str
    log: bool
    unit: str
    ticks: list[tuple[float, str]]
    spread: float
    lines: list[Trace]


def along(lines: Sequence[Line], x: str, y: str, show: Show) -> Plot:
    """Engines along a factor, on log axes; 0 is placed half a decade before the first level."""
    levels = sorted({level for line in lines for level in line.levels})
    least = min((level for level in levels if level > 0), default=1.0)
    at = {level: math.log10(level) if level > 0 else math.log10(least) - 0.5 for level in levels}
    places = sorted(at.values())
    spread = SPREAD * min([1.0, *(later - place for place, later in itertools.pairwise(places))])
    traces = [
        Trace(
            line.index,
            line.name,
            shape(line.index),
            [
                (round(at[level] + spread * (2 * (place + 0.5) / len(trials) - 1), 4), float(f"{value:.5g}"))
                for level, trials in line.values.items()
                for place, value in enumerate(trials)
            ],
            [(round(at[level], 4), float(f"{found.value:.5g}")) for level, found in line.levels.items()],
        )
        for line in lines
    ]
    ticks = [(round(at[level], 4), show(level)) for level in levels]
    return Plot(x, y, True, "", ticks, round(spread, 4), traces)


def shape(index: int) -> list[tuple[float, float]]:
    """The corners of an engine's marker."""
    return list(SHAPES[index % COLOURS]) if index >= 0 else []


def block(plot: Plot) -> str:
    """The data as an element that browsers do not run; no text in it can close the element."""
    told = msgspec.json.encode(plot).decode().replace("<", "\\u003c")
    return f'<script class="plot" type="application/json">{told}</script>'


def script() -> str:
    """The script: the licence, uPlot, and the code that adds buttons under figures."""
    licence, library, own = (
        (HERE / name).read_text(encoding="utf-8").strip()
        for name in ("uplot/LICENSE", "uplot/uPlot.iife.min.js", "zoom.js")
    )
    return f"/*\n{licence}\n*/\n{library}\n{own}\n"


def style() -> str:
    """uPlot's stylesheet."""
    return (HERE / "uplot/uPlot.min.css").read_text(encoding="utf-8").strip()


def policy(code: str) -> str:
    """The Content-Security-Policy: the page may apply its own styles and run this script, nothing else."""
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    sources = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    return f"{sources}; base-uri 'none'; form-action 'none'"
