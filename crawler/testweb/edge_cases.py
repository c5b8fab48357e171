"""Edge cases of the real web on small hosts: a path and its scripted answers, one per attempt.

The k-th attempt at a path gets its k-th turn, and every later one the last turn. A script counts as a promised page of
the web where it ends with a good status and HTML, and neither robots.txt nor nofollow excludes it.
"""

from __future__ import annotations

import msgspec
from xxhash import xxh3_128_digest

from crawler.testweb.document import Anchor, Fault
from crawler.testweb.hosts import Part, WebHost

PRIVATE = tuple(f"/private/note-{n}.html" for n in (1, 2, 3))
MOVED_ROBOTS = "/rules/robots.txt"


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """One answer. `raw` is a body that is not HTML; `head` goes into the HTML head; `follow` False: meta nofollow."""

    status: int = 200
    location: str = ""
    target: str = ""
    retry_after: int | None = None
    retry_date: bool = False
    fault: Fault = ""
    content_type: str = "text/html; charset=utf-8"
    raw: bytes | None = None
    charset: str = "utf-8"
    head: str = ""
    language: str = "en"
    anchors: tuple[Anchor, ...] = ()
    follow: bool = True


class Script(msgspec.Struct, frozen=True):
    """The turns of one path. `linked`: from the root of its host; not `counted` where a polite crawler cannot get."""

    turns: tuple[Turn, ...]
    linked: bool = True
    counted: bool = True

    @property
    def pages(self) -> int:
        """Number of promised pages in this: one or none."""
        last = self.turns[-1]
        return int(self.counted and last.status == 200 and last.raw is None)


Scripts = dict[str, Script]


def scripts_of(host: WebHost, big: WebHost) -> Scripts:
    """All edge cases of a host; `big` is the target host of their external links."""
    planted = _PLANTS.get(host.part, _nothing)(host, big)
    if host.private:
        planted |= {path: Script((Turn(),), counted=False) for path in PRIVATE}
    return planted


def _nothing(host: WebHost, big: WebHost) -> Scripts:
    return {}


def _archive(host: WebHost, big: WebHost) -> Scripts:
    def moved(status: int, path: str, *, linked: bool = True, written: str = "") -> Script:
        return Script((Turn(status=status, location=written or path, target=f"http://{host.name}{path}"),), linked)

    def left(status: int, location: str, target: str) -> Script:
        return Script((Turn(status=status, location=location, target=target),))

    arrival = Script((Turn(),), linked=False)
    across = f"http://{big.name}{big.site.path(big.site.size - 1)}"
    private = f"http://{big.name}{PRIVATE[0]}"
    return {
        "/old/one": moved(301, "/new/one.html"),
        "/old/two": moved(302, "/old/two-next"),
        "/old/two-next": moved(307, "/new/two.html", linked=False),
        "/old/three": moved(308, "/old/three-next"),
        "/old/three-next": moved(301, "/old/three-last", linked=False),
        "/old/three-last": moved(302, "/new/three.html", linked=False),
        "/old/relative": moved(303, "/new/relative.html", written="../new/relative.html"),
        "/old/same": moved(301, "/new/one.html"),
        "/old/across": left(301, across, across),
        "/old/private": left(302, private, private),
        "/old/ftp": left(302, "ftp://files.demo.test/old.tar", ""),
        "/old/nowhere": left(302, "", ""),
        "/loop/1": moved(302, "/loop/2"),
        "/loop/2": moved(302, "/loop/3", linked=False),
        "/loop/3": moved(302, "/loop/1", linked=False),
        "/new/one.html": arrival,
        "/new/two.html": arrival,
        "/new/three.html": arrival,
        "/new/relative.html": arrival,
    }


def _shaky(host: WebHost, big: WebHost) -> Scripts:
    return {
        "/gone.html": Script((Turn(status=410),)),
        "/forbidden.html": Script((Turn(status=403),)),
        "/broken.html": Script((Turn(status=500),)),
        "/flaky.html": Script((Turn(status=503), Turn())),
    }


def _frail(host: WebHost, big: WebHost) -> Scripts:
    return {
        "/truncated.html": Script((Turn(fault="truncated"), Turn())),
        "/reset.html": Script((Turn(fault="reset"), Turn())),
        "/flaky.html": Script((Turn(status=503), Turn())),
    }


