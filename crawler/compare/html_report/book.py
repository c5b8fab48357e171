"""The content of a report before it becomes HTML or Markdown: sections of figures, each with its table. Pure.

A figure's title is its finding; its question is below, its conditions in the foot, its numbers in a table.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from crawler.compare import analysis
from crawler.compare.fields import Field
from crawler.compare.html_report.curves import Line
from crawler.compare.html_report.figures import Lane
from crawler.compare.html_report.numbers import cell, conditions, full
from crawler.compare.records import Condition, Session, Trial
from crawler.compare.results import Results, Sweep
from crawler.report.numbers import counted
from crawler.system.invocation import MODULE

KEYS = {
    "d": "Pale marks are single trials or, of ratios, single blocks.",
    "m": "The mark on a line is their geometric mean.",
    "through": "Lines only connect: verdicts and intervals hold level by level.",
    "ci": "The bar through it is its 95 % interval.",
    "band": "The shaded band holds what is too small to matter.",
    "arrow": "At an arrow an interval goes on beyond the axis.",
}
"""What the marks of all figures mean, by their class in a drawing."""
SPECIAL = {
    "ceiling": "Broken lines are ceilings, named above.",
    "roof": "A short thick bar is what the CPU of the engine's own cores allows.",
    "cross": "Dotted is where engines change places, with its 95 % interval.",
    "void": "Crosses are void trials.",
    "trend": "The sloping line is the drift (Theil-Sen).",
}
"""Likewise, the marks that only some figures have."""


def keys(meanings: Mapping[str, str], drawings: Sequence[str]) -> str:
    """What the marks mean that are really drawn."""
    drawn = " ".join(drawings)
    return " ".join(said for kind, said in meanings.items() if f'class="{kind}"' in drawn or f'class="{kind} ' in drawn)


@dataclass(frozen=True, slots=True)
class Table:
    """Text in rows; the first column names the row. A head that begins with ":" marks a column of words."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Figure:
    """A finding with its question, drawings (SVG), what else to know of them, table and foot. `form`: HTML that the
    page's script brings to life."""

    title: str
    question: str
    drawings: Sequence[str]
    remark: str
    table: Table
    foot: str
    form: str = ""

    @property
    def reading(self) -> str:
        """How to read it: the marks that only some figures have, where they are drawn, then the remark."""
        return f"{keys(SPECIAL, self.drawings)} {self.remark}".strip()


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the report: its anchor, its name, its figures; `missing`: why, where there are none."""

    key: str
    name: str
    figures: Sequence[Figure] = ()
    missing: str = ""


class Book:
    """The session, prepared for the sections: indices of engines, feet of figures. `called`: the command that started
    it, which a reader can use, too."""

    def __init__(self, session: Session, trials: Sequence[Trial], found: Results, data: str) -> None:
        self.session, self.trials, self.found, self.data = session, trials, found, data
        program, known, _ = session.command.partition(" compare")
        self.called = program if known else MODULE
        engines = [arm.name for arm in session.arms if not arm.twin_of]
        self.index = {arm.name: engines.index(arm.name) if arm.name in engines else -1 for arm in session.arms}

    def foot(self, cells: Sequence[Condition], but: Sequence[str] = (), whole: bool = False) -> str:
        """Conditions, trials and data of a figure. `whole`: it shows every trial of the session."""
        wanted = {trial.condition for trial in self.trials} if whole else set(cells)
        ours = [trial for trial in self.trials if trial.condition in wanted and not trial.warm_up]
        void = sum(not trial.valid for trial in ours)
        pages = sorted({cell.pages for cell in cells})
        first = "every condition" if whole else conditions(cells[0], but=(*but, "pages") if len(pages) > 1 else but)
        if len(pages) > 1 and "pages" not in but and not whole:
            first += f", {pages[0]:,} to {pages[-1]:,} pages"
        blocks = len({trial.block for trial in ours})
        counts = f"{counted(blocks, 'block')}, {counted(len(ours), 'trial')}, {void:,} void"
        return f"{first}; {counts}; data {self.data[:12]}"

    def compared(self, field: Field, metrics: Sequence[str] = ()) -> list[list[str]]:
        """Rows of text, one per arm: its name, pages/s, ratio to the base, verdict, further metrics."""
        return [
            [
                row.arm,
                full(row.levels[field.rate]),
                full(row.ratio) if row.ratio else "base" if row.arm == self.found.base else "",
                "A/A" if row.twin else row.word or "",
                *(cell(row, metric) for metric in metrics),
            ]
            for row in field.rows
            if field.rate in row.levels
        ]

    def lanes(self, field: Field, metric: str) -> list[Lane]:
        """One lane per arm that has the metric."""
        return [
            Lane(
                self.index[row.arm],
                row.arm,
                list(row.values[metric].values()),
                row.levels[metric],
                row.roof if metric == field.rate else math.inf,
            )
            for row in field.rows
            if metric in row.levels
        ]

    def lines(self, sweep: Sweep, metric: str) -> list[Line]:
        """One line per engine that has the metric at some level. "" means the throughput of the sweep."""
        made = []
        for arm, index in self.index.items():
            cells = {level: row for level, field in sweep.points if (row := field.row(arm, metric))}
            if cells:
                name = metric or sweep.fields[0].rate
                values = {level: list(row.values[name].values()) for level, row in cells.items()}
                made.append(Line(index, arm, values, {level: row.levels[name] for level, row in cells.items()}))
        return made

    def ratios(self, sweep: Sweep) -> list[Line]:
        """One line per arm but the base: its throughput as a multiple of the base's, block by block."""
        made = []
        for arm, index in self.index.items():
            values, levels = {}, {}
            for level, field in sweep.points:
                row, base = field.row(arm), field.row(self.found.base)
                if row and base and row.ratio:
                    logs = analysis.log_ratios(row.values[field.rate], base.values[field.rate])
                    values[level], levels[level] = [math.exp(log) for log in logs], row.ratio
            if levels:
                made.append(Line(index, arm, values, levels))
        return made
