"""Formats outcomes: for a terminal, as Markdown, as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec

from crawler.compare.lessons.lesson import LessonFigure, LessonOutcome, number

if TYPE_CHECKING:
    from rich.console import Console

_WORDS = {True: "yes", False: "no", None: "?"}
_COLOURS = {"holds": "green", "met": "green", "does not hold here": "magenta", "not met": "magenta"}
_HEADS = ("measure", "median", "range", "claim", "prediction")
METHOD = (
    "Figures are medians of samples taken in turn, with their range. A bound is kept (yes) or not (no) where the whole "
    "confidence interval of the median lies on one side of it (sign test, 5 % error at each end), and undecided (?) "
    "otherwise, or where it takes two free cores and other processes keep them busy."
)


def value(figure: LessonFigure) -> tuple[str, str]:
    """Median and range."""
    return number(figure.median), f"{number(figure.low)} to {number(figure.high)}"


def rows(outcome: LessonOutcome) -> list[tuple[str, ...]]:
    """The figures as text: measure, median, range, the bounds of claim and prediction, and whether they hold."""
    return [
        (
            figure.meaning,
            *value(figure),
            f"{figure.claimed}: {_WORDS[figure.claim_true]}" if figure.claimed else "",
            f"{figure.predicted}: {_WORDS[figure.prediction_true]}" if figure.predicted else "",
        )
        for figure in outcome.figures
    ]


def because(outcome: LessonOutcome) -> str:
    """The explanation, with a reservation where the prediction was not met or is undecided."""
    match outcome.prediction:
        case "met":
            return f"Why: {outcome.why}"
        case "not met":
            return f"We predicted something that is not so here (see no). What we believe: {outcome.why}"
    return f"These figures leave something open (see ?). What we believe: {outcome.why}"


def meanwhile(outcome: LessonOutcome) -> str:
    """The duration, and the load of other processes."""
    noise = f", other processes kept {outcome.others:.1f} cores busy meanwhile" if outcome.others >= 0 else ""
    return f"{outcome.seconds:.1f} s{noise}"


def show(console: Console, outcome: LessonOutcome, place: int) -> None:
    """One lesson on a terminal."""
    from rich.table import Table
    from rich.text import Text

    console.print(Text(f"\n{place}. {outcome.title}", "bold"), Text(f"({outcome.name}, {meanwhile(outcome)})", "dim"))
    console.print(Text(f"Tutorials say: {outcome.claim}"))
    if outcome.trouble:
        console.print(Text(f"This lesson failed: {outcome.trouble}", "red"))
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for head in _HEADS:
        table.add_column(head, justify="right" if head == "median" else "left")
    for row in rows(outcome):
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)
    words = Text.assemble(
        "The claim: ", (outcome.holds, _COLOURS.get(outcome.holds, "yellow")),
        ". Our prediction: ", (outcome.prediction, _COLOURS.get(outcome.prediction, "yellow")), ".",
    )  # fmt: skip
    console.print(words)
    console.print(Text(because(outcome)))


def show_all(console: Console, outcomes: Iterable[LessonOutcome], where: dict[str, str]) -> None:
    """The summary table at the end."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="dim", title_justify="left")
    for head in ("lesson", "the claim", "our prediction"):
        table.add_column(head)
    for one in outcomes:
        words = ("failed", "failed") if one.trouble else (one.holds, one.prediction)
        table.add_row(Text(one.title), *(Text(word, _COLOURS.get(word, "yellow")) for word in words))
    console.print()
    console.print(table)
    console.print(Text(f"\n{METHOD}\n{_sentence(where)}", "dim"))


def markdown(outcomes: Sequence[LessonOutcome], where: dict[str, str]) -> str:
    """All outcomes as one Markdown document."""
    lines = ["# What the tutorials say, measured", "", _sentence(where), "", METHOD, ""]
    lines += ["| lesson | the claim | our prediction |", "|---|---|---|"]
    for one in outcomes:
        words = ("failed", "failed") if one.trouble else (one.holds, one.prediction)
        lines.append(_row((one.title, *words)))
    for place, one in enumerate(outcomes, 1):
        lines += ["", f"## {place}. {one.title}", "", f"Tutorials say: *{one.claim}*", ""]
        if one.trouble:
            lines.append(f"This lesson failed: `{one.trouble.replace('`', chr(39))}`")
            continue
        lines += [_row(_HEADS), "|---|--:|---|---|---|", *map(_row, rows(one)), ""]
        lines += [f"The claim: **{one.holds}**. Our prediction: **{one.prediction}**. {because(one)}", ""]
        lines.append(f"`{one.name}`, {meanwhile(one)}.")
    return "\n".join(lines) + "\n"


def as_json(outcomes: Sequence[LessonOutcome], where: dict[str, str]) -> bytes:
    """All outcomes as one JSON object, with every sample."""
    return msgspec.json.encode({"conditions": where, "outcomes": outcomes})


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _sentence(where: dict[str, str]) -> str:
    return "Conditions: " + "; ".join(f"{name} {told}" for name, told in where.items()) + "."
