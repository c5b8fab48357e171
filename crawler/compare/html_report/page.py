"""The report as one self-contained HTML page: no script, no font, no request. Pure: text in, text out.

Rules, and why:
- All external text (names, details, commands, the environment) passes `escape`, here or in the figures.
- A Content-Security-Policy forbids the page to load or run anything, so the browser enforces that it works offline.
- Figures are static drawings, made once: a marker shows its value as a tooltip, the table below has every number, and
  `trials.csv` every trial.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from string import Template

from crawler.compare.html_report import findings
from crawler.compare.html_report.book import Book, Figure, Section, Table
from crawler.compare.html_report.method import blind_spots, conditions_of_claims, how, on_site
from crawler.compare.html_report.numbers import SHOWN, full, span
from crawler.compare.intervals import Estimate
from crawler.compare.records import Session
from crawler.compare.results import Field, Results, Row
from crawler.report.numbers import Show, number, share
from crawler.report.svg import NARROW, WIDE, Axis, box, escape, mark, rule

PAGE = Path(__file__).with_name("page.html")
SUMMED = {
    "cpu_per_1000": ("CPU", "s / 1,000 pages"),
    "memory": ("Memory", "peak PSS"),
    "switches_per_page": ("Switches", "per page"),
    "overhead_p99": ("Overhead", "added, p99"),
}


def page(book: Book, sections: Sequence[Section]) -> str:
    """The whole page."""
    session, found = book.session, book.found
    shown = [section for section in sections if section.figures]
    left_out = [section for section in sections if not section.figures]
    main = [_nav(shown), *(_section(book, section) for section in shown), _method(session, found, left_out, book.data)]
    return Template(PAGE.read_text(encoding="utf-8")).substitute(
        title=escape(title(book)),
        kind="" if found.firm else ' class="draft"',
        top=_top(book),
        main="\n".join(main),
        foot=f"<p>Rebuilt from the raw trials at any time: <code>python -m crawler compare report DIR</code>. "
        f"SHA-256 of the trials: <code>{escape(book.data)}</code>.</p>",
    )


def title(book: Book) -> str:
    """The title: what was compared."""
    names = [arm.name for arm in book.session.arms if not arm.twin_of]
    return f"{', '.join(names[:-1])} and {names[-1]}, compared" if len(names) > 1 else "A comparison"


def machine(session: Session) -> str:
    """The hardware line."""
    made = datetime.fromtimestamp(session.created_at, UTC)
    told = [
        session.environment.get(key, "") for key in ("cpu", "machine", "cores", "memory", "python", "system", "kernel")
    ]
    told = [f"{text} cores" if text and text == session.environment.get("cores") else text for text in told if text]
    return " · ".join([f"{made:%d %B %Y, %H:%M} UTC", f"preset {session.preset}", *told])


def _top(book: Book) -> str:
    found = book.found
    parts = [f'<p class="machine">{escape(machine(book.session))}</p>']
    if not found.firm:
        why = conditions_of_claims(found)
        parts.append(f'<p class="why"><span class="mark">exploratory: no claims</span> {escape(why)}</p>')
    if site := book.session.site:
        parts.append(f'<p class="why"><span class="mark">a live site</span> {escape(on_site(site))}</p>')
    if found.headline:
        parts.append(_summary(book, found.headline))
    said = "".join(f"<li>{escape(sentence)}</li>" for sentence in findings.summary(found))
    parts.append(f'<ul class="findings">{said}</ul>')
    return "\n".join(parts)


def _summary(book: Book, field: Field) -> str:
    """The table of the first screen."""
    base = book.found.base
    ratios = [end for row in field.rows if row.ratio for end in (row.ratio.low, row.ratio.high) if 0 < end < math.inf]
    reach = min(8.0, max([1.2, *(max(end, 1 / end) for end in ratios)]) * 1.05)
    metrics = [metric for metric in SUMMED if any(metric in row.levels for row in field.rows)]
    heads = ["Engine", "Pages/s", f"Against {base}", "", *(SUMMED[metric][0] for metric in metrics), "Reached"]
    units = [
        "",
        "95 % interval",
        "ratio, 95 % interval",
        "verdict",
        *(SUMMED[metric][1] for metric in metrics),
        "of its ceiling",
    ]
    head = "".join(
        f'<th scope="col"{" class=text" if name == "" else ""}>{escape(name)}<small>{escape(unit)}</small></th>'
        for name, unit in zip(heads, units, strict=True)
    )
    body = "".join(_summary_row(book, field, row, metrics, reach) for row in field.rows if field.rate in row.levels)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="summary scroll" role="region" aria-label="Summary" tabindex="0">{table}</div>'


def _summary_row(book: Book, field: Field, row: Row, metrics: Sequence[str], reach: float) -> str:
    client = next((arm.client for arm in book.session.arms if arm.name == row.arm), "")
    level = row.levels[field.rate]
    word = "A/A" if row.twin else row.word or "base"
    named = f'<span class="engine">{_key(book.index[row.arm])} {escape(row.arm)}</span><small>{escape(client)}</small>'
    cells = {
        "Pages/s": _level(level, number),
        f"Against {book.found.base}": _mini(book.index[row.arm], row.ratio, field.rope, reach),
        "Verdict": GLYPHS.get(word, escape(word)),
        **{
            SUMMED[metric][0]: _level(row.levels[metric], SHOWN[metric][2]) if metric in row.levels else ""
            for metric in metrics
        },
        "Reached": f"{share(row.share)}<small>of {escape(row.ceiling)}</small>" if row.share is not None else "",
    }
    drawn = "".join(
        f'<td data-name="{escape(name)}"{" class=text" if name == "Verdict" else ""}>{cell}</td>'
        for name, cell in cells.items()
    )
    return f'<tr{" class=twin" if row.twin else ""}><th scope="row">{named}</th>{drawn}</tr>'


def _level(level: Estimate, show: Show) -> str:
    return f"{escape(show(level.value))}<small>{escape(span(level, show))}</small>"


GLYPHS = {
    word: f'<span class="word {word}">{glyph} {word}</span>'
    for word, glyph in {"faster": "▲", "slower": "▼", "equivalent": "≈", "inconclusive": "?"}.items()
}


def _mini(index: int, ratio: Estimate | None, rope: float, reach: float) -> str:
    """The ratio as a small picture of one line's height, its numbers below."""
    if ratio is None:
        return "1<small>the base</small>"
    axis = Axis(1 / reach, reach, 4, 156, log=True)
    low, high = axis.at(1 / (1 + rope)), axis.at(1 + rope)
    drawn = box(low, 0, high - low, 18, "band") + rule(axis.at(1), 0, axis.at(1), 18, "one")
    if ratio.known:
        drawn += rule(axis.at(ratio.low), 9, axis.at(ratio.high), 9, "ci")
    drawn += mark(index, axis.at(ratio.value), 9, 4.5, "m")
    picture = f'<svg class="mini" viewBox="0 0 160 18" width="160" height="18" aria-hidden="true">{drawn}</svg>'
    return f"{picture}<small>{escape(full(ratio))}</small>"


