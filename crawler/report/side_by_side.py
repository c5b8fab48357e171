"""Several crawls side by side on one page. Pure.

It ranks nothing: these are single runs, each under its own conditions, so none is called faster. The digest shows
whether they did the same work.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from crawler.report.drawing import peak, throughput
from crawler.report.facts import Facts
from crawler.report.html import NOTHING, card, frame, moment, remote, section, table
from crawler.report.numbers import lasting, number
from crawler.report.page import FINE, LEGEND, STYLE, state
from crawler.report.politeness_html import smallest
from crawler.system.text import duration, format_bytes

NO_CLAIM = (
    "Single runs, each under its own conditions: what differs here may be noise. Whether an engine is faster is"
    " measured by <code>python -m crawler compare</code>, which repeats, randomises and checks."
)
Crawl = tuple[Facts, str]
"""The facts of a crawl and its HTTP client."""


def beside(crawls: Sequence[Crawl]) -> str:
    """The page of several crawls, each with the HTTP client of its last run."""
    title = f"{len(crawls):,} crawls side by side"
    names = _names([facts.out for facts, _ in crawls])
    heads = ("", *(f":{place}" for place in range(1, len(crawls) + 1)))
    listed = "".join(
        f"<li>{place}: <code>{remote(name)}</code>, {state(facts)}, as of {moment(facts.taken_at)}</li>"
        for place, (name, (facts, _)) in enumerate(zip(names, crawls, strict=True), 1)
    )
    main = [
        section("work", "The work", f"<p>{_same(crawls)}</p>" + card(table(heads, _rows(crawls), "Crawls"))),
        section("reasons", "How URLs ended", card(table(heads, _ends(crawls), "Ends"))),
        section("throughput", "Throughput, on equal axes", _figures(crawls, names)),
        section("conditions", "Settings that differ", _settings(crawls, heads)),
    ]
    command = shlex.join(["python", "-m", "crawler", "report", *(facts.out for facts, _ in crawls), "-o", "FILE"])
    top = f"<h1>{title}</h1><ul>{listed}</ul><p class=note>{NO_CLAIM}</p>"
    return frame(STYLE, title, top, "\n".join(main), f"Written again by <code>{remote(command, 1000)}</code>.")


def _names(paths: Sequence[str]) -> list[str]:
    """The last parts of the paths, where these are distinct."""
    short = [Path(path).name for path in paths]
    return short if len(set(short)) == len(short) and all(short) else list(paths)


def _same(crawls: Sequence[Crawl]) -> str:
    digests = {facts.tally.digest for facts, _ in crawls}
    if not all(facts.over for facts, _ in crawls):
        return "Not all of them are over, so their work cannot be the same yet."
    if len(digests) == 1:
        return "All did the same work: equal digests, so the same URLs ended with the same statuses and bodies."
    return f"They did not do the same work: there are {len(digests):,} different digests."


def _rows(crawls: Sequence[Crawl]) -> list[list[str]]:
    cells: dict[str, Callable[[Facts], str]] = {
        "state": state,
        "URLs fetched": lambda facts: f"{facts.tally.urls:,}",
        "owed": lambda facts: f"{facts.tally.owed:,}",
        "pages stored": lambda facts: f"{facts.tally.pages:,}",
        "bytes, decoded": lambda facts: format_bytes(facts.tally.bytes),
        "hosts": lambda facts: f"{facts.hosts.count:,}",
        "retries": lambda facts: f"{facts.tally.retries:,}",
        "ended otherwise": lambda facts: f"{sum(facts.tally.reasons.values()) - _fine(facts):,}",
        "runs": lambda facts: f"{facts.manifest.runs:,}",
        "active time": lambda facts: duration(facts.pace.seconds),
        "URLs/s, mean": lambda facts: number(facts.rate) if facts.rate else NOTHING,
        "URLs/s, most": lambda facts: number(peak(facts.pace)) if facts.pace.bars else NOTHING,
        "slowest fetch": lambda facts: lasting(facts.slowest[0].seconds) if facts.slowest else NOTHING,
        "smallest gap": lambda facts: smallest(facts.audit),
        "too soon": lambda facts: f"{facts.audit.breaches:,} of {facts.audit.owed_rest:,} hosts",
        "mode": lambda facts: remote(str(facts.manifest.settings.get("mode", "async"))),
        "store": lambda facts: remote(str(facts.manifest.settings.get("store", "sqlite"))),
        "digest": lambda facts: f"<code>{remote(facts.tally.digest)}</code>",
    }
    rows = [
        [name, *(f'<span class="fold">{show(facts)}</span>' for facts, _ in crawls)] for name, show in cells.items()
    ]
    rows.insert(-2, ["client", *(remote(client) for _, client in crawls)])
    return rows


def _fine(facts: Facts) -> int:
    return sum(facts.tally.reasons.get(reason, 0) for reason in FINE)


def _ends(crawls: Sequence[Crawl]) -> list[list[str]]:
    """Rows of reasons, then of statuses, with a count for each crawl."""
    counts = [facts.tally.reasons for facts, _ in crawls], [facts.tally.statuses for facts, _ in crawls]
    return [
        [remote(f"{what}{key}"), *(f"{one.get(key, 0):,}" for one in each)]
        for what, each in zip(("", "status "), counts, strict=True)
        for key in sorted({key for one in each for key in one}, key=lambda key: (-each[0].get(key, 0), key))
    ]


def _figures(crawls: Sequence[Crawl], names: Sequence[str]) -> str:
    """One figure per crawl, all with the same axes."""
    seconds = max(facts.pace.seconds for facts, _ in crawls)
    rate = max(peak(facts.pace) for facts, _ in crawls)
    return "".join(
        card(LEGEND + throughput(facts.pace, seconds, rate), f"{place}: {remote(name)}")
        for place, (name, (facts, _)) in enumerate(zip(names, crawls, strict=True), 1)
        if facts.pace.bars
    )


def _settings(crawls: Sequence[Crawl], heads: Sequence[str]) -> str:
    settings = [facts.manifest.settings for facts, _ in crawls]
    keys = [
        key
        for key in {key: None for one in settings for key in one}
        if len({str(one.get(key)) for one in settings}) > 1
    ]
    rows = [
        [key, *(f'<span class="said">{remote(str(one[key])) if key in one else "default"}</span>' for one in settings)]
        for key in keys
    ]
    return card(table(heads, rows, "Settings")) or "<p>None do.</p>"
