"""A web of traps and of ordinary sites as a pure function of (host, target, how often it was requested before).

Every trap is endless, or has ever new URLs for a few pages. Every ordinary site resembles a trap in some way: many
pages of one pattern, dates, ids, numbers that repeat, keys that might be those of a session.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from xxhash import xxh3_64_hexdigest, xxh3_64_intdigest

WORDS = (
    *("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heron", "inlet"),
    *("jetty", "knoll", "ledge", "moor", "north", "ochre", "pine", "quill", "reed"),
)
MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
SESSION_PAGES, NOTES = 20, 30


class Answer(NamedTuple):
    """The answer of a server. `location` and `cookie` are headers where they are not empty."""

    status: int = 200
    body: str = ""
    location: str = ""
    cookie: str = ""


def prose(*key: object) -> str:
    """A paragraph that depends on the key, except for numbers in it."""
    mark = xxh3_64_intdigest(repr(key).encode())
    return " ".join(WORDS[(mark >> 3 * n) % len(WORDS)] for n in range(20)) + f" {key}"


def page(text: str, *links: str) -> Answer:
    """A page with the same menu as all others."""
    menu = "<nav>Welcome to this site, its menu and its footer, which never change.</nav>"
    anchors = "".join(f'<a href="{link.replace("&", "&amp;")}">go on</a> ' for link in links)
    return Answer(body=f"<!doctype html><title>A site</title>{menu}<p>{text}</p>{anchors}")


# ---- traps -----------------------------------------------------------------------------------------------------------


def calendar(target: str, turn: int) -> Answer:
    """Endless months before and after, and notes that must all be found."""
    if note := re.fullmatch(r"/note/(\d+)", target):
        return page(prose("note", note[1]))
    y, m = map(int, re.findall(r"\d+", target)) if "?" in target else (2026, 11)
    near = [(y + (m + step - 1) // 12, (m + step - 1) % 12 + 1) for step in (-1, 1)]
    notes = [f"/note/{n}" for n in range(NOTES)] if target == "/" else []
    return page(f"{MONTHS[m - 1]} {y}. Nothing on.", *notes, *(f"/cal?y={year}&m={month}" for year, month in near))


def calendar_in_path(target: str, turn: int) -> Answer:
    """The same, in paths with names of months, numbered by day of the week as well."""
    y, m = (int(target.split("/")[2]), MONTHS.index(target.split("/")[3])) if target.count("/") == 3 else (2026, 10)
    near = [(y + (m + step) // 12, (m + step) % 12) for step in (-1, 1)]
    return page(f"{MONTHS[m]} {y}: 1 2 3 4 5 6 7", *(f"/events/{year}/{MONTHS[month]}" for year, month in near))


def sessions(target: str, turn: int) -> Answer:
    """SESSION_PAGES pages; each visit gets a new session, which every link contains."""
    number = int(re.sub(r";.*|\?.*|\D", "", target) or 0)
    token = xxh3_64_hexdigest(f"{target} {turn}".encode())
    forms = (f"/p{{}}?sid={token}", f"/p{{}}?PHPSESSID={token}", f"/p{{}};jsessionid={token.upper()}.node1")
    near = [(number * 3 + step) % SESSION_PAGES for step in range(3)]
    return page(prose("session", number), *(form.format(n) for form, n in zip(forms, near, strict=True)))


def unknown_sessions(target: str, turn: int) -> Answer:
    """One page under ever new values of an unknown key."""
    return page(
        "The same to the letter.", *(f"/?visitor={xxh3_64_hexdigest(f'{target}{n}'.encode())}" for n in range(3))
    )


def deep_path(target: str, turn: int) -> Answer:
    """Each page links one deeper."""
    return page(prose(target), f"{target.rstrip('/')}/x{target.count('/')}")


def relative_loop(target: str, turn: int) -> Answer:
    """Relative links that lead into themselves, for each of many pages."""
    return page(prose(target), "a/b/", "c/")


def param_junk(target: str, turn: int) -> Answer:
    """Every link adds a parameter."""
    return page("One page.", f"{target}{'&' if '?' in target else '?'}n={target.count('n=') + 1}")


def long_url(target: str, turn: int) -> Answer:
    """Every link is longer by 150 letters."""
    return page(prose(target), f"{target}{'y' * 150}")


def redirects(target: str, turn: int) -> Answer:
    """An endless chain of redirects."""
    return Answer(302, location=f"/r/{int(target.removeprefix('/r/') if '/r/' in target else 0) + 1}")


def honeypot(target: str, turn: int) -> Answer:
    """Invisible links to paths that robots.txt forbids, and nofollow links."""
    if target == "/robots.txt":
        return Answer(body="User-agent: *\nDisallow: /pit/\n")
    hidden = '<a style="display:none" href="/pit/1">x</a><a rel="nofollow" href="/unfollowed">x</a>'
    return Answer(body=f"{page('A page.', '/pit/2').body}{hidden}")


def cookie(target: str, turn: int) -> Answer:
    """Redirects to itself until a cookie is sent."""
    return Answer(302, location=target, cookie="seen=1")


def case_slash(target: str, turn: int) -> Answer:
    """One page under six URLs, of which two are normalised and four may be separate pages."""
    return page("One page.", "/A", "/a", "/a/", "//a", "/a/.", "/%61")


def insists_on_sessions(target: str, turn: int) -> Answer:
    """No trap: a site that redirects requests without a session to the same page with one, and works with it."""
    if "jsessionid" not in target:
        return Answer(302, location=f"{target};jsessionid={xxh3_64_hexdigest(target.encode())}")
    return page(prose(target), "/a;jsessionid=0", "/b;jsessionid=0")


TRAPS: dict[str, Callable[[str, int], Answer]] = {
    "calendar": calendar,
    "calendar-in-path": calendar_in_path,
    "sessions": sessions,
    "unknown-sessions": unknown_sessions,
    "deep-path": deep_path,
    "relative-loop": relative_loop,
    "param-junk": param_junk,
    "long-url": long_url,
    "redirects": redirects,
    "honeypot": honeypot,
    "cookie": cookie,
    "case-slash": case_slash,
    "insists": insists_on_sessions,
}


# ---- ordinary sites --------------------------------------------------------------------------------------------------

HONEST: dict[str, Callable[[int], str]] = {
    "docs": lambda n: f"/guide/{WORDS[n % 18]}/{WORDS[n // 18 % 18]}-{WORDS[n // 324 % 18]}.html",
    "shop": lambda n: f"/product/{n}",
    "articles": lambda n: f"/article.php?sid={n}",
    "archive": lambda n: f"/{2000 + n // 336}/{n // 28 % 12 + 1:02}/{n % 28 + 1:02}/",
    "months": lambda n: f"/news/{1900 + n // 12}/{MONTHS[n % 12]}",
    "forum": lambda n: f"/viewtopic.php?t={n // 5}&page={n % 5 + 1}",
    "ids": lambda n: f"/item/{xxh3_64_hexdigest(str(n).encode())}",
    "tiles": lambda n: f"/{n // 100}/{n // 10 % 10}/{n % 10}",
    "talks": lambda n: f"/programme?session_id={n}&year=2026",
    "wiki": lambda n: f"/wiki/{WORDS[n % 18].title()}_{n}",
}


def honest(kind: str, target: str, pages: int) -> Answer:
    """Page `n` of an ordinary site links to its children in a tree of all its pages and back to the first."""
    names = _names(kind, pages)
    number = names.get(target, 0 if target == "/" else -1)
    if number < 0:
        return Answer(404)
    urls = list(names)
    children = [urls[n] for n in range(7 * number + 1, 7 * number + 8) if n < pages]
    return page(prose(kind, number), *children, urls[0], urls[number // 2])


_KNOWN: dict[tuple[str, int], dict[str, int]] = {}


def _names(kind: str, pages: int) -> dict[str, int]:
    key = kind, pages
    if key not in _KNOWN:
        _KNOWN[key] = {HONEST[kind](n): n for n in range(pages)}
        assert len(_KNOWN[key]) == pages
    return _KNOWN[key]
