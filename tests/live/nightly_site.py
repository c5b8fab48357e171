"""A site of files behind a real nginx that is edited between two crawls, and what a re-crawl must then find.

The files are small ones of our own, or the manuals of Python, PostgreSQL and Apache as Debian packages them, with 4,500
URLs. What changes is chosen by a seed. New pages are linked from edited ones, so that nothing else changes.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import pytest

from crawler.storage.diff import GenerationDiff, Unchanged, diff
from crawler.storage.directory import CrawlDirectory
from crawler.storage.generations import folder_of
from crawler.storage.verify import audit
from tests.contract.webs import rows
from tests.live.real_servers import nginx
from tests.live.server_process import CHANGED, Command, Place, Server, find, folder_for_servers, running

MANUALS = {
    "py": "/usr/share/doc/python3.11-doc/html",
    "pg": "/usr/share/doc/postgresql-doc-15/html",
    "apache": "/usr/share/doc/apache2-doc/manual",
}
INSTALL = "apt-get install nginx-light python3-doc postgresql-doc-15 apache2-doc"
NOT_PAGES = r"\.(png|gif|jpe?g|svg|ico|css|js|json|zip|gz|pdf|txt|c|h|cpp|hpp|py|xml|inv)$"
LINKS = 3
"""Pages that each page of our own links to, below it in a tree."""


class Edits(NamedTuple):
    """How many pages are edited, deleted and added."""

    edited: int
    deleted: int
    added: int


class Expected(NamedTuple):
    """The URLs that a diff must name, and how many pages are the same."""

    changed: set[str]
    gone: set[str]
    new: set[str]
    unchanged: int


class NightlySite:
    """The files in `folder`, served at `url`, and the log of its requests."""

    def __init__(self, folder: Path, url: str, log: Path) -> None:
        self.folder = folder
        self.url = url
        self._log = log

    @property
    def logged(self) -> int:
        """The bytes of the log so far."""
        return self._log.stat().st_size

    def requests(self, since: int) -> list[str]:
        """The paths of all requests for pages that were logged after so many bytes."""
        lines = self._log.read_bytes()[since:].decode().splitlines()
        return [line for line in lines if line != "/robots.txt"]

    def edit(self, out: Path, edits: Edits, seed: int) -> Expected:
        """Edit, delete and add files, of those that generation 0 in `out` has pages of."""
        urls: dict[Path, set[str]] = {}
        for url, row in rows(out).items():
            if row.part:
                urls.setdefault(self._file_of(url), set()).add(url)
        # nginx answers 403 for a folder whose index.html is gone
        files = sorted(file for file in urls if file.suffix == ".html" and file.name != "index.html")
        chosen = random.Random(seed).sample(files, edits.edited + edits.deleted)
        edited, deleted = chosen[: edits.edited], chosen[edits.edited :]
        new = {f"{self.url}added-{number}.html" for number in range(edits.added)}
        for number, file in enumerate(edited):
            links = [f"/added-{number}.html"] if number < edits.added else []
            _append(file, f"edit {number}", links)
        for number in range(edits.added):
            _write(self.folder / f"added-{number}.html", _page(f"added {number}", ["/"]), CHANGED + 60)
        for file in deleted:
            file.unlink()
        changed, gone = ({url for file in some for url in urls[file]} for some in (edited, deleted))
        return Expected(changed, gone, new, sum(map(len, urls.values())) - len(changed) - len(gone))

    def _file_of(self, url: str) -> Path:
        path = unquote(urlsplit(url).path).lstrip("/")
        return self.folder / (f"{path}index.html" if path.endswith("/") or not path else path)


def check(root: Path, expected: Expected) -> GenerationDiff:
    """Generation 1 in `root` is whole, each of its records is stored and named once, and its diff is as expected."""
    found = diff(root)
    assert {one.url for one in found.changed} == expected.changed
    assert {one.url for one in found.gone} == expected.gone and {one.why for one in found.gone} == {"404"}
    assert set(found.new) == expected.new and len(found.new) == len(expected.new)
    assert (found.moved, found.uncertain, found.complete) == ([], [], True)
    assert found.unchanged == Unchanged(not_modified=expected.unchanged)
    for number in (0, 1):
        directory = CrawlDirectory.open_readonly(folder_of(root, number))
        whole = audit(directory)
        assert (whole.wrong, whole.orphans) == (0, 0), whole.problems
        store = directory.store()
        stored = [page.url for part in store.parts() for _, page in store.pages(part)]
        assert len(stored) == len(set(stored))
    assert set(stored) == expected.changed | expected.new
    return found


def own_pages(folder: Path, count: int) -> None:
    """Write pages in a tree, each with links to LINKS others, and back to the first."""
    for number in range(count):
        links = [f"/{n}.html" for n in range(LINKS * number + 1, LINKS * number + LINKS + 1) if n < count]
        name = f"{number}.html" if number else "index.html"
        _write(folder / name, _page(f"page {number}", ["/", *links]), CHANGED)


def manuals(folder: Path) -> None:
    """Copy the manuals. Skips the test where they are not installed."""
    for name, source in MANUALS.items():
        if not Path(source).is_dir():
            pytest.skip(f"{source} is not there: {INSTALL}")
        shutil.copytree(source, folder / name)
    links = ["/py/index.html", "/pg/index.html", "/apache/en/index.html"]
    _write(folder / "index.html", _page("manuals", links), CHANGED)


@contextmanager
def nightly_site(own: int) -> Iterator[NightlySite]:
    """A site of `own` pages of our own, or of the manuals for 0. Skips the test where something is not installed."""
    find("nginx", INSTALL)
    with folder_for_servers() as folder:
        site = folder / "site"
        site.mkdir()
        if own:
            own_pages(site, own)
        else:
            manuals(site)
        with running(Server("nginx", _nginx), Place(folder, site, 0)) as served:
            yield NightlySite(site, f"http://127.0.0.1:{served.place.port}/", served.place.folder / "access")


def _nginx(place: Place) -> Command:
    (place.folder / "access").touch()
    return nginx(
        place,
        f"""
        log_format path "$request_uri";
        access_log {place.folder}/access path;
        server {{
            listen 127.0.0.1:{place.port} backlog=1024;
            root {place.site};
            index index.html;
        }}
        """,
        INSTALL,
    )


def _page(title: str, links: Iterable[str]) -> str:
    anchors = " ".join(f"<a href='{link}'>{link}</a>" for link in links)
    return f"<!doctype html><title>{title}</title><main><p>{title}. {anchors}</main>"


def _append(file: Path, text: str, links: Iterable[str]) -> None:
    anchors = " ".join(f"<a href='{link}'>{link}</a>" for link in links)
    content = file.read_bytes() + f"<main><p>{text}. {anchors}</main>".encode()
    file.unlink()  # it may be a link to a file of a package
    file.write_bytes(content)
    os.utime(file, (CHANGED + 60, CHANGED + 60))


def _write(file: Path, text: str, changed: int) -> None:
    file.write_text(text)
    os.utime(file, (changed, changed))
