"""What changed between two generations as a self-contained HTML page that is read in a minute. Pure.

Rules:
- It is framed as the report of a crawl is: no script, no request, remote text passes `remote`.
- Lists end at MOST; it is said where the rest is. The dashboard of the service shows the same lists in its own page.
- What is certain comes first, what is uncertain last and apart.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path

from crawler.report.html import card, frame, moment, remote, section, shared_origin, table, url
from crawler.storage.diff import ChangedPage, GenerationDiff
from crawler.system.text import format_bytes

STYLE = Path(__file__).with_name("crawl.css")
MOST = 200
TextLink = Callable[[str], str]
"""The address that shows how the text of a page changed."""
MAIN_TEXT = "main_text"
WORDS = {
    MAIN_TEXT: "main text",
    "title": "title",
    "status": "status",
    "canonical": "canonical URL",
    "noindex": "noindex",
    "outlinks": "links",
    "body": "body",
}
"""What may have changed of a page, for people."""
WHY = {
    "404": "404: not found",
    "410": "410: gone",
    "robots": "robots.txt forbids it now",
    "unlinked": "nothing links to it any more",
}


def diff_page(found: GenerationDiff, out: str) -> str:
    """The whole page. `out` is the crawl directory."""
    seeds = found.seeds[0] if found.seeds else out
    title = f"Changes of {remote(seeds, 80)}"
    top = f'<h1>{title}</h1><p class="state">{state(found)} <code>{remote(out)}</code></p>{tiles(found)}'
    command = f"python -m crawler diff {shlex.quote(out)} --from {found.older} --to {found.newer}"
    foot = f"Written again by <code>{remote(f'{command} -o diff.html', 400)}</code>. Lists end at {MOST}."
    return frame(STYLE, title, top, sections(found, "<code>diff --json</code> has all"), foot)


UNCERTAIN_NOTE = "The newer generation has no answer that counts for these: they are neither gone nor compared."


def state(found: GenerationDiff) -> str:
    """What was compared, and what to know of that, as HTML."""
    older, newer = (moment(at) for at in found.ended_at)
    missed = (
        "" if found.complete else " The newer one missed something, so what it did not reach is uncertain, not gone."
    )
    nothing = not (found.new or found.gone or found.changed or found.moved or found.uncertain)
    verdict = " Nothing changed." if nothing else ""
    return f"Generation {found.older} ({older}) to {found.newer} ({newer}).{verdict}{missed}"


def tiles(found: GenerationDiff) -> str:
    """The counts."""
    values = {
        "new": f"{len(found.new):,}",
        "gone": f"{len(found.gone):,}",
        "changed": f"{len(found.changed):,}",
        "moved": f"{len(found.moved):,}",
        "uncertain": f"{len(found.uncertain):,}",
        "unchanged": f"{found.unchanged.pages:,}",
        **({"not asked": f"{found.not_asked:,}"} if found.not_asked else {}),
        "URLs fetched": f"{found.urls:,}",
        "not sent again": format_bytes(found.bytes_saved),
    }
    shown = "".join(f"<div><b>{value}</b><span>{name}</span></div>" for name, value in values.items())
    return f'<div class="tiles">{shown}</div>'


def sections(found: GenerationDiff, more: str, text_link: TextLink | None = None) -> str:
    """The lists. `more` says where one that is cut has its rest, as HTML."""
    gone = [(one.url, remote(WHY.get(one.why, one.why))) for one in found.gone]
    changed = [(one.url, _what(one, text_link)) for one in found.changed[:MOST]]
    moved = [(one.url, url(one.to)) for one in found.moved[:MOST]]
    uncertain = [(one.url, remote(one.why)) for one in found.uncertain]
    parts = [
        ("new", "New", len(found.new), _listed([(one,) for one in found.new], "New pages")),
        ("gone", "Gone", len(gone), _listed(gone, "Pages that are gone", ":why")),
        ("changed", "Changed", len(found.changed), _listed(changed, "Pages that changed", ":what of it")),
        ("moved", "Moved", len(found.moved), _listed(moved, "Pages that redirect now", ":to")),
        ("uncertain", "Uncertain", len(uncertain), _listed(uncertain, "URLs without a certain answer", ":why")),
    ]
    shown = [
        section(key, f"{name} ({count:,})", body + _rest(count, more), UNCERTAIN_NOTE if key == "uncertain" else "")
        for key, name, count, body in parts
        if count
    ]
    return "\n".join([*shown, section("unchanged", "Unchanged", _unchanged(found))])


def _what(one: ChangedPage, text_link: TextLink | None) -> str:
    """What changed of a page; its text leads to how."""
    words = [remote(WORDS.get(what, what)) for what in one.what]
    if text_link is not None and MAIN_TEXT in one.what:
        place = one.what.index(MAIN_TEXT)
        words[place] = f'<a href="{escape(text_link(one.url))}">{words[place]}</a>'
    return ", ".join(words)


def _unchanged(found: GenerationDiff) -> str:
    same = found.unchanged
    rows = [
        ["not sent again (304)", f"{same.not_modified:,}"],
        ["the same body was sent again", f"{same.same_digest:,}"],
        ["another body, the same content", f"{same.same_content:,}"],
    ]
    return card(table(("how it is known", "pages"), rows, "Pages that did not change")) + _not_asked(found)


def _not_asked(found: GenerationDiff) -> str:
    if not found.not_asked:
        return ""
    what = "known pages were not asked for (revisit): whether they changed is not known."
    return f"<p class=note>{found.not_asked:,} {what}</p>"


def _listed(rows: Sequence[tuple[str, ...]], about: str, *columns: str) -> str:
    """A table of at most MOST rows; the first cell of each is a URL, the others are HTML."""
    shown = rows[:MOST]
    origin = shared_origin(one for one, *_ in shown)
    cells = [[url(one, origin=origin), *rest] for one, *rest in shown]
    return card(table(("URL", *columns), cells, about, origin))


def _rest(count: int, more: str) -> str:
    return f"<p class=note>{count - MOST:,} more: {more}.</p>" if count > MOST else ""
