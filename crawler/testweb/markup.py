"""The HTML of all webs: one page from a title, hyperlinks and text."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from crawler.testweb.document import Anchor
from crawler.testweb.draw import SeededRandom
from crawler.testweb.prose import WORDS


def followed(anchors: Iterable[Anchor]) -> tuple[str, ...]:
    """The distinct URLs that a crawler that obeys nofollow finds in these anchors."""
    return tuple(dict.fromkeys(anchor.url for anchor in anchors if anchor.url))


def title_of(name: str, path: str) -> str:
    """A title unique to the page."""
    return f"{WORDS[SeededRandom(name, path).below(len(WORDS))].capitalize()} & more: {name}{path}"


def html(title: str, anchors: Iterable[Anchor], text: str, head: str = "") -> str:
    """A page: its head, half of its links, its text, the other half."""
    tags = [_tag(anchor) for anchor in anchors]
    half = len(tags) // 2
    return (
        f"<!doctype html>\n<html>\n<head>{head}\n<title>{escape(title)}</title>\n</head>\n<body id=top>\n"
        f"<nav>\n{''.join(tags[:half])}</nav>\n<main>\n<h1>{escape(title)}</h1>\n{text}</main>\n"
        f'<aside>\n<img src="/logo.png" alt="">\n{"".join(tags[half:])}</aside>\n</body>\n</html>\n'
    )


def _tag(anchor: Anchor) -> str:
    href = anchor.href.replace("&", "&amp;")
    rel = f' rel="{anchor.rel}"' if anchor.rel else ""
    if anchor.tag == "area":
        return f'<map name="m"><area{rel} href="{href}" alt="room"></map>\n'
    return f'<a{rel} href="{href}">{href.strip()}</a>\n'
