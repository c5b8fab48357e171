"""How text and tables of a report are written. Strangers' text enters by `remote` and nowhere else.

`remote` makes one harmless piece of HTML of whatever a server, a URL or a path says: control characters, surrogates and
marks that turn the direction of writing become visible escapes, what is long is cut, `<`, `&` and quotes are escaped,
and the rest cannot reorder its neighbours (`bdi`). It never becomes a link, an attribute or a style.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from crawler.report.numbers import number
from crawler.report.svg import box, cut, escape
from crawler.system.text import escape_unprintable

LONGEST = 160
NOTHING = "\N{EN DASH}"
BAR = 90


def remote(text: str, most: int = LONGEST) -> str:
    """Somebody else's text, for HTML."""
    return f"<bdi>{escape(cut(escape_unprintable(text[: most + 1]), most))}</bdi>"


def moment(at: float) -> str:
    """A point in time, in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def lasting(seconds: float) -> str:
    """A duration of a fetch or a gap."""
    return f"{number(seconds * 1000)} ms" if abs(seconds) < 1 else f"{number(seconds)} s"


def bar(share: float, kind: str) -> str:
    """A share as a bar, 0 to 1."""
    return (
        f'<svg class="bar" viewBox="0 0 {BAR} 10" width="{BAR}" height="10" aria-hidden="true">'
        f"{box(0, 0, BAR, 10, 'rest')}{box(0, 0, round(BAR * min(1.0, share), 1), 10, kind)}</svg>"
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]], about: str) -> str:
    """Cells are HTML. The first column names its row; a head that begins with ":" is over text, not over numbers."""
    if not rows:
        return ""
    kinds = [" class=text" if name.startswith(":") else "" for name in head]
    heads = "".join(
        f'<th scope="col"{kind}>{escape(name.removeprefix(":"))}</th>' for name, kind in zip(head, kinds, strict=True)
    )
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>'
        + "".join(f"<td{kind}>{cell}</td>" for cell, kind in zip(row[1:], kinds[1:], strict=True))
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(about)}">'
        f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def card(body: str, name: str = "") -> str:
    """A framed part; `name` is HTML, `body` may be empty: then there is none."""
    head = f"<h3>{name}</h3>" if name else ""
    return f'<div class="card">{head}{body}</div>' if body else ""


def url(text: str, kind: str = "") -> str:
    """A URL or a host, which may break anywhere."""
    return f'<span class="url{kind}">{remote(text, 80 if kind else LONGEST)}</span>'


def listed(pairs: Sequence[tuple[str, str]]) -> str:
    """Names with what belongs to them; the second is HTML."""
    return f"<dl>{''.join(f'<dt>{escape(name)}</dt><dd>{told}</dd>' for name, told in pairs)}</dl>"


def section(key: str, name: str, body: str, note: str = "") -> str:
    """A part of the page; nothing where there is nothing to tell."""
    said = f"<p class=note>{note}</p>" if note else ""
    return f'<section id="{key}"><h2>{escape(name)}</h2>{said}{body}</section>' if body else ""
