"""Endless and large finite sites as pure functions of (seed, size, length of a text, target, how often it was asked).

Each is a function of a `Made` and a target, "/path?query", that gives a page: its text, its links and, for the oracle,
the `content` that it shows ("" for none). `contents` is what a crawl must find of a site.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple

from xxhash import xxh3_64_hexdigest, xxh3_64_intdigest

from tests.trap_web import MONTHS, WORDS


class Made(NamedTuple):
    """The parameters of a site: `size` real pages, texts of about `length` words, everything else drawn from `seed`."""

    seed: int
    size: int
    length: int

    def draw(self, below: int, *key: object) -> int:
        """A number below `limit` that depends on the key."""
        return xxh3_64_intdigest(repr(key).encode(), self.seed) % below

    def word(self, *key: object) -> str:
        """A word of six letters."""
        mark = xxh3_64_intdigest(repr(key).encode(), self.seed)
        return "".join(chr(ord("a") + (mark >> 5 * n) % 26) for n in range(6))

    def token(self, *key: object) -> str:
        """A random id."""
        return xxh3_64_hexdigest(repr(key).encode(), self.seed)

    def prose(self, *key: object) -> str:
        """A text of words that depends on the key."""
        return " ".join(WORDS[self.draw(len(WORDS), key, n)] for n in range(self.length)) + f" {self.word(key)}"


class Shown(NamedTuple):
    """A page. `content` identifies pages that differ in more than generated text; `files` are images."""

    text: str
    links: tuple[str, ...] = ()
    content: str = ""
    files: tuple[str, ...] = ()
    status: int = 200

    @property
    def body(self) -> str:
        """The page as HTML, with the same menu on all pages."""
        menu = "<nav>Welcome to this site, its menu and its footer, which never change.</nav>"
        anchors = "".join(f'<a href="{link.replace("&", "&amp;")}">go on</a> ' for link in self.links)
        pictures = "".join(f'<img src="{name}">' for name in self.files)
        return f"<!doctype html><title>A site</title>{menu}<p>{self.text}</p>{pictures}{anchors}"


MISSING = Shown("Not found.", status=404)
Site = Callable[[Made, str, int], Shown]
Contents = Callable[[Made], Iterator[str]]


def _number(target: str) -> int:
    return int((re.findall(r"\d+", target) or ["0"])[-1])


def numbered(made: Made) -> Iterator[str]:
    """The contents of a site of `size` pages."""
    return (str(n) for n in range(made.size))


def _near(made: Made, n: int, many: int = 3) -> list[int]:
    """The pages that a page of a finite site links to: enough to reach all of them."""
    return [(n + 1) % made.size, *((n * many + step) % made.size for step in range(many))]


# ---- traps whose content is finite -----------------------------------------------------------------------------------


def session_path(made: Made, target: str, turn: int) -> Shown:
    """`size` pages; every page hands out a new session, which is a segment of each of its links."""
    n, session = _number(target) % made.size if "page" in target else 0, made.token(target, turn)
    return Shown(made.prose(n), tuple(f"/s-{session}/page{m}" for m in _near(made, n)), str(n))


def session_menu(made: Made, target: str, turn: int) -> Shown:
    """The same, where each page names all the others, and the session consists of letters."""
    n, session = _number(target) % made.size if "page" in target else 0, made.word(target, turn)
    return Shown(made.prose(n), tuple(f"/{session}/page{m}.html" for m in range(made.size)), str(n))


def session_query(made: Made, target: str, turn: int) -> Shown:
    """The same in a parameter with an unknown name."""
    n = _number(target.partition("?")[0]) % made.size
    return Shown(made.prose(n), tuple(f"/p{m}?visit={made.token(target, turn)}" for m in _near(made, n)), str(n))


def filters(made: Made) -> int:
    """How many filters a shop has."""
    return 12 if made.size > 50 else 8


def facets(made: Made, target: str, turn: int) -> Shown:
    """Filters that may be set in any order: each order of each set is a URL."""
    chosen = [part.partition("=")[0] for part in target.partition("?")[2].split("&") if part]
    name = ",".join(sorted(chosen))
    query = "&".join(f"{it}=1" for it in chosen)
    more = [f"/shop?{query}{'&' if query else ''}f{n}=1" for n in range(filters(made)) if f"f{n}" not in chosen]
    return Shown(f"Articles: {made.prose(name)}", tuple(more), name or "none")


def all_facets(made: Made) -> Iterator[str]:
    """The sets of filters."""
    for bits in range(1 << filters(made)):
        yield ",".join(sorted(f"f{n}" for n in range(filters(made)) if bits >> n & 1)) or "none"


def facets_echo(made: Made, target: str, turn: int) -> Shown:
    """The same, where the text of a page only lists the filters that are set."""
    shown = facets(made, target, turn)
    return shown._replace(text=f"Filters that are set: {shown.content}")


def _soft(made: Made, target: str, text: str) -> Shown:
    base = target.rstrip("/") if target.count("/") < 6 else ""
    unknown = tuple(f"{base}/{made.word(target, n)}" for n in range(4))
    return Shown(text, ("/", "/real/0", *unknown), "lost")


def soft_404(made: Made, target: str, turn: int) -> Shown:
    """`size` pages in a chain, each with links to missing pages. All missing pages have the same text and link to
    further missing pages."""
    real = re.fullmatch(r"/real/(\d+)", target)
    if target != "/" and (not real or int(real[1]) >= made.size):
        return _soft(made, target, "Sorry, there is nothing here.")
    n = int(real[1]) if real else 0
    return Shown(made.prose(n), (f"/real/{n + 1}", f"/old/{made.word(n)}", f"/{made.word(n, 1)}"), str(n))


def soft_404_echo(made: Made, target: str, turn: int) -> Shown:
    """The same, where the page repeats the path that was not found."""
    shown = soft_404(made, target, turn)
    return shown._replace(text=f"Sorry, {target} is not here.") if shown.content == "lost" else shown


def all_soft(made: Made) -> Iterator[str]:
    """The real pages and the page for missing ones."""
    yield from numbered(made)
    yield "lost"


def soft_404_advice(made: Made, target: str, turn: int) -> Shown:
    """The same, where the page gives advice that is different for each path: endless text, which cannot be
    distinguished from content. The crawl must end; it need not find the real pages first."""
    shown = soft_404(made, target, turn)
    advice = " ".join(made.word(target, n, "advice") for n in range(8))
    return shown._replace(text=f"Nothing here. Try {advice}") if shown.content == "lost" else shown


def session_echo(made: Made, target: str, turn: int) -> Shown:
    """A session in the path that each page repeats in its text."""
    shown = session_path(made, target, turn)
    return shown._replace(text=f"{shown.text} Your session: {target[3:19]}. Visitor {turn}.")


def facets_path(made: Made, target: str, turn: int) -> Shown:
    """Filters that are segments of a path, in any order."""
    chosen = [name for name in target.split("/") if name]
    more = tuple(f"/{'/'.join([*chosen, f'f{n}'])}" for n in range(filters(made)) if f"f{n}" not in chosen)
    name = ",".join(sorted(chosen))
    return Shown(f"Articles: {made.prose(name)}", more, name or "none")


def menu_echo(made: Made, target: str, turn: int) -> Shown:
    """A relative menu on pages that show their own path."""
    shown = relative_menu(made, target, turn)
    return shown._replace(text=f"{shown.text} You are here: {target}")


def relative_menu(made: Made, target: str, turn: int) -> Shown:
    """A menu of `size` relative links on each page, so that each leads one deeper."""
    name = target.rstrip("/").rpartition("/")[2]
    return Shown(made.prose(name), tuple(f"{made.word('menu', n)}/" for n in range(made.size)), name or "root")


def all_menu(made: Made) -> Iterator[str]:
    """The pages behind the menu."""
    yield "root"
    for n in range(made.size):
        yield made.word("menu", n)


# ---- traps without end -----------------------------------------------------------------------------------------------


def calendar(made: Made, target: str, turn: int) -> Shown:
    """Endless months before and after, and `size` notes that must all be found."""
    if note := re.fullmatch(r"/note/(\d+)", target):
        return Shown(made.prose(note[1]), ("/",), note[1])
    y, m = map(int, re.findall(r"\d+", target)) if "?" in target else (2026, 11)
    near = [(y + (m + step - 1) // 12, (m + step - 1) % 12 + 1) for step in (-1, 1)]
    notes = [f"/note/{n}" for n in range(made.size)] if target == "/" else []
    text = f"{MONTHS[m - 1]} {y}. {'Nothing on. ' * (made.length // 2)}"
    return Shown(text, (*notes, *(f"/cal?y={year}&m={month}" for year, month in near)))


def days(made: Made, target: str, turn: int) -> Shown:
    """A calendar by day, in paths."""
    day = _number(target) if target != "/" else 20_000
    return Shown(f"Day {day}. {'Nothing. ' * made.length}", tuple(f"/day/{day + step}" for step in (-1, 1, 7)))


def markov(made: Made, target: str, turn: int) -> Shown:
    """Endless random text, each page with links to more of it."""
    links = tuple(f"/{made.word(target, n)}/{made.word(target, n, 1)}.html" for n in range(2 + made.draw(6, target)))
    return Shown(made.prose(target), links)


def markov_flat(made: Made, target: str, turn: int) -> Shown:
    """The same under one directory, with ids."""
    links = tuple(f"/story/{made.token(target, n)}" for n in range(4))
    return Shown(made.prose(target), ("/", *links))


WILD = 4000


def wild(n: int) -> str:
    """A name below the domain."""
    return f"w{n}.h.test"


def wildcard(made: Made, target: str, turn: int) -> Shown:
    """Five pages under every name below the domain, each of which links to three more names."""
    host, _, path = target.removeprefix("//").partition("/") if target.startswith("//") else ("h.test", "", target[1:])
    n = _number(path) % 5
    names = tuple(f"http://{wild(made.draw(WILD, host, n, k))}/" for k in range(3))
    return Shown(made.prose(n), (f"/p{(n + 1) % 5}", f"/p{(n + 2) % 5}", *names), str(n))


def five(made: Made) -> Iterator[str]:
    """The pages under each name."""
    return (str(n) for n in range(5))


def nothing(made: Made) -> Iterator[str]:
    """No content that must be found."""
    return iter(())


TRAPS: dict[str, tuple[Site, Contents]] = {
    "session-path": (session_path, numbered),
    "session-menu": (session_menu, numbered),
    "session-query": (session_query, numbered),
    "facets": (facets, all_facets),
    "facets-echo": (facets_echo, all_facets),
    "soft-404": (soft_404, all_soft),
    "soft-404-echo": (soft_404_echo, all_soft),
    "relative-menu": (relative_menu, all_menu),
    "menu-echo": (menu_echo, all_menu),
    "soft-404-advice": (soft_404_advice, nothing),
    "session-echo": (session_echo, numbered),
    "facets-path": (facets_path, all_facets),
    "wildcard": (wildcard, five),
    "calendar": (calendar, numbered),
    "days": (days, nothing),
    "markov": (markov, nothing),
    "markov-flat": (markov_flat, nothing),
}


# ---- ordinary sites --------------------------------------------------------------------------------------------------


def _listed(made: Made, target: str, item: Callable[[int], str], at_once: int) -> Shown | None:
    """The root and the other pages of a list of all items."""
    lists = -(-made.size // at_once)
    page = _number(target) if target.startswith("/list") else 0
    if target != "/" and not (target.startswith("/list") and page < lists):
        return None
    items = range(page * at_once, min(made.size, (page + 1) * at_once))
    further = [f"/list/{page + 1}"] if page + 1 < lists else []
    return Shown(f"All we have, page {page + 1}", ("/", *map(item, items), *further))


def _finite(item: Callable[[Made, int], str], show: Callable[[Made, int], str], at_once: int = 40) -> Site:
    """A site of `size` items that are linked by lists, and that link to the next and previous ones."""

    def site(made: Made, target: str, turn: int) -> Shown:
        listed = _listed(made, target, lambda n: item(made, n), at_once)
        if listed is not None:
            return listed
        n = _place(made, item, target)
        if n is None:
            return MISSING
        near = [item(made, m) for m in (n - 1, n + 1) if 0 <= m < made.size]
        return Shown(show(made, n), ("/", *near), str(n))

    return site


_PLACES: dict[tuple[Made, int], dict[str, int]] = {}


def _place(made: Made, item: Callable[[Made, int], str], target: str) -> int | None:
    key = made, id(item)
    if key not in _PLACES:
        _PLACES[key] = {item(made, n): n for n in range(made.size)}
        assert len(_PLACES[key]) == made.size
    return _PLACES[key].get(target)


def gallery(made: Made, target: str, turn: int) -> Shown:
    """Photo pages with exactly the same text; the images differ."""
    shown = gallery_numbers(made, target, turn)
    return shown._replace(text="A photo.", files=(f"/img/{shown.content}.jpg",)) if shown.content else shown


gallery_numbers = _finite(lambda made, n: f"/photo/{n}", lambda made, n: f"Photo {n} of {made.size}")


def gallery_alike(made: Made, target: str, turn: int) -> Shown:
    """Photo pages that differ in nothing but their URLs."""
    shown = gallery_numbers(made, target, turn)
    return shown._replace(text="A photo.") if shown.content else shown


def gallery_chain(made: Made, target: str, turn: int) -> Shown:
    """Photo pages that are linked by the one before only."""
    n = _number(target)
    if n >= made.size:
        return MISSING
    links = (f"/photo/{n + 1}",) if n + 1 < made.size else ()
    return Shown(f"Photo {n}", ("/", *links), str(n), (f"/img/{n}.jpg",))


def tree(made: Made, target: str, turn: int) -> Shown:
    """Each page links to seven others below it, and the one above."""
    n = _number(target)
    if n >= made.size:
        return MISSING
    below = [f"/page/{m}" for m in range(7 * n + 1, 7 * n + 8) if m < made.size]
    return Shown(made.prose(n), ("/", f"/page/{(n - 1) // 7}", *below), str(n))


def versions(made: Made, target: str, turn: int) -> Shown:
    """Eight versions of a manual, which hardly differ; each page links to itself in the others."""
    n = _number(target) if "page" in target else 0
    version = _number(target.split("/")[1]) if target != "/" else 1
    pages = -(-made.size // 8)
    if n >= pages or not 1 <= version <= 8:
        return MISSING
    links = [f"/v{version}/page-{m}" for m in _near(made._replace(size=pages), n)]
    others = [f"/v{other}/page-{n}" for other in range(1, 9)]
    return Shown(f"{made.prose(n)} Version {version}.", (*links, *others), f"{version} {n}")


def all_versions(made: Made) -> Iterator[str]:
    """Each page in each version."""
    return (f"{version} {n}" for version in range(1, 9) for n in range(-(-made.size // 8)))


def versions_equal(made: Made, target: str, turn: int) -> Shown:
    """Eight versions of a manual with the same text; no page links to another version."""
    pages = -(-made.size // 8)
    if target == "/":
        return Shown("Versions", tuple(f"/v{version}/page-0" for version in range(1, 9)))
    version, n = map(int, re.findall(r"\d+", target))
    if n >= pages or not 1 <= version <= 8:
        return MISSING
    links = (f"/v{version}/page-{m}" for m in _near(made._replace(size=pages), n))
    return Shown(made.prose(n), ("/", *links), f"{version} {n}")


def wiki(made: Made, target: str, turn: int) -> Shown:
    """Articles with old versions, which differ in a word."""
    title, _, query = target.partition("?")
    n, articles = _number(title), -(-made.size // 5)
    if n >= articles or (old := _number(query) if query else 0) > 4:
        return MISSING
    olds = [f"/wiki/Article_{n}?oldid={m}" for m in range(1, 5)]
    links = [f"/wiki/Article_{m}" for m in _near(made._replace(size=articles), n)]
    text = f"{made.prose(n)} {'' if not old else f'Revision {old}'}"
    return Shown(text, (*olds, *links), f"{n} {old}")


def all_wiki(made: Made) -> Iterator[str]:
    """Each article in each version."""
    return (f"{n} {old}" for n in range(-(-made.size // 5)) for old in range(5))


def forum(made: Made, target: str, turn: int) -> Shown:
    """Threads of five pages, lists of threads in four orders."""
    threads = -(-made.size // 5)
    if target == "/" or target.startswith("/forum"):
        page, order = (_number(target), target.rpartition("sort=")[2][:3]) if target != "/" else (0, "new")
        shown = [(t * 7 if order == "old" else t) % threads for t in range(page * 20, page * 20 + 20) if t < threads]
        sorts = [f"/forum?page={page}&sort={name}" for name in ("new", "old", "hot", "top")]
        more = [f"/forum?page={page + 1}&sort={order}"] if (page + 1) * 20 < threads else []
        return Shown(f"Threads by {order}", (*sorts, *more, *(f"/viewtopic.php?t={t}" for t in shown)))
    numbers = list(map(int, re.findall(r"\d+", target)))
    t, page = numbers[0], numbers[1] if len(numbers) > 1 else 0
    if t >= threads or page >= 5:
        return MISSING
    more = [f"/viewtopic.php?t={t}&start={page + 1}"] if page < 4 else []
    return Shown(made.prose(t, page), ("/", f"/viewtopic.php?t={t}", *more), f"{t} {page}")


def all_forum(made: Made) -> Iterator[str]:
    """Each page of each thread."""
    return (f"{t} {page}" for t in range(-(-made.size // 5)) for page in range(5))


def shop(made: Made, target: str, turn: int) -> Shown:
    """Products, and lists of them by colour and size, with pages."""
    if product := re.fullmatch(r"/product/(\d+)", target):
        n = int(product[1])
        more = [f"/product/{(n * 3 + step) % made.size}" for step in range(3)]
        return Shown(made.prose(n), ("/", *more), str(n)) if n < made.size else MISSING
    colour, size, page = (*map(int, re.findall(r"\d+", target)), -1, -1, 0)[:3] if "?" in target else (-1, -1, 0)
    lists = [f"/shop?colour={c}&size={s}&page=0" for c in range(5) for s in range(4)]
    fits = [n for n in range(made.size) if colour < 0 or (n % 5 == colour and n % 4 == size)]
    here = fits[page * 20 : page * 20 + 20]
    more = [f"/shop?colour={colour}&size={size}&page={page + 1}"] if colour >= 0 and (page + 1) * 20 < len(fits) else []
    return Shown("Articles", ("/", *lists, *more, *(f"/product/{n}" for n in here)))


def sid_stories(made: Made, target: str, turn: int) -> Shown:
    """Stories whose parameter is named like a session."""
    n = _number(target) - 100_000_001 if "?" in target else -1
    if target == "/":
        return Shown("All stories", tuple(f"/story?sid={100_000_001 + m}" for m in range(made.size)))
    return Shown(made.prose(n), ("/",), str(n)) if 0 <= n < made.size else MISSING


def uuids(made: Made, target: str, turn: int) -> Shown:
    """The same with ids that look random."""
    ids = {_uuid(made, n): n for n in range(made.size)}
    if target == "/":
        return Shown("All talks", tuple(f"/talk?session_id={name}" for name in ids))
    n = ids.get(target.rpartition("=")[2])
    return MISSING if n is None else Shown(made.prose(n), ("/",), str(n))


def _uuid(made: Made, n: int) -> str:
    text = made.token(n) + made.token(n, 1)
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:32]))


def directories(made: Made, target: str, turn: int) -> Shown:
    """An index of folders in folders, as servers make them; pages are leaves."""
    n = _number(target.rstrip("/").rpartition("/")[2]) if target != "/" else 0
    if target.endswith(".html"):
        return Shown(made.prose(n), (), str(n))
    below = [f"d{m}/" for m in range(4 * n + 1, 4 * n + 5) if m < made.size // 2]
    return Shown(f"Index of {target}", ("../", *below, f"p{n}.html"))


def all_directories(made: Made) -> Iterator[str]:
    """A page in each folder."""
    return (str(n) for n in range(made.size // 2))


HONEST: dict[str, tuple[Site, Contents]] = {
    "gallery": (gallery, numbered),
    "gallery-numbers": (gallery_numbers, numbered),
    "gallery-alike": (gallery_alike, numbered),
    "gallery-chain": (gallery_chain, numbered),
    "tree": (tree, numbered),
    "versions": (versions, all_versions),
    "versions-equal": (versions_equal, all_versions),
    "wiki": (wiki, all_wiki),
    "forum": (forum, all_forum),
    "shop": (shop, numbered),
    "sid-stories": (sid_stories, numbered),
    "uuids": (uuids, numbered),
    "directories": (directories, all_directories),
    "archive": (
        _finite(lambda made, n: f"/{1990 + n // 336}/{n // 28 % 12 + 1:02}/{n % 28 + 1:02}/", lambda m, n: m.prose(n)),
        numbered,
    ),
    "archive-short": (
        _finite(
            lambda made, n: f"/log/{1990 + n // 336}-{n // 28 % 12 + 1:02}-{n % 28 + 1:02}",
            lambda made, n: f"{made.draw(400, n) / 10} degrees",
        ),
        numbered,
    ),
    "months": (
        _finite(lambda made, n: f"/news/{1700 + n // 12}/{MONTHS[n % 12]}", lambda made, n: made.prose(n), 12),
        numbered,
    ),
    "docs": (
        _finite(lambda made, n: f"/guide/{made.word(n % 30)}/{made.word(n)}.html", lambda made, n: made.prose(n)),
        numbered,
    ),
    "slugs": (_finite(lambda made, n: f"/{made.word(n)}-{made.word(n, 1)}", lambda made, n: made.prose(n)), numbered),
    "ids": (_finite(lambda made, n: f"/item/{made.token(n)}", lambda made, n: made.prose(n)), numbered),
    "products": (_finite(lambda made, n: f"/product/{n}", lambda made, n: f"Product {made.word(n)}"), numbered),
    "prices": (_finite(lambda made, n: f"/p/{n}.html", lambda made, n: f"Price {made.draw(9999, n)}"), numbered),
    "profiles": (
        _finite(lambda made, n: f"/user/{n}", lambda m, n: m.prose(n) if n % 3 else "This profile is private."),
        numbered,
    ),
    "articles": (_finite(lambda made, n: f"/article.php?sid={n}", lambda made, n: made.prose(n)), numbered),
    "tiles": (
        _finite(lambda made, n: f"/{n // 100}/{n // 10 % 10}/{n % 10}", lambda made, n: f"Tile {n}"),
        numbered,
    ),
    "talks": (_finite(lambda made, n: f"/programme?session_id={n}&year=2026", lambda made, n: made.prose(n)), numbered),
    "languages": (
        _finite(lambda made, n: f"/{('en', 'de', 'fr')[n % 3]}/text/{n // 3}", lambda made, n: made.prose(n)),
        numbered,
    ),
    "issues": (_finite(lambda made, n: f"/issues/{n}", lambda made, n: f"#{n} {made.prose(n)}"), numbered),
    "mailing-list": (
        _finite(lambda made, n: f"/pipermail/{2000 + n // 100}-{MONTHS[n % 12]}/{n:06}.html", lambda m, n: m.prose(n)),
        numbered,
    ),
    "downloads": (
        _finite(lambda made, n: f"/pool/{made.word(n)[0]}/{made.word(n)}_{n}.html", lambda made, n: f"Version {n}"),
        numbered,
    ),
    "pairs": (
        _finite(lambda made, n: f"/compare?a={n % 50}&b={n // 50}", lambda made, n: made.prose(n)),
        numbered,
    ),
    "tags": (_finite(lambda made, n: f"/tag/{made.word(n)}", lambda made, n: f"Tagged {made.word(n)}: 1"), numbered),
}


def sample(contents: Iterator[str], many: int) -> list[str]:
    """The first few contents of a site."""
    return list(islice(contents, many))
