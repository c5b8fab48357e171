"""The politeness section of a report: required and observed rests, and what the stored data cannot show. Pure."""

from __future__ import annotations

from crawler.report.facts import Facts, PolitenessFacts, Rest
from crawler.report.html import NOTHING, card, table, url
from crawler.report.numbers import counted, lasting

UNKNOWN = (
    "Redirects, errors, repeated attempts and robots.txt itself leave no record with a time of its own, so there"
    " may have been a request between two pages. A gap that is too small proves a breach; that none was found does not"
    " prove that there was none. Only the log of the server can.",
    "Whether Retry-After and rests after failures were kept: error answers are not stored.",
    "The required rest is what the settings and the last Crawl-delay of a host ask for, not an older robots.txt.",
    "Times are those of this machine, when the last byte arrived; the server may have seen requests closer"
    " together or further apart.",
)


def politeness(facts: Facts) -> str:
    """The audit, in words and numbers."""
    audit = facts.audit
    if not audit.pages:
        return "<p>No page was stored, so no time of a request is known.</p>" if facts.tally.settled else ""
    rows = [_row(rest) for rest in audit.rests]
    head = ("Host", "Shortest rest", "Required rest", ":Kept", "Most at once", "Pages")
    shown = f", the {len(rows)} nearest to their limit" if audit.hosts > len(rows) else ""
    unknown = "".join(f"<li>{line}</li>" for line in (*_limits(facts), *UNKNOWN))
    gaps = card(table(head, rows, "Rests of hosts"), f"Rest between two pages of a host{shown}")
    return f"<p>{verdict(audit)}</p>{gaps}<h3>What cannot be known</h3><ul>{unknown}</ul>"


def verdict(audit: PolitenessFacts) -> str:
    """The result of the audit in one sentence."""
    if audit.breaches:
        hosts = counted(audit.breaches, "host")
        return f'<span class="bad">{hosts} got a request before the required rest was over.</span>'
    if not audit.pages:
        return "No page was stored, so nothing was seen."
    if not audit.owed_rest:
        return f"No rest is required between two pages. Most fetches of one host at once: {audit.at_once:,}."
    return (
        f"As far as {counted(audit.pages, 'stored page')} of run {audit.run} show, every required rest was kept, on"
        f" {counted(audit.owed_rest, 'host')}."
    )


def smallest(audit: PolitenessFacts) -> str:
    """The observed rest that is nearest to the required one, in words."""
    rest = next((rest for rest in audit.rests if rest.owed and rest.gap is not None), None)
    return f"{lasting(rest.gap)} where {lasting(rest.owed)} is required" if rest and rest.gap is not None else NOTHING


def _row(rest: Rest) -> list[str]:
    gap = "one page only" if rest.gap is None else "overlapping" if rest.gap < 0 else lasting(rest.gap)
    word = "yes" if rest.owed and rest.gap is not None else NOTHING
    if rest.breach:
        word = '<span class="bad">too soon</span>'
    owed = lasting(rest.owed) if rest.owed else "none"
    return [url(rest.host, " host"), gap, owed, word, f"{rest.at_once:,}", f"{rest.pages:,}"]


def _limits(facts: Facts) -> list[str]:
    """What the audit does not cover."""
    audit, said = facts.audit, []
    if facts.manifest.runs > 1:
        said.append(
            f"Of {facts.manifest.runs:,} runs only run {audit.run} was looked at, and compared with the settings of the"
            " last: those of earlier runs are not kept."
        )
    if audit.older:
        said.append(f"The newest {audit.pages:,} pages were looked at, {audit.older:,} older ones were not.")
    if audit.unread:
        said.append(f"{counted(audit.unread, 'part')} could not be read; <code>verify</code> says why.")
    return said