def _busy(host: WebHost, big: WebHost) -> Scripts:
    return {
        "/too-many.html": Script((Turn(status=429, retry_after=1), Turn())),
        "/come-back.html": Script((Turn(status=503, retry_after=1), Turn())),
        "/at-a-date.html": Script((Turn(status=503, retry_after=2, retry_date=True), Turn())),
    }


def _babel(host: WebHost, big: WebHost) -> Scripts:
    planted: Scripts = {}

    def spoken(path: str, language: str, charset: str, *, header: bool, head: str = "") -> None:
        name = {"ru": "/страница", "ja": "/道", "en": "/café"}[language] + f"-{len(planted)}.html"
        target = "".join(c if c.isascii() else "".join(f"%{b:02X}" for b in c.encode()) for c in name)
        planted[path] = Script(
            (
                Turn(
                    content_type=f"text/html; charset={charset}" if header else "text/html",
                    charset=charset,
                    language=language,
                    head=head,
                    anchors=(Anchor(name, f"http://{host.name}{target}"),),
                ),
            )
        )
        planted[target] = Script((Turn(language=language),), linked=False)

    spoken("/ru/header.html", "ru", "windows-1251", header=True)
    spoken("/ru/meta.html", "ru", "windows-1251", header=False, head='<meta charset="windows-1251">')
    spoken("/ja/header.html", "ja", "shift_jis", header=True)
    pragma = '<meta http-equiv="Content-Type" content="text/html; charset=shift_jis">'
    spoken("/ja/meta.html", "ja", "shift_jis", header=False, head=pragma)
    spoken("/en/latin.html", "en", "iso-8859-1", header=True)
    spoken("/ru/meta-utf8.html", "ru", "utf-8", header=False, head='<meta charset="utf-8">')
    spoken("/ja/mark.html", "ja", "utf-8-sig", header=False)
    return planted


def _gallery(host: WebHost, big: WebHost) -> Scripts:
    def url(path: str) -> str:
        return f"http://{host.name}{path}"

    page, hidden = Script((Turn(),), linked=False), Script((Turn(),), linked=False, counted=False)
    not_links = (
        '<!-- <a href="/commented.html">no</a> --><script>document.write(\'<a href="/scripted.html">no</a>\')</script>'
        '<link rel="stylesheet" href="/style.css">'
    )
    image = b"\x89PNG\r\n\x1a\n" + b"".join(xxh3_128_digest(b"image", n) for n in range(200))
    return {
        "/nofollow.html": Script((Turn(anchors=(Anchor("/nofollow-target", "", rel="nofollow ugc"),)),)),
        "/nofollow-target": hidden,
        "/meta-nofollow.html": Script(
            (
                Turn(
                    head='<meta name="robots" content="noarchive, nofollow">',
                    anchors=(Anchor("/behind-meta-nofollow.html", ""),),
                    follow=False,
                ),
            )
        ),
        "/behind-meta-nofollow.html": hidden,
        "/based.html": Script(
            (
                Turn(
                    head='<base href="/rooms/east/">',
                    anchors=(
                        Anchor("one.html", url("/rooms/east/one.html")),
                        Anchor("../two.html", url("/rooms/two.html")),
                    ),
                ),
            )
        ),
        "/rooms/east/one.html": page,
        "/rooms/two.html": page,
        "/map.html": Script((Turn(anchors=(Anchor("room.html", url("/room.html"), tag="area"),)),)),
        "/room.html": page,
        "/not-links.html": Script((Turn(head=not_links),)),
        "/files/report.pdf": Script((Turn(content_type="application/pdf", raw=b"%PDF-1.4\n" + image + b"\n%%EOF\n"),)),
        "/files/picture.png": Script((Turn(content_type="image/png", raw=image),)),
        "/files/notes.txt": Script(
            (Turn(content_type="text/plain; charset=utf-8", raw=b'<a href="/in-text.html">no link</a>\n' * 20),)
        ),
        "/empty.html": Script((Turn(raw=b""),)),
    }


_PLANTS = {
    Part.ARCHIVE: _archive,
    Part.SHAKY: _shaky,
    Part.FRAIL: _frail,
    Part.BUSY: _busy,
    Part.BABEL: _babel,
    Part.GALLERY: _gallery,
}
