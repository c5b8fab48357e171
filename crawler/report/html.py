"""HTML text and tables of a report. All remote text passes `remote`.

`remote` turns untrusted text (from a server, a URL or a path) into safe HTML. Control characters, surrogates and bidi
control characters become visible escapes, long text is cut, `<`, `&` and quotes are escaped, and `bdi` keeps the rest
from reordering its neighbours. Remote text is never used as a link, an attribute or a style.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from string import Template

from crawler.report.svg import box, cut, escape
from crawler.system.text import escape_unprintable

FRAME = Path(__file__).with_name("page.html")
LONGEST = 160
NOTHING = "\N{EN DASH}"
BAR = 90


def frame(style: Path, title: str, top: str, main: str, foot: str, kind: str = "", script: str = "") -> str:
    """A whole page; the policy in the frame lets it load nothing, and run only `script`, which it names by its hash.
    `style` is a file of further CSS, `kind` the attributes of the body; the other arguments are HTML."""
    bare = title.replace("<bdi>", "").replace("</bdi>", "")
    css = style.read_text(encoding="utf-8").strip()
    page = Template(FRAME.read_text(encoding="utf-8"))
    policy, run = "", ""
    if script:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        policy, run = f" script-src 'sha256-{digest}';", f"<script>{script}</script>\n"
    return page.substitute(style=css, title=bare, top=top, main=main, foot=foot, kind=kind, policy=policy, script=run)


def remote(text: str, most: int = LONGEST) -> str:
    """Remote text as safe HTML, at most `most` characters."""
    return f"<bdi>{escape(cut(escape_unprintable(text[: most + 1]), most))}</bdi>"


def moment(at: float) -> str:
    """A Unix time as text, in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def bar(share: float, kind: str) -> str:
    """A share (0 to 1) as a bar."""
    return (
        f'<svg class="bar" viewBox="0 0 {BAR} 10" width="{BAR}" height="10" aria-hidden="true">'
        f"{box(0, 0, BAR, 10, 'rest')}{box(0, 0, round(BAR * min(1.0, share), 1), 10, kind)}</svg>"
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]], about: str) -> str:
    """A table. Cells are HTML, the first of a row is its heading; a head that begins with ":" marks a text column."""
    if not rows:
        return ""
    kinds = [" class=text" if name.startswith(":") else "" for name in head]
    named = [name.removeprefix(":") for name in head]
    heads = "".join(
        f'<th scope="col"{kind}>{escape(name)}</th>' if name else f"<td{kind}></td>"
        for name, kind in zip(named, kinds, strict=True)
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
    """A framed box; `name` and `body` are HTML. "" where `body` is empty."""
    head = f"<h3>{name}</h3>" if name else ""
    return f'<div class="card">{head}{body}</div>' if body else ""


def url(text: str, kind: str = "") -> str:
    """A URL or a host; lines may break anywhere in it."""
    return f'<span class="url{kind}">{remote(text, 80 if kind else LONGEST)}</span>'


def listed(pairs: Sequence[tuple[str, str]]) -> str:
    """A definition list of (name, value); values are HTML."""
    return f"<dl>{''.join(f'<dt>{escape(name)}</dt><dd>{value}</dd>' for name, value in pairs)}</dl>"


def section(key: str, name: str, body: str, note: str = "") -> str:
    """A section of the page; "" where `body` is empty."""
    said = f"<p class=note>{note}</p>" if note else ""
    return f'<section id="{key}"><h2>{escape(name)}</h2>{said}{body}</section>' if body else ""
