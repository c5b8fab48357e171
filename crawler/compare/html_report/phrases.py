"""Text helpers for findings: lists, ranges of levels, capital letters. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from crawler.report.numbers import Show

NO_CLAIM = "The A/A arm shows a difference where there is none: nothing is claimed"
OPENINGS = ("every", "at ", "no ", "more ", "least", "from ", "finding", "too few", "with ")


def listed(parts: Sequence[str]) -> str:
    """One, one and two, or one, two and three."""
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1] if parts else ""


def capital(text: str) -> str:
    """Capitalise a sentence, unless it starts with the name of an arm."""
    return text[:1].upper() + text[1:] if text.startswith(OPENINGS) else text


def sentence(parts: Sequence[str]) -> str:
    """Findings in a row."""
    return capital("; ".join(parts))


def stretch(levels: Sequence[float], every: Sequence[float], show: Show) -> str:
    """Levels as text; adjacent ones become a range."""
    runs = [list(run) for there, run in itertools.groupby(every, levels.__contains__) if there]
    return listed([" to ".join(dict.fromkeys((show(run[0]), show(run[-1])))) for run in runs])
