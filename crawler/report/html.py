"""HTML text and tables of a report. All remote text passes `remote` or `url`.

Rules:
- `remote` turns untrusted text (from a server, a URL or a path) into safe HTML. Control characters, surrogates and bidi
  control characters become visible escapes, long text is cut, `<`, `&` and quotes are escaped, and `bdi` keeps the rest
  from reordering its neighbours.
- Of remote text only an http(s) URL of plain ASCII becomes a link. A browser sends no referrer with it.
- A table scrolls in a frame of its own, whose edges are shaded where there is more. On a small screen the origin that
  all its URLs share is shown once, above it.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from string import Template

from crawler.report.svg import box, cut, escape
from crawler.system.text import escape_unprintable

FRAME = Path(__file__).with_name("page.html")
LONGEST = 160
LONGEST_LINK = 500
"""Letters of a URL that becomes a link; a longer one is shown, cut."""
LINK = re.compile(r"https?://[!-~]+")
NOTHING = "\N{EN DASH}"
BAR = 90
TIME = "%Y-%m-%d %H:%M:%S"


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
    return f"<bdi>{escape(_shown(text, most))}</bdi>"


def _shown(text: str, most: int) -> str:
    return cut(escape_unprintable(text[: most + 1]), most)


def moment(at: float) -> str:
    """A Unix time as text, in UTC."""
    return f"{datetime.fromtimestamp(at, UTC):{TIME}} UTC"


def between(start: float, end: float) -> str:
    """Two Unix times as text, in UTC; the day once where it is the same."""
    first, last = datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(end, UTC)
    time = "%H:%M:%S" if first.date() == last.date() else TIME
    return f"{first:{TIME}} to {last:{time}} UTC"


def bar(share: float, kind: str) -> str:
    """A share (0 to 1) as a bar."""
    return (
        f'<svg class="bar" viewBox="0 0 {BAR} 10" width="{BAR}" height="10" aria-hidden="true">'
        f"{box(0, 0, BAR, 10, 'rest')}{box(0, 0, round(BAR * min(1.0, share), 1), 10, kind)}</svg>"
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]], about: str, origin: str = "") -> str:
    """A table. Cells are HTML, the first of a row is its heading; a head that begins with ":" marks a text column.
    `origin` is that of all URLs in it, see `shared_origin`."""
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
    on = f'<p class="note stripped">On {remote(origin)}:</p>' if origin else ""
    return (
        f'{on}<div class="scroll" role="region" tabindex="0" aria-label="{escape(about)}">'
        f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def card(body: str, name: str = "") -> str:
    """A framed box; `name` and `body` are HTML. "" where `body` is empty."""
    head = f"<h3>{name}</h3>" if name else ""
    return f'<div class="card">{head}{body}</div>' if body else ""


def shared_origin(urls: Iterable[str]) -> str:
    """The origin of all these URLs; "" where they have several."""
    origins = {"/".join(one.split("/", 3)[:3]) for one in urls}
    return origins.pop() if len(origins) == 1 else ""


def url(text: str, kind: str = "", origin: str = "") -> str:
    """A URL or a host as a link; lines may break anywhere in it. On a small screen a leading `origin` is left out."""
    whole = _shown(text, 80 if kind else LONGEST)
    path = whole.removeprefix(origin) if origin else whole
    common = f'<span class="origin">{escape(origin)}</span>' if path.startswith("/") and path != whole else ""
    shown = f"<bdi>{common}{escape(path if common else whole)}</bdi>"
    if len(text) > LONGEST_LINK or not LINK.fullmatch(text):
        return f'<span class="url{kind}">{shown}</span>'
    return f'<a class="url{kind}" href="{escape(text)}" rel="noopener noreferrer nofollow">{shown}</a>'


def listed(pairs: Sequence[tuple[str, str]]) -> str:
    """A definition list of (name, value); values are HTML."""
    return f"<dl>{''.join(f'<dt>{escape(name)}</dt><dd>{value}</dd>' for name, value in pairs)}</dl>"


def section(key: str, name: str, body: str, note: str = "") -> str:
    """A section of the page; "" where `body` is empty."""
    said = f"<p class=note>{note}</p>" if note else ""
    return f'<section id="{key}"><h2>{escape(name)}</h2>{said}{body}</section>' if body else ""


def contents(names: Sequence[tuple[str, str]]) -> str:
    """Links to the sections of a page: (key, name) each."""
    links = "".join(f'<li><a href="#{key}">{escape(name)}</a></li>' for key, name in names)
    return f'<nav aria-label="Contents"><ul>{links}</ul></nav>'
