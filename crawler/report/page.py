"""The report of one crawl as a self-contained HTML page: no script, no font, no request. Pure.

Rules:
- A Content-Security-Policy forbids the page to load anything. Remote text passes `remote` or `url`.
- A number is shown with its conditions. Facts that the stored data cannot show are named where a reader expects them.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from crawler.report.broken_links import broken_links
from crawler.report.conditions import conditions, whereabouts
from crawler.report.drawing import peak, throughput
from crawler.report.facts import TOP, Facts, FetchFacts, HostFacts
from crawler.report.html import (
    NOTHING,
    bar,
    card,
    contents,
    frame,
    moment,
    remote,
    section,
    shared_origin,
    table,
    url,
)
from crawler.report.numbers import counted, lasting, number, trimmed
from crawler.report.politeness_html import politeness
from crawler.report.top import FINE, not_fine, top
from crawler.system.text import duration, format_bytes

STYLE = Path(__file__).with_name("crawl.css")
LEGEND = '<div class="legend"><span><i></i>ok or a redirect</span><span><i class="other"></i>anything else</span></div>'


def page(facts: Facts, client: str) -> str:
    """The whole page. `client` is the HTTP client of the last run, from its settings."""
    title = f"Crawl of {remote(_subject(facts), 80)}"
    parts = [
        ("throughput", "Throughput", _throughput(facts)),
        ("ends", "How URLs ended", _ends(facts)),
        ("errors", "Errors", _troubles(facts)),
        ("hosts", "Hosts", _hosts(facts)),
        ("politeness", "Politeness", politeness(facts)),
        ("urls", "URLs that stand out", _standouts(facts)),
        ("pages", "Pages", _pages(facts)),
        ("conditions", "Conditions", conditions(facts, client)),
        ("data", "Where the data lies", whereabouts(facts)),
    ]
    shown = [(key, name, body) for key, name, body in parts if body]
    head = f"<h1>{title}</h1>{top(facts)}{contents([(key, name) for key, name, _ in shown])}"
    return frame(STYLE, title, head, "\n".join(section(*part) for part in shown), _foot(facts))


def _subject(facts: Facts) -> str:
    seeds = facts.manifest.settings.get("seeds", ())
    first = str(seeds[0]) if seeds else facts.out
    return f"{first} and {len(seeds) - 1:,} more" if len(seeds) > 1 else first


def _throughput(facts: Facts) -> str:
    pace = facts.pace
    if not pace.bars:
        return f"<p>No URL {'was fetched' if facts.over else 'has been fetched yet'}.</p>"
    runs = f" {len(pace.spans)} runs; the time between them is cut out." if len(pace.spans) > 1 else ""
    note = (
        f"On average {number(facts.rate)} URLs/s over {duration(pace.seconds)}, {number(peak(pace))} URLs/s in the"
        f" busiest {pace.width:g} s. A page counts when its last byte arrived; a URL of which no page is stored when it"
        f" was written to the disk, about a second later.{runs}"
    )
    return f"{card(LEGEND + throughput(pace))}<p class=note>{note}</p>"


def _ends(facts: Facts) -> str:
    tally = facts.tally
    if not tally.settled:
        return ""
    reasons = _shares("Reasons", "Reason", tally.reasons, FINE)
    statuses = _shares("Last status", "Status", tally.statuses, ("2", "3"))
    return f'<div class="two">{reasons}{statuses}</div>{_left_out(tally.not_followed)}'


def sections(facts: Facts) -> dict[str, str]:
    """Sections that another page shows too, by their key; "" where there is nothing to say."""
    return {
        "ends": section("ends", "How URLs ended", _ends(facts)),
        "errors": section("errors", "Errors", _troubles(facts)),
        "politeness": section("politeness", "Politeness", politeness(facts)),
        "urls": section("urls", "URLs that stand out", _standouts(facts)),
        "pages": section("pages", "Pages", _pages(facts)),
    }


def _left_out(counts: Mapping[str, int]) -> str:
    """Links on pages that were not admitted to the crawl."""
    if not counts:
        return ""
    rows = [
        [remote(kind), f"{count:,}"] for kind, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    ]
    note = "Each counts once for every page that has it; of error_page and not_html the pages count."
    name = "Links that were not followed"
    return card(table(("Why", "Links"), rows, name), name) + f"<p class=note>{note}</p>"


def _shares(name: str, what: str, counts: Mapping[str, int], fine: tuple[str, ...]) -> str:
    total = sum(counts.values())
    rows = [
        [remote(key), f"{count:,}", _share(count, total, "fine" if key.startswith(fine) else "other")]
        for key, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    ]
    return card(table((what, "URLs", ":Share"), rows, name) or "<p class=note>None: nothing answered.</p>", name)


def _share(count: int, total: int, kind: str = "fine") -> str:
    """A share as a bar and in per cent."""
    return f"{bar(count / total, kind)} {_percent(count, total)}"


def _percent(count: int, total: int) -> str:
    share = 100 * count / total
    return f"{share:.1f} %" if share >= 0.05 else "&lt; 0.1 %"


def _troubles(facts: Facts) -> str:
    if not facts.tally.settled:
        return ""
    if not facts.troubles:
        return "<p>Every URL that has ended was ok or a redirect.</p>"
    origin = shared_origin(one.url for one in facts.troubles)
    rows = [
        [
            remote(one.reason),
            f"{one.count:,}",
            str(one.status or NOTHING),
            f'<span class="said">{remote(one.detail)}</span>' if one.detail else NOTHING,
            url(one.url, origin=origin),
        ]
        for one in facts.troubles
    ]
    shown = sum(one.count for one in facts.troubles)
    rest = f"<p class=note>{not_fine(facts) - shown:,} more, of rarer kinds.</p>" if not_fine(facts) > shown else ""
    head = ("Reason", "URLs", "Status", ":Detail", ":First URL")
    return card(table(head, rows, "Errors by kind", origin)) + rest + broken_links(facts)


def _hosts(facts: Facts) -> str:
    """One table where it has room for all hosts, else the first of each order."""
    if not facts.hosts.count:
        return ""
    if facts.hosts.count <= TOP:
        return card(table(HOST_HEAD, [_host(host) for host in facts.hosts.largest], "Hosts"))
    lists = {
        "Slowest, by their mean fetch time": facts.hosts.slowest,
        "Largest, by URLs": facts.hosts.largest,
        "Most failures": facts.hosts.failing,
    }
    cards = "".join(
        card(table(HOST_HEAD, [_host(host) for host in hosts], name), name) for name, hosts in lists.items()
    )
    note = f"{counted(facts.hosts.count, 'host')} in all, {TOP} in each list. The mean of few fetches is not reliable."
    return f"<p class=note>{note}</p>{cards}"


HOST_HEAD = ("Host", "Mean fetch time", "Fetched", "Not ok", "To be fetched", "URLs known", "Stored")


def _host(host: HostFacts) -> list[str]:
    return [
        url(host.name, " host"),
        lasting(host.seconds / host.fetched) if host.fetched else NOTHING,
        f"{host.fetched:,}",
        f"{host.failed:,}",
        f"{host.owed:,}",
        f"{host.urls:,}",
        format_bytes(host.size),
    ]


def _standouts(facts: Facts) -> str:
    return _fetches("Slowest fetches", facts.slowest) + _fetches("Largest pages", facts.largest)


def _fetches(name: str, fetches: Sequence[FetchFacts]) -> str:
    origin = shared_origin(one.url for one in fetches)
    head = ("URL", "Fetch time", "Size", "Attempts", "Status", ":Reason")
    return card(table(head, [_fetch(one, origin) for one in fetches], name, origin), name)


def _fetch(one: FetchFacts, origin: str) -> list[str]:
    return [
        url(one.url, origin=origin),
        lasting(one.seconds),
        format_bytes(one.size),
        f"{one.attempts:,}",
        str(one.status or NOTHING),
        remote(one.reason),
    ]


def _pages(facts: Facts) -> str:
    return "".join(
        f'<div class="two">{pair}</div>'
        for pair in (
            _histogram("How long fetches took", ("Fetch time", "URLs"), facts.durations, lasting)
            + _histogram("How large pages are", ("Size", "Pages"), facts.sizes, format_bytes),
            _types(facts) + _depths(facts),
        )
        if pair
    )


def _histogram(
    name: str, heads: tuple[str, str], counts: tuple[tuple[float, int], ...], show: Callable[[float], str]
) -> str:
    if not counts:
        return ""
    total, so_far, rows = sum(count for _, count in counts), 0, []
    for edge, count in counts:
        so_far += count
        named = f"up to {trimmed(show(edge))}" if edge < float("inf") else "more"
        rows.append([named, f"{count:,}", _share(count, total), _percent(so_far, total)])
    return card(table((*heads, ":Share", "So far"), rows, name), name)


def _types(facts: Facts) -> str:
    if not facts.types:
        return ""
    rows = [[remote(kind or "not named", 60), f"{count:,}", format_bytes(total)] for kind, count, total in facts.types]
    return card(table(("Content type", "Pages", "Stored"), rows, "Content types"), "Content types")


def _depths(facts: Facts) -> str:
    if not facts.depths:
        return ""
    total = max(facts.tally.urls, sum(count for _, count in facts.depths))
    rows = [[f"{depth}", f"{count:,}", _share(count, total)] for depth, count in facts.depths]
    about = "Links away from a seed"
    return card(table(("Links", "URLs fetched", ":Share"), rows, about), about)


def _foot(facts: Facts) -> str:
    command = f"{facts.command} report {shlex.quote(facts.out)}"
    return f"Written {moment(facts.taken_at)}; again by <code>{remote(command, 400)}</code>. Lists end at {TOP} rows."
