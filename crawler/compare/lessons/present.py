"""Formats outcomes: as lines for a terminal, as HTML, and as JSON. Pure: outcomes in, text out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from crawler.compare.lessons.judge import LessonFigure, LessonOutcome
from crawler.compare.lessons.lesson import number
from crawler.report.html import frame, listed, section, table
from crawler.report.svg import escape

STYLE = Path(__file__).parents[1] / "html_report" / "comparison.css"
TITLE = "What tutorials say about concurrency, measured"
METHOD = (
    "Figures are medians of rounds taken in turn, with the confidence interval of the median (sign test, 5 % error at "
    "each end). The word of a ratio of rates is that of its interval: faster, slower, equivalent (within 3 %), "
    "inconclusive, too few blocks. A fact held if it was so in every round. A claim or prediction held where the whole "
    "interval is where it should be, did not hold where it is elsewhere, and is inconclusive otherwise, or where it "
    "takes free cores that other processes kept busy."
)
_WORDS = {True: "yes", False: "no", None: "open"}


def verdict(outcome: LessonOutcome) -> str:
    """One row of the table of verdicts in a terminal, then a line for each prediction that did not hold."""
    words = ("failed", "failed") if outcome.trouble else (outcome.holds, outcome.prediction)
    row = f"{outcome.name:18} {words[0]:13} {words[1]:13} {outcome.seconds:5.1f} s  {outcome.title}"
    return "\n".join([row, *(f"    {reason}" for reason in outcome.reasons)])


HEAD = f"{'lesson':18} {'the claim':13} {'prediction':13} seconds  about"


def total(outcomes: Sequence[LessonOutcome]) -> str:
    """How many predictions held."""
    held = sum(one.prediction == "held" and not one.trouble for one in outcomes)
    longest = max(outcomes, key=lambda one: one.seconds)
    return (
        f"{held} of {len(outcomes)} predictions held; the others say why not. "
        f"Longest: {longest.name}, {longest.seconds:.1f} s"
    )


def as_json(outcomes: Sequence[LessonOutcome], where: Mapping[str, str]) -> bytes:
    """All outcomes as one JSON object, with every sample."""
    return msgspec.json.encode({"conditions": where, "outcomes": outcomes})


def page(outcomes: Sequence[LessonOutcome], where: Mapping[str, str]) -> str:
    """All outcomes as one HTML page that loads nothing."""
    rows = [
        [
            f'<a href="#{one.name}">{escape(one.title)}</a>',
            *(("failed", "failed") if one.trouble else (one.holds, one.prediction)),
            f"{one.seconds:.1f} s",
        ]
        for one in outcomes
    ]
    head = ["lesson", ":the claim", ":our prediction", "took"]
    top = f"<h1>{TITLE}</h1><p class=note>{escape(where['python'])}. {escape(total(outcomes))}</p>"
    method = f"<p>{METHOD}</p>{listed([(name, escape(text)) for name, text in where.items()])}"
    main = [section("verdicts", "Verdicts", table(head, rows, "Verdicts")), *map(_lesson, outcomes)]
    return frame(STYLE, TITLE, top, "\n".join([*main, section("method", "Method", method)]), "")


def _lesson(outcome: LessonOutcome) -> str:
    claim = f"<p>Tutorials say: <em>{escape(outcome.claim)}</em></p>" if outcome.claim else ""
    if outcome.trouble:
        return section(outcome.name, outcome.title, f"{claim}<p>It failed: <code>{escape(outcome.trouble)}</code></p>")
    head = ["figure", "median", "interval", ":word", ":claimed", ":predicted"]
    verdicts = f"<p>The claim: <b>{outcome.holds}</b>. Our prediction: <b>{outcome.prediction}</b>.</p>"
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in outcome.reasons)
    noise = f"; other processes kept {outcome.others:.1f} cores busy meanwhile" if outcome.others >= 0 else ""
    body = [
        claim,
        table(head, [_row(figure) for figure in outcome.figures], outcome.title),
        verdicts,
        f'<ul class="plain">{reasons}</ul>' if reasons else "",
        f"<p>{'Why' if outcome.prediction == 'held' else 'What we believe'}: {escape(outcome.why)}</p>",
        f"<p class=note><code>{outcome.name}</code>, {outcome.seconds:.1f} s{noise}</p>",
    ]
    return section(outcome.name, outcome.title, "".join(body))


def _row(figure: LessonFigure) -> list[str]:
    middle, spread = number(figure.median), f"{number(figure.low)} to {number(figure.high)}"
    if figure.kind == "fact":
        middle, spread = f"{sum(map(bool, figure.samples))} of {len(figure.samples)}", ""
    return [
        f"<span class=said>{escape(figure.meaning)}</span>",
        middle,
        spread,
        figure.word,
        _checked(figure.claimed, figure.claim_true),
        _checked(figure.predicted, figure.prediction_true),
    ]


def _checked(expected: str, answer: bool | None) -> str:
    return f"{escape(expected)}: {_WORDS[answer]}" if expected else ""
