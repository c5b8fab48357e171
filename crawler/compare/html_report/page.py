"""The report as one self-contained HTML page: no font, no request, one script. Pure: text in, text out.

Rules, and why:
- All external text (names, details, commands, the environment) passes `escape`, here or in the figures.
- The only script is that of the calculator, and only where there is one; all else is in the page without it.
- Figures are static drawings, made once: a marker shows its value as a tooltip, the table below has every number, and
  `trials.csv` every trial.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from crawler.compare.html_report import findings
from crawler.compare.html_report.book import Book, Figure, Section
from crawler.compare.html_report.calculator import SCRIPT
from crawler.compare.html_report.method import blind_spots, conditions_of_claims, how, on_site
from crawler.compare.html_report.summary import ENGINE, VERDICT, heads, machine, provenance, summary, title
from crawler.report.html import frame, listed, section, table
from crawler.report.svg import NARROW, WIDE, escape, mark

STYLE = Path(__file__).with_name("comparison.css")
LONG = 48
"""A cell with more letters may be broken into lines."""
GLYPHS = {"faster": "▲", "slower": "▼", "equivalent": "≈", "inconclusive": "?", "too few blocks": "…"}


def page(book: Book, sections: Sequence[Section]) -> str:
    """The whole page."""
    shown = [part for part in sections if part.figures]
    parts = [section(part.key, part.name, "\n".join(_figure(book, one) for one in part.figures)) for part in shown]
    left_out = [part for part in sections if not part.figures]
    main = "\n".join([_nav(shown), *parts, _method(book, left_out)])
    foot = (
        "<p>Rebuilt from the raw trials at any time: <code>python -m crawler compare report DIR</code>. "
        f"SHA-256 of the trials: <code>{escape(book.data)}</code>.</p>"
    )
    name = escape(title(book.session))
    kind = "" if book.found.firm else ' class="draft"'
    script = SCRIPT.read_text(encoding="utf-8") if any(one.form for part in shown for one in part.figures) else ""
    return frame(STYLE, name, f"<h1>{name}</h1>\n{_top(book)}", main, foot, kind, script)


def _top(book: Book) -> str:
    found, site = book.found, book.session.site
    parts = [f"<p class=note>{escape(machine(book.session))}</p>"]
    if not found.firm:
        why = escape(conditions_of_claims(found))
        parts.append(f'<p class=note><span class="mark">exploratory: no claims</span> {why}</p>')
    if site:
        parts.append(f'<p class=note><span class="mark">a live site</span> {escape(on_site(site))}</p>')
    if found.headline:
        parts.append(_summary(book))
    parts.append(_list(findings.summary(found), "findings"))
    return "\n".join(parts)


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
    return f'<nav aria-label="Sections"><ul>{links}<li><a href="#method">Method and threats</a></li></ul></nav>'


def _figure(book: Book, figure: Figure) -> str:
    """A figure with its table, which is collapsed where there is a drawing."""
    drawn = "".join(f"<div>{draw(figure.wide)}{draw(NARROW)}</div>" for draw in figure.drawings)
    numbers = _table(figure)
    if drawn:
        two = " two" if figure.wide < WIDE else ""
        drawn = f'{_legend(book.index, figure.legend)}<div class="panels{two}">{drawn}</div>'
        numbers = f"<details><summary>The numbers</summary>{numbers}</details>"
    said = f"<h3>{escape(figure.title)}</h3><p class=question>{escape(figure.question)}</p>"
    return (
        f"<figure><figcaption>{said}</figcaption>{drawn}{figure.form}"
        f"<p class=note>How to read it: {escape(figure.reading)}</p>{numbers}"
        f"<footer>{escape(figure.foot)}<br><code>{escape(book.session.command)}</code></footer></figure>"
    )


def _legend(index: Mapping[str, int], where: str) -> str:
    keys = "".join(f"<li>{_key(at)} {escape(name)}</li>" for name, at in index.items())
    return f'<ul class="legend {where}">{keys}</ul>' if where else ""


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
        "Method and threats",
        f"<h3>How it was measured</h3>{_list(how(site))}"
        f'<div class="threats"><h3>What this cannot show</h3>{_list(blind_spots(site))}</div>'
        + (f"<h3>Left out</h3>{missing}" if left_out else "")
        + f"<h3>Where it ran</h3>{listed(ran)}",
    )


def _list(lines: Sequence[str], kind: str = "plain") -> str:
    return f'<ul class="{kind}">{"".join(f"<li>{escape(line)}</li>" for line in lines)}</ul>'
