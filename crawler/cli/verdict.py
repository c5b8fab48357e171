"""Errors and warnings on stderr at the end of a run, one line for each problem that needs attention, even with
--quiet."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crawler.metrics.summary import Summary
    from crawler.storage.directory import CrawlDirectory

LARGEST = 3


def verdict(directory: CrawlDirectory, summary: Summary, conditions: Iterable[str], kept: bool) -> Iterator[str]:
    """The lines for a crawl that failed, is incomplete, or meets a condition of `fail_on`. `kept`: its directory stays,
    so it can be resumed."""
    from crawler.core.endings import in_words
    from crawler.core.reasons import Ending
    from crawler.metrics.summary import judge
    from crawler.storage.generations import root_of
    from crawler.system.invocation import called

    resume = f"{called()} resume {shlex.quote(str(root_of(directory.path)))}"
    if summary.ending == Ending.FAILED:
        yield f"error: nothing could be fetched: {_why(directory, summary)}{f'; retry: {resume}' * kept}"
    if summary.ending == Ending.INCOMPLETE:
        again = resume + _named(summary.incomplete_because)
        yield f"warning: incomplete: missed {in_words(summary.incomplete_because, LARGEST)}; retry: {again}"
    for line in judge(summary, conditions):
        yield f"error: fail_on {line}"


def _named(because: dict[str, int]) -> str:
    """The --retry-reason options to suggest where a plain resume would fetch nothing."""
    from crawler.core.endings import TROUBLES
    from crawler.core.reopening import NAMES

    if not TROUBLES.isdisjoint(because):
        return ""
    return "".join(f" --retry-reason {name}" for name in because if name in NAMES)


def _why(directory: CrawlDirectory, summary: Summary) -> str:
    """The detail of the first settled row that has one, else counts of how the URLs ended."""
    from contextlib import closing

    from crawler.system.text import counts

    with closing(directory.open_frontiers()) as frontier:
        detail = next((row.detail for row in frontier.settled() if row.detail), "")
    statuses = f" (status {', '.join(summary.statuses)})" if summary.statuses else ""
    return detail or counts(summary.reasons) + statuses
