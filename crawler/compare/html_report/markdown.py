"""The report as Markdown: the same sentences and tables, without the pictures. Pure: text in, text out."""

from __future__ import annotations

from collections.abc import Sequence

from crawler.compare.html_report import findings
from crawler.compare.html_report.book import Book, Section, Table
from crawler.compare.html_report.method import blind_spots, conditions_of_claims, how, on_site
from crawler.compare.html_report.numbers import SHOWN, full
from crawler.compare.html_report.page import machine, title
from crawler.report.numbers import share

SUMMED = ("cpu_per_1000", "memory", "switches_per_page", "overhead_p99")


def markdown(book: Book, sections: Sequence[Section]) -> str:
    """The whole report."""
    found = book.found
    parts = [f"# {plain(title(book))}", plain(machine(book.session))]
    if not found.firm:
        parts.append(f"**Exploratory: no claims.** {conditions_of_claims(found)}")
    site = book.session.site
    if site:
        parts.append(f"**A live site.** {plain(on_site(site))}")
    if found.headline:
        parts.append(_tabled(_summary(book)))
    parts.append(_list(findings.summary(found)))
    for section in sections:
        for figure in section.figures:
            parts += [f"## {plain(section.name)}", f"**{plain(figure.title)}**", plain(figure.question)]
            parts += [_tabled(figure.table), f"*{plain(figure.foot)}*", f"*{plain(book.session.command)}*"]
    parts += ["## Method", _list(how(site)), "## What this cannot show", _list(blind_spots(site))]
    missing = [f"{section.name}: {section.missing}" for section in sections if not section.figures]
    if missing:
        parts += ["## Left out", _list(missing)]
    told = {"command": book.session.command, "seed": str(book.session.seed), **book.session.environment}
    parts += ["## Where it ran", _list([f"{key}: {text}" for key, text in told.items()])]
    return "\n\n".join(parts) + "\n"


def plain(text: str) -> str:
    """Text on one line, escaped for Markdown and HTML."""
    line = " ".join(text.split())
    for letter in "\\`*_[]<>|":
        line = line.replace(letter, "\\" + letter)
    return line


def _summary(book: Book) -> Table:
    field = book.found.headline
    assert field
    metrics = [metric for metric in SUMMED if any(metric in row.levels for row in field.rows)]
    rows = [
        [
            row.arm,
            full(row.levels[field.rate]),
            full(row.ratio) if row.ratio else "1",
            "A/A" if row.twin else row.word or "base",
            *(full(row.levels[metric], SHOWN[metric][2]) if metric in row.levels else "" for metric in metrics),
            f"{share(row.share)} of {row.ceiling}" if row.share is not None else "",
        ]
        for row in field.rows
        if field.rate in row.levels
    ]
    heads = ["engine", "pages/s", f"against {book.found.base}", "verdict", *(SHOWN[metric][0] for metric in metrics)]
    return Table([*heads, "of its ceiling"], rows)


def _tabled(table: Table) -> str:
    lines = [table.head, ["---"] * len(table.head), *table.rows]
    return "\n".join(
        "| " + " | ".join(cell if cell == "---" else plain(cell) for cell in line) + " |" for line in lines
    )


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"- {plain(line)}" for line in lines)
