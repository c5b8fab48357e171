"""The run itself: every trial in the order in which it ran, drawn and in a table. Pure.

It shows drift, bursts, and what became of each trial; no trial of a session is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from crawler.compare.cells import Cells
from crawler.compare.html_report import findings
from crawler.compare.html_report.book import Book, Figure, Table
from crawler.compare.html_report.numbers import conditions, full
from crawler.compare.predictions import verdict
from crawler.compare.records import Condition, Trial
from crawler.report.numbers import counted, number, percent, short
from crawler.report.svg import CHART, Axis, bottom_axis, box, dots, left_axis, rule, svg, words

HEIGHT = 280


def order(book: Book) -> tuple[list[Figure], str]:
    """The section on run order: whether drift, a burst or a bad order could fake a difference; then every trial."""
    if not book.trials:
        return [], "no trial was run"
    cells = Cells(book.session, book.trials)
    residuals = cells.residuals()
    return [*([_drift(book, cells, residuals)] if residuals else []), _every(book, cells)], ""


def _drift(book: Book, cells: Cells, residuals: Mapping[int, float]) -> Figure:
    audit, field = book.found.audit, book.found.headline
    out, title = audit.outliers, findings.drift(book.found)
    rows = [
        ["outliers (Tukey's fences, per cell)", f"{out.mild} mild, {out.severe} severe of {out.of}; none dropped"],
    ]
    if field and field.twin:
        rows.append(["A/A ratio", full(field.twin)])
        rows.append(["what counts as a difference", f"more than {100 * field.margin:.2g} %"])
    rows += [list(verdict(one)) for one in book.found.predictions]
    return Figure(
        title,
        "Could the order of the trials, or other processes, fake a difference?",
        [timeline(cells.trials, residuals, book.index, audit.drift.total if audit.drift else None, title)],
        "Each trial stands against the mean of its own cell. Within a block the order of the arms is random, so a "
        "drift affects all alike.",
        Table(["question", ":found"], rows),
        book.foot([trial.condition for trial in cells.trials][:1], whole=True),
    )


def timeline(
    trials: Sequence[Trial],
    residuals: Mapping[int, float],
    index: Mapping[str, int],
    drift: float | None,
    label: str,
) -> str:
    """Trials in run order. `residuals`: by order, log pages/s against the mean of the cell; `drift`: the change of it
    over the session by Theil-Sen."""
    left, right, top, bottom = 50, CHART - 12, 28, HEIGHT - 46
    reach = max([0.06, *map(abs, residuals.values())]) * 1.1
    last = max(trial.order for trial in trials)
    across, up = Axis(0, max(1, last), left + 6, right - 6), Axis(-reach, reach, bottom, top)
    parts = [
        words(4, 14, "pages/s against the mean of the cell", "axis"),
        box(left, up.at(0.03), right - left, up.at(-0.03) - up.at(0.03), "band"),
        left_axis(up, left, right, 6, lambda value: percent(1 + value)),
        bottom_axis(across, top, bottom, 5, short, "trial, in the order run"),
    ]
    for x in (across.at(trial.order) for trial in trials if not (trial.valid or trial.warm_up)):
        parts += [rule(x - side, bottom - 12, x + side, bottom - 4, "void") for side in (4, -4)]
    for arm, at in index.items():
        ours = [trial.order for trial in trials if trial.arm == arm and trial.order in residuals]
        parts.append(
            dots(at, [(across.at(one), up.at(residuals[one])) for one in ours], 3.4 if len(trials) < 200 else 2.4)
        )
    if drift is not None:
        parts.append(rule(across.start, up.at(-drift / 2), across.end, up.at(drift / 2), "trend"))
    return svg(CHART, HEIGHT, "".join(parts), label)


def _every(book: Book, cells: Cells) -> Figure:
    """One row per condition and block, one column per arm: the design, and what became of each trial in it."""
    rates = {field.condition: field.rate for field in book.found.fields}
    blocks: dict[tuple[Condition, int], dict[str, list[str]]] = {}
    for trial in cells.trials:
        arms = blocks.setdefault((trial.condition, trial.block), {})
        arms.setdefault(trial.arm, []).append(_became(trial, rates.get(trial.condition, cells.rate)))
    rows = [
        [f"{cell.sweep}: {conditions(cell)}", f"{block}", *("; ".join(arms.get(arm, ())) for arm in cells.arms)]
        for (cell, block), arms in blocks.items()
    ]
    audit = book.found.audit
    return Figure(
        f"{counted(len(cells.trials), 'trial')}: {audit.valid:,} valid, {audit.void:,} void, {audit.warm_up:,} warm-up",
        "What became of each trial?",
        (),
        "A number alone is pages/s of a valid trial, which passed all gates. A void trial has its reason; it is not "
        "counted, and not repeated. The file trials.csv has every metric of each trial.",
        Table(["condition", "block", *cells.arms], rows),
        book.foot([cells.trials[0].condition], whole=True),
    )


def _became(trial: Trial, rate: str) -> str:
    measured = number(trial.metrics[rate]) if rate in trial.metrics else "no rate"
    if trial.valid:
        return measured
    if trial.warm_up:
        return f"{measured}, warm-up"
    return f"void ({'; '.join(trial.failed) or 'it reported nothing'})"
