"""The report as Markdown: the same sentences and tables, without the pictures. Pure: text in, text out."""

from __future__ import annotations

from collections.abc import Sequence

from crawler.compare.html_report import findings
from crawler.compare.html_report.book import Book, Section, Table
from crawler.compare.html_report.method import WORDS, blind_spots, how
from crawler.compare.html_report.summary import ENGINE, banners, heads, machine, provenance, summary, title


def markdown(book: Book, sections: Sequence[Section]) -> str:
    """The whole report."""
    found, site = book.found, book.session.site
    parts = [f"# {plain(title(book.session))}", plain(machine(book.session))]
    parts += [f"**{mark.capitalize()}.** {plain(text)}" for mark, text in banners(book)]
    if found.headline:
        head = [f"{name} ({unit})" if unit else name for name, unit in heads(book).items()]
        rows = [
            [" with ".join(filter(None, row.pop(ENGINE))), *(" ".join(cell).strip() for cell in row.values())]
            for row in summary(book)
        ]
        parts.append(tabled(Table(head, rows)))
    parts.append(_list(findings.summary(found)))
    for section in sections:
        for figure in section.figures:
            parts += [f"## {plain(section.name)}", f"**{plain(figure.title)}**", plain(figure.question)]
            parts += [plain(figure.remark)] if figure.remark else []
            parts += [tabled(figure.table), f"*{plain(figure.foot)}*"]
    parts += ["## Words", _list([f"{word}: {meaning}" for word, meaning in WORDS.items()])]
    parts += ["## Method", _list(how(site)), "## What this cannot show", _list(blind_spots(site))]
    missing = [f"{section.name}: {section.missing}" for section in sections if not section.figures]
    if missing:
        parts += ["## Left out", _list(missing)]
    parts += ["## Where it ran", _list([f"{name}: {text}" for name, text in provenance(book.session).items()])]
    return "\n\n".join(parts) + "\n"


def plain(text: str) -> str:
    """Text on one line, escaped for Markdown and HTML."""
    line = " ".join(text.split())
    for letter in "\\`*_[]<>|":
        line = line.replace(letter, "\\" + letter)
    return line


def tabled(table: Table) -> str:
    """A table in Markdown, its cells escaped."""
    head = [name.removeprefix(":") for name in table.head]
    lines = [[plain(cell) for cell in line] for line in (head, *table.rows)]
    lines.insert(1, ["---"] * len(table.head))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"- {plain(line)}" for line in lines)
