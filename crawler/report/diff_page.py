"""What changed between two generations as a self-contained HTML page that is read in a minute. Pure.

Rules:
- It is framed as the report of a crawl is: no script, no request, remote text passes `remote`.
- Lists end at MOST; `diff --json` has all.
- What is certain comes first, what is uncertain last and apart.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from crawler.report.html import card, frame, moment, remote, section, table, url
from crawler.storage.diff import GenerationDiff
from crawler.system.text import format_bytes

STYLE = Path(__file__).with_name("crawl.css")
MOST = 200
WORDS = {
    "main_text": "main text",
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
    main = [
        section("new", f"New ({len(found.new):,})", _listed("URL", [[url(one)] for one in found.new], "New pages")),
        section("gone", f"Gone ({len(found.gone):,})", _gone(found)),
        section("changed", f"Changed ({len(found.changed):,})", _changed(found)),
        section("moved", f"Moved ({len(found.moved):,})", _moved(found)),
        section("uncertain", f"Uncertain ({len(found.uncertain):,})", _uncertain(found), UNCERTAIN_NOTE),
        section("unchanged", "Unchanged", _unchanged(found)),
    ]
    top = f"<h1>{title}</h1>{_state(found, out)}{_tiles(found)}"
    command = f"python -m crawler diff {shlex.quote(out)} --from {found.older} --to {found.newer}"
    foot = f"Written again by <code>{remote(f'{command} -o diff.html', 400)}</code>. Lists end at {MOST}."
    return frame(STYLE, title, top, "\n".join(main) or "<p>Nothing changed.</p>", foot)


UNCERTAIN_NOTE = "The newer generation has no answer that counts for these: they are neither gone nor compared."


def _state(found: GenerationDiff, out: str) -> str:
    older, newer = (moment(at) for at in found.ended_at)
    missed = (
        "" if found.complete else " The newer one missed something, so what it did not reach is uncertain, not gone."
    )
    nothing = not (found.new or found.gone or found.changed or found.moved or found.uncertain)
    verdict = " Nothing changed." if nothing else ""
    text = f"Generation {found.older} ({older}) to {found.newer} ({newer}).{verdict}{missed}"
    return f'<p class="state">{text} <code>{remote(out)}</code></p>'


def _tiles(found: GenerationDiff) -> str:
    values = {
        "new": f"{len(found.new):,}",
        "gone": f"{len(found.gone):,}",
        "changed": f"{len(found.changed):,}",
        "moved": f"{len(found.moved):,}",
        "uncertain": f"{len(found.uncertain):,}",
        "unchanged": f"{found.unchanged.pages:,}",
        "URLs fetched": f"{found.urls:,}",
        "not sent again": format_bytes(found.bytes_saved),
    }
    tiles = "".join(f"<div><b>{value}</b><span>{name}</span></div>" for name, value in values.items())
    return f'<div class="tiles">{tiles}</div>'


def _gone(found: GenerationDiff) -> str:
    rows = [[url(one.url), remote(WHY.get(one.why, one.why))] for one in found.gone]
    return _listed("URL", rows, "Pages that are gone", ":why")


def _changed(found: GenerationDiff) -> str:
    rows = [[url(one.url), remote(", ".join(WORDS.get(what, what) for what in one.what))] for one in found.changed]
    return _listed("URL", rows, "Pages that changed", ":what of it")


def _moved(found: GenerationDiff) -> str:
    return _listed("URL", [[url(one.url), url(one.to)] for one in found.moved], "Pages that redirect now", ":to")


def _uncertain(found: GenerationDiff) -> str:
    rows = [[url(one.url), remote(one.why)] for one in found.uncertain]
    return _listed("URL", rows, "URLs without a certain answer", ":why")


def _unchanged(found: GenerationDiff) -> str:
    same = found.unchanged
    rows = [
        ["not sent again (304)", f"{same.not_modified:,}"],
        ["the same body was sent again", f"{same.same_digest:,}"],
        ["another body, the same content", f"{same.same_content:,}"],
    ]
    return card(table(("how it is known", "pages"), rows, "Pages that did not change"))


def _listed(first: str, rows: Sequence[Sequence[str]], about: str, *columns: str) -> str:
    """A table of at most MOST rows, and how many there are beyond it."""
    if not rows:
        return ""
    more = f"<p class=note>{len(rows) - MOST:,} more: <code>diff --json</code> has all.</p>" if len(rows) > MOST else ""
    return card(table((first, *columns), rows[:MOST], about)) + more