def _key(index: int) -> str:
    """The engine's marker, for text."""
    return f'<svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">{mark(index, 8, 8, 5.5, "m")}</svg>'


def _nav(shown: Sequence[Section]) -> str:
    links = "".join(f'<li><a href="#{escape(section.key)}">{escape(section.name)}</a></li>' for section in shown)
    return f'<nav aria-label="Sections"><ul>{links}<li><a href="#method">Method and threats</a></li></ul></nav>'


def _section(book: Book, section: Section) -> str:
    figures = "\n".join(_figure(book, figure) for figure in section.figures)
    return f'<section id="{escape(section.key)}"><h2>{escape(section.name)}</h2>\n{figures}</section>'


def _figure(book: Book, figure: Figure) -> str:
    drawn = "".join(f"<div>{draw(figure.wide)}{draw(NARROW)}</div>" for draw in figure.drawings)
    two = " two" if figure.wide < WIDE else ""
    said = f"<h3>{escape(figure.title)}</h3><p class=question>{escape(figure.question)}</p>"
    return (
        f"<figure><figcaption>{said}</figcaption>"
        f'{_legend(book.index, figure.legend)}<div class="panels{two}">{drawn}</div>'
        f"<p class=read>How to read it: {escape(figure.reading)}</p>{_table(figure.table, figure.question)}"
        f"<footer>{escape(figure.foot)}<br><code>{escape(book.session.command)}</code></footer></figure>"
    )


def _legend(index: Mapping[str, int], where: str) -> str:
    if not where:
        return ""
    keys = "".join(f"<li>{_key(at)} {escape(name)}</li>" for name, at in index.items())
    return f'<ul class="legend {where}">{keys}</ul>'


def _table(table: Table, about: str) -> str:
    """The table under a figure, collapsed until opened."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in table.head)
    rows = []
    for row in table.rows:
        cells = [f'<th scope="row">{escape(row[0])}</th>'] if row else []
        cells += [f"<td{' class=long' if len(text) > 48 else ''}>{escape(text)}</td>" for text in row[1:]]
        rows.append(f"<tr>{''.join(cells)}</tr>")
    label = escape(f"Numbers: {about}")
    drawn = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    region = f'<div class="scroll" role="region" tabindex="0" aria-label="{label}">{drawn}</div>'
    return f"<details><summary>The numbers</summary>{region}</details>"


def _method(session: Session, found: Results, left_out: Sequence[Section], data: str) -> str:
    told = {"command": session.command, "seed": str(session.seed), "blocks": _blocks(session), **session.environment}
    listed = "".join(f"<dt>{escape(key)}</dt><dd>{escape(text)}</dd>" for key, text in told.items())
    missing = "".join(f"<li>{escape(section.name)}: {escape(section.missing)}.</li>" for section in left_out)
    absent = f"<h3>Left out</h3><ul class=plain>{missing}</ul>" if missing else ""
    method = "".join(f"<li>{escape(line)}</li>" for line in how(session.site))
    threats = "".join(f"<li>{escape(line)}</li>" for line in blind_spots(session.site))
    return (
        f'<section id="method"><h2>Method and threats</h2><h3>How it was measured</h3><ul class=plain>{method}</ul>'
        f'<div class="threats"><h3>What this cannot show</h3><ul class=plain>{threats}</ul></div>'
        f"{absent}<h3>Where it ran</h3><dl>{listed}</dl></section>"
    )


def _blocks(session: Session) -> str:
    return ", ".join(f"{sweep} {count}" for sweep, count in session.blocks.items())
