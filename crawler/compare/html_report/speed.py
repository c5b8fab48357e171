"""The sections about pages a second: headline, pairs, politeness. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping

from crawler.compare import analysis
from crawler.compare.analysis import Blocks
from crawler.compare.fields import Field
from crawler.compare.html_report import findings
from crawler.compare.html_report.book import Book, Figure, Table
from crawler.compare.html_report.figures import Lane, forest, lanes
from crawler.compare.html_report.numbers import full
from crawler.compare.intervals import Estimate
from crawler.report.numbers import number, share
from crawler.report.svg import escape

UNIT = "pages/s"
RULE = (
    "With five blocks or more, an interval wholly outside it is a difference, one wholly inside is a tie unless noise "
    "made the band wider than 3 %, and one across its edge stays open."
)
MEANINGS = {
    "Little's law": "Little's law is slots / latency, which no engine can exceed.",
    "raw client loop": "The raw client loop throws its pages away.",
}


def headline(book: Book) -> tuple[list[Figure], str]:
    """Throughput against its ceilings; with no figure, why there is none."""
    field = book.found.headline
    if not field:
        return [], "no valid trial of a headline condition"
    ceilings = dict(field.ceilings)
    if field.raw:
        ceilings["raw client loop"] = field.raw.value
    rows = book.compared(field, ("cold_rate",))
    rows += [[f"the CPU roof of {row.arm}", number(row.roof), "", "", ""] for row in field.rows if row.roof < math.inf]
    rows += [[name, number(rate), "", "", ""] for name, rate in ceilings.items()]
    title, against = findings.headline(field, book.found.base), f"ratio to {book.found.base}"
    unit = f"{UNIT}, {'in the steady window' if field.rate == 'steady_rate' else 'start to exit'}"
    drawn = lanes(book.lanes(field, field.rate), unit, number, ceilings, title)
    figure = Figure(
        title,
        "How many pages a second does each engine store, and what stands in its way?",
        [drawn],
        " ".join(said for name, said in MEANINGS.items() if escape(name) in drawn),
        Table(["engine or ceiling", "pages/s [95 %]", against, "verdict", "from a cold start [95 %]"], rows),
        book.foot([field.condition]),
    )
    return [figure], ""


def pairs(book: Book) -> tuple[list[Figure], str]:
    """The forest plot of all pairs; with no figure, why there is none."""
    field = book.found.headline
    if not field or not field.pairs:
        return [], "fewer than two engines share a block of the headline condition"
    rates = {row.arm: row.values[field.rate] for row in field.rows if field.rate in row.values}
    drawn = [_pair(book, rates, pair.a, pair.b, pair.ratio) for pair in field.pairs]
    twin = bool(field.twin and book.found.twin in rates)
    if field.twin and twin:
        drawn.insert(0, _pair(book, rates, book.found.twin, book.found.base, field.twin))
    rows = [[f"{pair.a} / {pair.b}", full(pair.ratio), share(pair.wins), pair.word] for pair in field.pairs]
    if field.twin:
        rows.insert(0, [f"{book.found.twin} / {book.found.base}", full(field.twin), "", "A/A: the noise floor"])
    title = findings.forest(field)
    figure = Figure(
        title,
        "Which differences are real?",
        [forest(drawn, field.margin, title)],
        f"The band is ± {100 * field.margin:.2g} %. {RULE}" + (" The first row compares an engine to itself." * twin),
        Table(["pair", "ratio [95 %]", "ahead in blocks", "verdict"], rows),
        book.foot([field.condition]),
    )
    return [figure], ""


def _pair(book: Book, rates: Mapping[str, Blocks], a: str, b: str, ratio: Estimate) -> Lane:
    values = [math.exp(log) for log in analysis.log_ratios(rates[a], rates[b])]
    return Lane(book.index[a], f"{a} / {b}", values, ratio)


def graph(book: Book, field: Field) -> Figure:
    """A crawl that must discover its pages, against the limit of any crawl of that web."""
    return _limited(
        book,
        field,
        "the graph",
        findings.graph(field, book.found.base),
        "How near does each engine come to the fastest possible crawl of a web that has to be discovered?",
        "No crawl of this web can be faster than all its answers, as many at once as there are slots (Brent), nor than "
        "its longest chain of links (Graham). The gap to that is the engine's.",
    )


def polite(book: Book, field: Field) -> Figure:
    """The regime in which politeness is the limit, not the engine."""
    return _limited(
        book,
        field,
        "politeness",
        findings.polite(field),
        "Does the engine matter for a polite crawl?",
        "Politeness allows hosts / delay. Equivalent means shown to be equal, by an interval wholly inside ± 3 %.",
    )


def _limited(book: Book, field: Field, limit: str, title: str, question: str, remark: str) -> Figure:
    """Throughput of a whole crawl, which one limit bounds for every engine."""
    ceilings = {name: rate for name, rate in field.ceilings.items() if name == limit}
    unit = f"{UNIT}, first request to last answer" if field.rate == "crawl_rate" else UNIT
    drawn = book.lanes(field, field.rate)
    bound, against = ceilings.get(limit, math.inf), f"ratio to {book.found.base}"
    reached = [share(row.levels[field.rate].value / bound) for row in field.rows if field.rate in row.levels]
    rows = [[*row, part] for row, part in zip(book.compared(field, ("cpu_per_1000", "memory")), reached, strict=True)]
    return Figure(
        title,
        question,
        [lanes(drawn, unit, number, ceilings, title)],
        remark,
        Table(["engine", "pages/s [95 %]", against, "verdict", "CPU", "memory", "share of the possible"], rows),
        book.foot([field.condition]),
    )
