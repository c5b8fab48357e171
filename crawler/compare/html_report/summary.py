"""The head of a report, for HTML and Markdown alike: the title, the machine, the table of the engines. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

from crawler.compare.fields import Field
from crawler.compare.html_report.book import Book
from crawler.compare.html_report.method import conditions_of_claims, disturbed, on_site
from crawler.compare.html_report.numbers import SHOWN, span
from crawler.compare.html_report.phrases import listed
from crawler.compare.intervals import Estimate
from crawler.compare.records import Session
from crawler.report.numbers import Show, number, share

Cell = tuple[str, str]
"""A value, and what stands below it."""

ENGINE, VERDICT = "Engine", "Verdict"
SUMMED = {
    "cpu_per_1000": ("CPU", "s / 1,000 pages"),
    "memory": ("Memory", "peak PSS"),
    "switches_per_page": ("Switches", "per page"),
    "overhead_p99": ("Overhead", "first byte, p99"),
}
MOST_NAMED = 5
MACHINE = ("cpu", "machine", "cores", "placement", "memory", "python", "system", "kernel")


def title(session: Session) -> str:
    """The title: what was compared, by name where a few arms were."""
    names = [arm.name for arm in session.arms if not arm.twin_of]
    if len(names) > MOST_NAMED:
        return f"{len(names)} arms compared: {listed(list(dict.fromkeys(arm.mode for arm in session.arms)))}"
    return f"{', '.join(names[:-1])} and {names[-1]}, compared" if len(names) > 1 else "A comparison"


def machine(session: Session) -> str:
    """The hardware line."""
    made = datetime.fromtimestamp(session.created_at, UTC)
    found = {key: text for key in MACHINE if (text := session.environment.get(key))}
    parts = [f"{text} cores" if key == "cores" else text for key, text in found.items()]
    return " · ".join([f"{made:%d %B %Y, %H:%M} UTC", f"preset {session.preset}", *parts])


def provenance(session: Session) -> dict[str, str]:
    """How and where the session ran."""
    blocks = ", ".join(f"{sweep} {count}" for sweep, count in session.blocks.items())
    ran = {"command": session.command, "preregistration": session.preregistration, "seed": str(session.seed)}
    return {**ran, "blocks": blocks, **session.environment}


def banners(book: Book) -> list[tuple[str, str]]:
    """What a reader must know before the table: a mark and its text each."""
    found, site = book.found, book.session.site
    warned = {
        "exploratory: no claims": "" if found.firm else conditions_of_claims(found),
        "a live site": on_site(site) if site else "",
        "a busy machine": disturbed(book.trials),
    }
    return [(mark, text) for mark, text in warned.items() if text]


def heads(book: Book) -> dict[str, str]:
    """The name of each column of the summary, and its unit. Empty without a headline."""
    field = book.found.headline
    ends = "95 % interval" if book.found.firm else "range"
    units = {ENGINE: "", "Pages/s": ends, _against(book): f"ratio, {ends}", VERDICT: ""}
    return units | dict(SUMMED[metric] for metric in _measured(field)) | {"Reached": "of its ceiling"} if field else {}


def summary(book: Book) -> list[dict[str, Cell]]:
    """The rows of the summary, by column."""
    field = book.found.headline
    stacks = {arm.name: arm.stack for arm in book.session.arms}
    return [
        {
            ENGINE: (row.arm, stacks[row.arm]),
            "Pages/s": _level(row.levels[field.rate], number),
            _against(book): _level(row.ratio, number) if row.ratio else ("1", ""),
            VERDICT: ("A/A: noise" if row.twin else row.word or "base", ""),
            **{SUMMED[metric][0]: _level(row.levels.get(metric), SHOWN[metric][2]) for metric in _measured(field)},
            "Reached": (share(row.share), f"of {row.ceiling}") if row.share is not None else ("", ""),
        }
        for row in (field.rows if field else ())
        if field and field.rate in row.levels
    ]


def _against(book: Book) -> str:
    return f"Against {book.found.base}"


def _measured(field: Field) -> list[str]:
    return [metric for metric in SUMMED if any(metric in row.levels for row in field.rows)]


def _level(level: Estimate | None, show: Show) -> Cell:
    return (show(level.value), span(level, show)) if level else ("", "")
