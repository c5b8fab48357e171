"""The report of a merge, as Markdown and as one HTML page with the same sentences and tables. Pure."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from crawler.compare.html_report.book import Table
from crawler.compare.html_report.markdown import plain, tabled
from crawler.report import html
from crawler.report.svg import escape

STYLE = Path(__file__).parent / "html_report" / "comparison.css"
TITLE = "One comparison on several machines"
RATES, RATIOS = "Pages/s at the headline", "Pages/s against the base"


class MergeReport(NamedTuple):
    """What a merge says: one sentence, a line for each machine, the pages/s, the ratios."""

    said: str
    machines: list[str]
    rates: Table
    ratios: Table


def markdown(merged: MergeReport) -> str:
    """The report as Markdown."""
    parts = [
        f"# {TITLE}",
        merged.said,
        "\n".join(f"- {plain(line)}" for line in merged.machines),
        f"## {RATES}",
        tabled(merged.rates),
        f"## {RATIOS}",
        tabled(merged.ratios),
    ]
    return "\n\n".join(parts) + "\n"


def page(merged: MergeReport) -> str:
    """The report as HTML."""
    machines = "".join(f"<li>{escape(line)}</li>" for line in merged.machines)
    top = f"<h1>{TITLE}</h1><p>{escape(merged.said)}</p><ul>{machines}</ul>"
    main = [html.section("rates", RATES, _table(merged.rates, RATES))]
    main.append(html.section("ratios", RATIOS, _table(merged.ratios, RATIOS)))
    return html.frame(STYLE, TITLE, top, "\n".join(main), "")


def _table(table: Table, about: str) -> str:
    return html.table(table.head, [[*map(escape, row)] for row in table.rows], about)
