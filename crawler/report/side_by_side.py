"""Several crawls side by side on one page. Pure.

Rules:
- It ranks nothing: these are single runs, each under its own conditions, so none is called faster. The digest shows
  whether they did the same work.
- The figures have equal axes and bars of equal width, so that their peaks can be compared.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from crawler.report.drawing import peak, throughput
from crawler.report.facts import Facts
from crawler.report.html import NOTHING, card, frame, moment, remote, section, table
from crawler.report.numbers import number
from crawler.report.page import LEGEND, STYLE
from crawler.report.politeness_html import smallest
from crawler.report.svg import escape
from crawler.report.top import figures, state, when

NO_CLAIM = (
    "Single runs, each under its own conditions: what differs here may be noise. Whether an engine is faster is"
    " measured by <code>{command} compare</code>, which repeats, randomises and checks."
)
Crawl = tuple[Facts, str]
"""The facts of a crawl and its HTTP client."""


def beside(crawls: Sequence[Crawl]) -> str:
    """The page of several crawls, each with the HTTP client of its last run."""
    crawls = _with_equal_bars(crawls)
    title = f"{len(crawls):,} crawls side by side"
    names = _names([facts.out for facts, _ in crawls])
    heads = ("Crawl", *(f":{place}" for place in range(1, len(crawls) + 1)))
    listed = "".join(
        f"<li>{place}: <code>{remote(name)}</code>, {state(facts)}{when(facts)}</li>"
        for place, (name, (facts, _)) in enumerate(zip(names, crawls, strict=True), 1)
    )
    main = [
        section("work", "The work", f"<p>{_same(crawls)}</p>" + card(table(heads, _rows(crawls), "Crawls"))),
        section("reasons", "How URLs ended", card(table(heads, _ends(crawls), "Ends"))),
        section("throughput", "Throughput, on equal axes", _figures(crawls, names)),
        section("conditions", "Settings that differ", _settings(crawls, heads)),
    ]
    called = crawls[0][0].command
    command = f"{called} report {shlex.join([*(facts.out for facts, _ in crawls), '-o', 'FILE'])}"
    top = f"<h1>{title}</h1><ul>{listed}</ul><p class=note>{NO_CLAIM.format(command=escape(called))}</p>"
    written = moment(max(facts.taken_at for facts, _ in crawls))
    foot = f"Written {written}; again by <code>{remote(command, 1000)}</code>."
    return frame(STYLE, title, top, "\n".join(main), foot)


def _with_equal_bars(crawls: Sequence[Crawl]) -> list[Crawl]:
    width = max((facts.pace.width for facts, _ in crawls if facts.pace.bars), default=1.0)
    return [(replace(facts, pace=facts.pace.rebinned(width)), client) for facts, client in crawls]


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
    width = crawls[0][0].pace.width
    cells: list[dict[str, str]] = [
        {
            "state": state(facts),
            **figures(facts),
            f"URLs/s in the busiest {width:g} s": number(peak(facts.pace)) if facts.pace.bars else NOTHING,
            "shortest rest of a host": smallest(facts.audit),
            "hosts asked too soon": f"{facts.audit.breaches:,} of {facts.audit.owed_rest:,}",
            "runs": f"{facts.manifest.runs:,}",
            "mode": remote(str(facts.manifest.settings.get("mode", "async"))),
            "client": remote(client),
            "store": remote(str(facts.manifest.settings.get("store", "sqlite"))),
            "digest": f"<code>{remote(facts.tally.digest)}</code>",
        }
        for facts, client in crawls
    ]
    return [[name, *(f'<span class="fold">{one[name]}</span>' for one in cells)] for name in cells[0]]


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
