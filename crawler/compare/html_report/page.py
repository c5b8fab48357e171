"""The report as one self-contained HTML page: no font, no request, one script. Pure: text in, text out.

Rules, and why:
- All external text (names, details, commands, the environment) passes `escape`, here or in the figures.
- The only script is that of the calculator, and only where there is one; all else is in the page without it.
- Figures are static drawings, made once: a marker shows its value as a tooltip, the table below has every number, and
  `trials.csv` every metric of every trial.
- The legend and the text on how to read a figure are made from what is drawn: they explain nothing that is not there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from crawler.compare.html_report import findings
from crawler.compare.html_report.book import KEYS, Book, Figure, Section, keys
from crawler.compare.html_report.calculator import SCRIPT
from crawler.compare.html_report.method import WORDS, blind_spots, how
from crawler.compare.html_report.summary import ENGINE, VERDICT, banners, heads, machine, provenance, summary, title
from crawler.report.html import frame, listed, section, table
from crawler.report.svg import colour, escape, mark

STYLE = Path(__file__).with_name("comparison.css")
LONG = 30
"""A cell with more letters may be broken into lines."""
MANY = 24
"""A table with more rows is collapsed."""
GLYPHS = {"faster": "▲", "slower": "▼", "equivalent": "≈", "inconclusive": "?", "too few blocks": "…"}


def page(book: Book, sections: Sequence[Section]) -> str:
    """The whole page."""
    shown = [part for part in sections if part.figures]
    parts = [section(part.key, part.name, "\n".join(_figure(book, one) for one in part.figures)) for part in shown]
    left_out = [part for part in sections if not part.figures]
    marks = keys(KEYS, [drawing for part in shown for figure in part.figures for drawing in figure.drawings])
    reading = f"<p class=note>In all figures: {escape(marks)} Each figure's numbers are in the table below it.</p>"
    main = "\n".join([_nav(shown), reading if marks else "", *parts, _method(book, left_out)])
    foot = (
        f"<p>Rebuilt from the raw trials at any time: <code>{escape(book.called)} compare report DIR</code>. "
        f"SHA-256 of the trials: <code>{escape(book.data)}</code>.</p>"
    )
    name = escape(title(book.session))
    kind = "" if book.found.firm else ' class="draft"'
    script = SCRIPT.read_text(encoding="utf-8") if any(one.form for part in shown for one in part.figures) else ""
    return frame(STYLE, name, f"<h1>{name}</h1>\n{_top(book)}", main, foot, kind, script)


def _top(book: Book) -> str:
    warned = [f'<span class="mark">{mark}</span> {escape(text)}' for mark, text in banners(book)]
    parts = [f"<p class=note>{text}</p>" for text in (escape(machine(book.session)), *warned)]
    if book.found.headline:
        parts.append(_summary(book))
    return "\n".join([*parts, _list(findings.summary(book.found), "findings")])


def _summary(book: Book) -> str:
    """The table of the first screen. Its cells repeat the head of their column, which a small screen shows instead."""
    head = "".join(
        f'<th scope="col"{_text(name)}>{escape(name)}<small>{escape(unit)}</small></th>'
        for name, unit in heads(book).items()
    )
    rows = []
    for cells in summary(book):
        arm, client = cells.pop(ENGINE)
        named = f'<span class="engine">{_key(book.index[arm])} {escape(arm)}</span><small>{escape(client)}</small>'
        drawn = "".join(
            f'<td data-name="{escape(name)}"{_text(name)}>{_value(name, *cell)}</td>' for name, cell in cells.items()
        )
        kind = " class=twin" if arm == book.found.twin else ""
        rows.append(f'<tr{kind}><th scope="row">{named}</th>{drawn}</tr>')
    drawn = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return f'<div class="summary scroll" role="region" aria-label="Summary" tabindex="0">{drawn}</div>'


def _text(name: str) -> str:
    return " class=text" if name == VERDICT else ""


def _value(name: str, value: str, below: str) -> str:
    if name == VERDICT and value in GLYPHS:
        return f'<span class="word {value}">{GLYPHS[value]} {value}</span>'
    return f"{escape(value)}<small>{escape(below)}</small>" if value else ""


def _key(index: int) -> str:
    """The engine's marker, for text."""
    return f'<svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">{mark(index, 8, 8, 5.5, "m")}</svg>'


def _nav(shown: Sequence[Section]) -> str:
    links = "".join(f'<li><a href="#{escape(part.key)}">{escape(part.name)}</a></li>' for part in shown)
    return f'<nav aria-label="Sections"><ul>{links}<li><a href="#method">Method, words and limits</a></li></ul></nav>'


def _figure(book: Book, figure: Figure) -> str:
    """A figure with its table, which is collapsed where there is a drawing or where it is long."""
    numbers, told = _table(figure), figure.reading
    reading = f"<p class=note>How to read it: {escape(told)}</p>" if told else ""
    if figure.drawings or len(figure.table.rows) > MANY:
        numbers = f"<details><summary>The numbers</summary>{numbers}</details>"
    if figure.drawings:
        drawn = "".join(f"<div>{drawing}</div>" for drawing in figure.drawings)
        reading = f'{_legend(book.index, figure)}<div class="panels">{drawn}<div>{reading}</div></div>'
    said = f"<h3>{escape(figure.title)}</h3><p class=question>{escape(figure.question)}</p>"
    foot = f"<footer>{escape(figure.foot)}</footer>"
    return f"<figure><figcaption>{said}</figcaption>{figure.form}{reading}{numbers}{foot}</figure>"


def _legend(index: Mapping[str, int], figure: Figure) -> str:
    """The engines that are drawn, where the drawings do not name them."""
    drawn = "".join(figure.drawings)
    named = [f"<li>{_key(at)} {escape(name)}</li>" for name, at in index.items() if f' {colour(at)}"' in drawn]
    return f'<ul class="legend">{"".join(named)}</ul>' if 'class="name"' not in drawn else ""


def _table(figure: Figure) -> str:
    rows = [
        [f"<span class=said>{escape(text)}</span>" if len(text) > LONG else escape(text) for text in row]
        for row in figure.table.rows
    ]
    return table(figure.table.head, rows, f"Numbers: {figure.question}")


def _method(book: Book, left_out: Sequence[Section]) -> str:
    site = book.session.site
    ran = [(name, escape(text)) for name, text in provenance(book.session).items()]
    missing = _list([f"{part.name}: {part.missing}." for part in left_out])
    return section(
        "method",
        "Method, words and limits",
        f"<h3>Words</h3>{listed([(word, escape(meaning)) for word, meaning in WORDS.items()])}"
        f"<h3>How it was measured</h3>{_list(how(site))}"
        f'<div class="threats"><h3>What this cannot show</h3>{_list(blind_spots(site))}</div>'
        + (f"<h3>Left out</h3>{missing}" if left_out else "")
        + f"<h3>Where it ran</h3>{listed(ran)}",
    )


def _list(lines: Sequence[str], kind: str = "plain") -> str:
    return f'<ul class="{kind}">{"".join(f"<li>{escape(line)}</li>" for line in lines)}</ul>'
