"""The report of one crawl as a self-contained HTML page: no script, no font, no request. Pure.

Rules:
- A Content-Security-Policy forbids the page to load anything. Remote text passes `remote`.
- A number is shown with its conditions. Facts that the stored data cannot show are named where a reader expects them.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from pathlib import Path

from crawler.core.endings import in_words
from crawler.metrics.summary import state as state_of
from crawler.report.broken_links import broken_links
from crawler.report.conditions import conditions, whereabouts
from crawler.report.drawing import peak, throughput
from crawler.report.facts import TOP, Facts, FetchFacts, HostFacts
from crawler.report.html import NOTHING, bar, card, frame, moment, remote, section, table, url
from crawler.report.numbers import lasting, number
from crawler.report.politeness_html import politeness
from crawler.system.text import duration, format_bytes

FINE = ("ok", "redirect")
STYLE = Path(__file__).with_name("crawl.css")
LEGEND = '<div class="legend"><span><i></i>ok or a redirect</span><span><i class="other"></i>anything else</span></div>'


def page(facts: Facts, client: str) -> str:
    """The whole page. `client` is the HTTP client of the last run, from its settings."""
    title = f"Crawl of {remote(_subject(facts), 80)}"
    main = [
        section("throughput", "Throughput", _throughput(facts)),
        section("ends", "How URLs ended", _ends(facts)),
        section("errors", "Errors", _troubles(facts)),
        section("hosts", "Hosts", _hosts(facts)),
        section("politeness", "Politeness", politeness(facts)),
        section("urls", "URLs that stand out", _standouts(facts)),
        section("pages", "Pages", _pages(facts)),
        section("conditions", "Conditions", conditions(facts, client)),
        section("data", "Where the data lies", whereabouts(facts)),
    ]
    return frame(STYLE, title, f"<h1>{title}</h1>{_state(facts)}{_tiles(facts)}", "\n".join(main), _foot(facts))


def state(facts: Facts) -> str:
    """The state of the crawl, in words."""
    return state_of(facts.come_to, facts.running)


def _subject(facts: Facts) -> str:
    seeds = facts.manifest.settings.get("seeds", ())
    first = str(seeds[0]) if seeds else facts.out
    return f"{first} and {len(seeds) - 1:,} more" if len(seeds) > 1 else first


def _state(facts: Facts) -> str:
    owed = f", {facts.tally.owed:,} of {facts.tally.queued:,} URLs still owed" if facts.tally.owed else ""
    demo = " The built-in test web." if facts.manifest.demo else ""
    missed = f" (missed: {in_words(facts.missed)})" if facts.missed else ""
    text = f"{state(facts)}{missed}{owed}, as of {moment(facts.taken_at)}.{demo} <code>{remote(facts.out)}</code>"
    return f'<p class="state">{text}</p>'


def _tiles(facts: Facts) -> str:
    tally = facts.tally
    bad = sum(count for reason, count in tally.reasons.items() if reason not in FINE)
    values = {
        "URLs fetched": f"{tally.urls:,}",
        "pages stored": f"{tally.pages:,}",
        "bytes, decoded": format_bytes(tally.bytes),
        "URLs/s, mean": number(facts.rate) if facts.rate else NOTHING,
        "active time": duration(facts.pace.seconds),
        "hosts": f"{facts.hosts.count:,}",
        "ended otherwise": f"{bad:,}",
        "retries": f"{tally.retries:,}",
    }
    tiles = "".join(f"<div><b>{value}</b><span>{name}</span></div>" for name, value in values.items())
    return f'<div class="tiles">{tiles}</div>'


def _throughput(facts: Facts) -> str:
    pace = facts.pace
    if not pace.bars:
        return "<p>No URL has been fetched yet.</p>"
    runs = f" {len(pace.spans)} runs; the time between them is cut out." if len(pace.spans) > 1 else ""
    note = (
        f"On average {number(facts.rate)} URLs/s over {duration(pace.seconds)}, {number(peak(pace))} URLs/s in the"
        f" busiest {pace.width:g} s. A URL counts when it was committed, up to a second after its answer.{runs}"
    )
    return f"{card(LEGEND + throughput(pace))}<p class=note>{note}</p>"


def _ends(facts: Facts) -> str:
    tally = facts.tally
    if not tally.settled:
        return ""
    reasons = _shares("Reasons", "reason", tally.reasons, FINE)
    statuses = _shares("Last status", "status", tally.statuses, ("2", "3"))
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
    return (
        card(table(("why", "links"), rows, "Links seen and not followed"), "Not followed") + f"<p class=note>{note}</p>"
    )


def _shares(name: str, what: str, counts: Mapping[str, int], fine: tuple[str, ...]) -> str:
    total = sum(counts.values())
    rows = [
        [
            remote(key),
            f"{count:,}",
            bar(count / total, "fine" if key.startswith(fine) else "other"),
            _percent(count, total),
        ]
        for key, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    ]
    return card(table((what, "URLs", ":share", ""), rows, name) or "<p class=note>None: nothing answered.</p>", name)


def _percent(count: int, total: int) -> str:
    share = 100 * count / total
    return f"{share:.1f} %" if share >= 0.05 else "&lt; 0.1 %"


def _troubles(facts: Facts) -> str:
    if not facts.tally.settled:
        return ""
    if not facts.troubles:
        return "<p>Every URL that was settled was ok or a redirect.</p>"
    rows = [
        [
            remote(one.reason),
            f"{one.count:,}",
            str(one.status or NOTHING),
            f'<span class="said">{remote(one.detail)}</span>' if one.detail else NOTHING,
            url(one.url),
        ]
        for one in facts.troubles
    ]
    shown = sum(one.count for one in facts.troubles)
    every = sum(count for reason, count in facts.tally.reasons.items() if reason not in FINE)
    rest = f"<p class=note>{every - shown:,} more, of rarer kinds.</p>" if every > shown else ""
    head = ("reason", "URLs", "status", ":detail", ":first URL")
    return card(table(head, rows, "Errors by kind")) + rest + broken_links(facts)


def _hosts(facts: Facts) -> str:
    lists = {
        "Slowest, by their mean": facts.hosts.slowest,
        "Largest, by URLs": facts.hosts.largest,
        "Most failures": facts.hosts.failing,
    }
    cards = "".join(
        card(table(HOST_HEAD, [_host(host) for host in hosts], name), name) for name, hosts in lists.items()
    )
    note = f"<p class=note>{facts.hosts.count:,} in all; a mean of few fetches is not reliable.</p>"
    return note + cards if cards else ""


HOST_HEAD = ("host", "a fetch", "fetched", "not ok", "owed", "URLs", "stored")


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
    lists = {"Slowest": facts.slowest, "Largest": facts.largest}
    head = ("URL", "took", "stored", "attempts", "status", ":reason")
    return "".join(card(table(head, [_fetch(one) for one in fetches], name), name) for name, fetches in lists.items())


def _fetch(one: FetchFacts) -> list[str]:
    status = str(one.status or NOTHING)
    return [url(one.url), lasting(one.seconds), format_bytes(one.size), f"{one.attempts:,}", status, remote(one.reason)]


def _pages(facts: Facts) -> str:
    return "".join(
        f'<div class="two">{pair}</div>'
        for pair in (
            _histogram("How long fetches took", facts.durations, lasting)
            + _histogram("How large pages are", facts.sizes, format_bytes),
            _types(facts) + _depths(facts),
        )
        if pair
    )


def _histogram(name: str, counts: tuple[tuple[float, int], ...], show: Callable[[float], str]) -> str:
    if not counts:
        return ""
    total, most, so_far, rows = sum(count for _, count in counts), max(count for _, count in counts), 0, []
    for edge, count in counts:
        so_far += count
        named = f"up to {show(edge)}" if edge < float("inf") else "more"
        rows.append([named, f"{count:,}", bar(count / most, "fine"), _percent(so_far, total)])
    return card(table(("", "", ":", "so far"), rows, name), name)


def _types(facts: Facts) -> str:
    if not facts.types:
        return ""
    rows = [[remote(kind or "not named", 60), f"{count:,}", format_bytes(total)] for kind, count, total in facts.types]
    return card(table(("type", "pages", "stored"), rows, "Content types"), "Content types")


def _depths(facts: Facts) -> str:
    if not facts.depths:
        return ""
    most = max(count for _, count in facts.depths)
    rows = [[f"{depth}", f"{count:,}", bar(count / most, "fine")] for depth, count in facts.depths]
    about = "Links away from a seed"
    return card(table(("depth", "fetched", ":"), rows, about), about)


def _foot(facts: Facts) -> str:
    command = f"python -m crawler report {shlex.quote(facts.out)}"
    return f"Written again by <code>{remote(command, 400)}</code>. Lists end at {TOP}."
