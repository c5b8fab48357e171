"""Conditions under which a crawl counts as failed (`fail_on`): parsed from text, checked against its figures. Pure.

    failed | incomplete | limit | stopped      the crawl ended so
    errors>5%                                  a figure, one of < <= > >=, a number, maybe as a share

Rules:
- A figure is a number of the summary (NUMBERS), `errors` (URLs that ended in trouble), or a reason: `connect>10`.
- A share is one of the URLs that were asked for, or that should have been and were given up with their host. Of no such
  URLs every share is 0 %.
- What cannot be parsed is an error when the settings are read, before anything is asked for.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches

import msgspec

from crawler.core.reasons import Ending, Reason

NUMBERS = (
    *("urls", "pages", "bytes", "owed", "retries", "truncated", "links_cut", "unread", "too_deep", "cookies_dropped"),
    *("seconds", "startup_seconds", "pages_per_second", "cpu_seconds", "peak_memory_bytes", "urls_this_run"),
)
FIGURES = (*NUMBERS, "errors", *Reason)
ENDINGS = tuple(ending for ending in Ending if ending is not Ending.COMPLETE)
OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
COMPARISON = re.compile(r"\s*([a-z_]+)\s*([<>]=?)\s*([0-9]{1,18}(?:\.[0-9]{1,9})?)\s*(%?)\s*", re.ASCII)


class FailCondition(msgspec.Struct, frozen=True):
    """One condition: without a `sign`, that the crawl ends as `name`; with one, that the figure `name` compares so to
    `bound`, in per cent if it is a `share`. `text` is what was written."""

    text: str
    name: str
    sign: str = ""
    bound: float = 0.0
    share: bool = False

    def holds(self, ending: str, figures: Mapping[str, float], asked: int) -> str | None:
        """Why it holds for a crawl that ended so, with its figures; None where it does not. `asked`: what a share is
        of."""
        if not self.sign:
            return f"the crawl ended as {ending}" if ending == self.name else None
        figure = figures[self.name]
        percent = 100 * figure / asked if asked else 0.0
        if not OPERATORS[self.sign](percent if self.share else figure, self.bound):
            return None
        share = f" of {asked:,} URLs asked for ({percent:.3g} %)" if self.share else ""
        return f"{self.name} {figure:,.10g}{share}"


def parse(text: str) -> FailCondition:
    """A condition from its text. Raises ValueError where it is none, with what may be written."""
    if text.strip() in ENDINGS:
        return FailCondition(text.strip(), text.strip())
    match = COMPARISON.fullmatch(text)
    if match is None:
        raise ValueError(
            f"{text!r} is not a condition; write one of {', '.join(ENDINGS)}, or a figure, one of < <= > >= and a"
            " number, as in errors>5% or pages<100"
        )
    name, sign, bound, share = match.groups()
    if name not in FIGURES:
        close = get_close_matches(name, FIGURES, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else f" (there are: {', '.join(FIGURES)})"
        raise ValueError(f"{text!r} has an unknown figure: {name!r}{hint}")
    return FailCondition("".join(match.groups()), name, sign, float(bound), bool(share))
