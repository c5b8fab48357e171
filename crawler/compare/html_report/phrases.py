"""Text helpers for findings: lists, ranges of levels, capital letters. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from crawler.report.numbers import Show

NO_CLAIM = "The A/A arm shows a difference where there is none: nothing is claimed"
OPENINGS = (
    "every", "at ", "no ", "more ", "least", "from ", "finding",
)  # fmt: skip


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
    runs: list[list[float]] = []
    for level in every:
        if level in levels:
            if runs and every.index(runs[-1][-1]) + 1 == every.index(level):
                runs[-1].append(level)
            else:
                runs.append([level])
    return listed([show(run[0]) if len(run) == 1 else " to ".join(once(show(run[0]), show(run[-1]))) for run in runs])


def once(*texts: str) -> list[str]:
    """Texts that end in the same words, keeping these only in the last text: 10 to 200 pages."""
    ends = [text.split(" ") for text in texts]
    alike = 0
    while alike < min(map(len, ends)) - 1 and len({end[-1 - alike] for end in ends}) == 1:
        alike += 1
    return [" ".join(end[: len(end) - alike]) for end in ends[:-1]] + [texts[-1]]
