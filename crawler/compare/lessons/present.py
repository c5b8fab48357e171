"""Formats outcomes: as Markdown, which a terminal shows rendered, and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from crawler.compare.lessons.lesson import LessonOutcome, number

_WORDS = {True: "yes", False: "no", None: "?"}
METHOD = (
    "Figures are medians of samples taken in turn, with their range. A bound is kept (yes) or not (no) where the whole "
    "confidence interval of the median lies on one side of it (sign test, 5 % error at each end), and undecided (?) "
    "otherwise, or where it takes two free cores and other processes keep them busy."
)


def lesson(outcome: LessonOutcome, place: int) -> str:
    """One lesson: the claim, the figures, whether claim and prediction hold, and why."""
    lines = [f"## {place}. {outcome.title}", "", f"Tutorials say: *{outcome.claim}*", ""]
    if outcome.trouble:
        return "\n".join([*lines, f"This lesson failed: `{outcome.trouble.replace('`', chr(39))}`"])
    lines += [_row(("measure", "median", "range", "claim", "prediction")), "|---|--:|---|---|---|"]
    for figure in outcome.figures:
        claim = f"{figure.claimed}: {_WORDS[figure.claim_true]}" if figure.claimed else ""
        prediction = f"{figure.predicted}: {_WORDS[figure.prediction_true]}" if figure.predicted else ""
        median, spread = number(figure.median), f"{number(figure.low)} to {number(figure.high)}"
        lines.append(_row((figure.meaning, median, spread, claim, prediction)))
    noise = f", other processes kept {outcome.others:.1f} cores busy meanwhile" if outcome.others >= 0 else ""
    lines += ["", f"The claim: **{outcome.holds}**. Our prediction: **{outcome.prediction}**. {because(outcome)}"]
    return "\n".join([*lines, "", f"`{outcome.name}`, {outcome.seconds:.1f} s{noise}."])


def because(outcome: LessonOutcome) -> str:
    """The explanation, with a reservation where the prediction was not met or is undecided."""
    match outcome.prediction:
        case "met":
            return f"Why: {outcome.why}"
        case "not met":
            return f"We predicted something that is not so here (see no). What we believe: {outcome.why}"
    return f"These figures leave something open (see ?). What we believe: {outcome.why}"


def overview(outcomes: Iterable[LessonOutcome], where: dict[str, str]) -> str:
    """The verdicts of all lessons, the method and the conditions."""
    lines = [_row(("lesson", "the claim", "our prediction")), "|---|---|---|"]
    verdicts = [(one, ("failed", "failed") if one.trouble else (one.holds, one.prediction)) for one in outcomes]
    lines += [_row((one.title, *words)) for one, words in verdicts]
    conditions = "; ".join(f"{name} {text}" for name, text in where.items())
    return "\n".join([*lines, "", METHOD, "", f"Conditions: {conditions}."])


def markdown(outcomes: Sequence[LessonOutcome], where: dict[str, str]) -> str:
    """All outcomes as one document."""
    lessons = [lesson(one, place) for place, one in enumerate(outcomes, 1)]
    return "\n\n".join(["# What the tutorials say, measured", overview(outcomes, where), *lessons]) + "\n"


def as_json(outcomes: Sequence[LessonOutcome], where: dict[str, str]) -> bytes:
    """All outcomes as one JSON object, with every sample."""
    return msgspec.json.encode({"conditions": where, "outcomes": outcomes})


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
