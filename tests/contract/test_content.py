"""The content of a crawl, read back: pages, links, who links whom, exports; on every store that lies on a disk."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import crawler
from crawler.core.messages import Link, Settled
from crawler.core.page.digest import term
from crawler.core.reasons import ParseSkipped, Reason
from crawler.errors import Corrupt, UsageError
from crawler.report import broken_links
from crawler.report.facts import Facts
from crawler.report.page import page as report_page
from crawler.report.reading import read
from crawler.settings import Settings
from crawler.storage.directory import CrawlDirectory
from crawler.storage.export import COLUMNS, NUMBERS, as_csv, as_jsonl, fields_of, records
from crawler.storage.frontier.base import Batch
from crawler.storage.linking_pages import LinkingPages
from crawler.storage.pages import STORES
from crawler.storage.pages.base import Page
from crawler.storage.row_filter import condition
from crawler.storage.stored_crawl import StoredCrawl

A = "http://a.test"
HEADERS = (("Content-Type", "text/html; charset=latin1"), ("X-One", "1"), ("x-one", "2"))
BODIES = {
    "/": "<title>Caf\xe9</title><a href=/2>2</a><a href=/gone>x</a><a href=/old>o</a><a href=http://b.test/>b</a>",
    "/2": "<title>Two</title><p>text</p><a href=/gone>x</a><a href=/gone#f>x</a><a href=/2>self</a>",
    "/3": "<a href=/gone>hidden</a>",
    "/4": "<a href=/gone rel=nofollow>no</a><a href=/broken>y</a>",
}
UNREAD = "/3"


@pytest.fixture(params=[*STORES])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StoredCrawl]:
    """Four pages, admitted in the reverse order of their URLs, one of them unread; a redirect; two broken links."""
    settings = Settings(seeds=(f"{A}/",), store=request.param)
    with closing(CrawlDirectory.create(tmp_path / "out", settings, demo=False, fresh=False)) as directory:
        directory.begin_run(settings)
        ends = []
        with closing(directory.store().writer("0001-000")) as writer:
            for number, (path, text) in enumerate(reversed(BODIES.items()), 1):
                body, url = text.encode("latin1"), A + path
                digest = term(url, 200, body)
                at = writer.put(Page(url, 200, HEADERS, 1e9, 0.1, "text/html", "windows-1252", digest, body))
                why = ParseSkipped.CPU_LIMIT if path == UNREAD else None
                ends.append(Settled(number, url, Reason.OK, 200, 1, len(body), digest, "0001-000", at, unread=why))
        ends.append(Settled(11, f"{A}/old", Reason.REDIRECT, 301, 1, detail=f"{A}/broken"))
        ends.append(Settled(12, f"{A}/gone", Reason.CLIENT_ERROR, 404, 1))
        ends.append(Settled(13, f"{A}/broken", Reason.SERVER_ERROR, 500, 3))
        with closing(directory.frontier()) as frontier:
            queued = [Link(end.id, end.url, 1) for end in ends]
            frontier.commit(Batch(queued=[*queued, Link(99, f"{A}/owed", 2)], settled=ends), 1e9)
    with crawler.open(tmp_path / "out") as crawl:
        yield crawl


def linking(crawl: StoredCrawl, *paths: str, most: int = 5, seconds: float = 60.0) -> dict[str, list[str]]:
    with closing(LinkingPages((A + path for path in paths), most)) as found:
        found.search(crawl, seconds)
        assert found.complete is (seconds > 0)
        return {path: [url.removeprefix(A) for url in found.of(A + path)] for path in paths}


def exported(crawl: StoredCrawl, fields: str, *where: str) -> list[dict[str, object]]:
    conditions = [condition(text, COLUMNS, NUMBERS) for text in where]
    return [json.loads(line) for line in as_jsonl(records(crawl, fields_of(fields, False), conditions))]


def test_pages_come_in_the_order_of_admission_with_their_content(stored: StoredCrawl) -> None:
    pages = list(stored.pages())
    assert [page.url.removeprefix(A) for page in pages] == ["/4", "/3", "/2", "/"]
    last = pages[-1]
    assert (last.title, last.depth, last.header("x-ONE"), last.header("none")) == ("Caf\xe9", 1, "1", "")
    assert last.links == (f"{A}/2", f"{A}/gone", f"{A}/old", "http://b.test/")
    assert [str(element.text) for element in last.css("a[href^='/']")] == ["2", "x", "o"]
    assert pages[2].text.splitlines()[0] == "text"
    with pytest.raises(ValueError, match="selector"):
        last.css("a[")


def test_links_are_those_that_the_crawl_could_follow(stored: StoredCrawl) -> None:
    found = [(page.removeprefix(A), target.removeprefix(A)) for page, target in stored.links()]
    assert found == [
        *(("/", "/2"), ("/", "/gone"), ("/", "/old"), ("/", "http://b.test/")),
        *(("/2", "/gone"), ("/2", "/2"), ("/4", "/broken"), ("/old", "/broken")),
    ]


def test_the_first_pages_in_the_order_of_urls_link_to_a_url(stored: StoredCrawl) -> None:
    wanted = ("/gone", "/broken", "/2", "/")
    assert linking(stored, *wanted) == {"/gone": ["/", "/2"], "/broken": ["/4", "/old"], "/2": ["/"], "/": []}
    assert linking(stored, *wanted, most=1) == {"/gone": ["/"], "/broken": ["/4"], "/2": ["/"], "/": []}


def test_a_search_without_time_finds_nothing_and_says_so(stored: StoredCrawl) -> None:
    assert linking(stored, "/gone", seconds=-1.0) == {"/gone": []}


def test_an_export_has_the_fields_and_rows_that_were_asked_for(stored: StoredCrawl) -> None:
    rows = exported(stored, "url,linked_from,title", "status>=400", "reason!=server_error")
    assert rows == [{"url": f"{A}/gone", "linked_from": [f"{A}/", f"{A}/2"], "title": None}]
    (old,) = exported(stored, "redirect_target,detail", "reason=redirect")
    assert old == {"redirect_target": f"{A}/broken", "detail": None}
    (first,) = exported(stored, "body,headers,text,body_file", f"url={A}/")
    assert first["body"] == BODIES["/"]
    assert first["headers"] == [list(pair) for pair in HEADERS]
    name = hashlib.sha256(BODIES["/"].encode("latin1")).hexdigest()
    assert first["body_file"] == f"{name[:2]}/{name}"
    assert list(exported(stored, "url")[0]) == ["url"]


def test_an_unknown_field_is_refused_with_all_there_are() -> None:
    with pytest.raises(UsageError, match=r"'titel'; did you mean title\? \(fields: url, .*linked_from\)"):
        fields_of("url,titel", False)


def test_bodies_become_files_that_the_rows_name(stored: StoredCrawl, tmp_path: Path) -> None:
    fields = fields_of(None, bodies=True)
    assert fields == (*COLUMNS, "body_file")
    named = [row["body_file"] for row in records(stored, fields, (), tmp_path / "bodies") if row["body_file"]]
    assert {(tmp_path / "bodies" / str(name)).read_bytes().decode("latin1") for name in named} == {*BODIES.values()}
    assert len([path for path in (tmp_path / "bodies").rglob("*") if path.is_file()]) == len(named) == len(BODIES)


def test_lists_and_lines_fit_into_cells(stored: StoredCrawl) -> None:
    names = fields_of("url,linked_from,headers,text", False)
    rows = {row["url"]: row for row in csv.DictReader(io.StringIO("".join(as_csv(records(stored, names), names))))}
    assert rows[f"{A}/gone"] == {"url": f"{A}/gone", "linked_from": f"{A}/ {A}/2", "headers": "", "text": ""}
    assert json.loads(rows[f"{A}/2"]["headers"]) == [list(pair) for pair in HEADERS]
    assert rows[f"{A}/2"]["text"].splitlines()[0] == "text"


def test_a_url_is_found_in_any_spelling(stored: StoredCrawl) -> None:
    found = stored.find("HTTP://A.test:80/x/../2#top")
    assert found is not None
    assert stored.read(found).title == "Two"
    assert (stored.find("no url"), stored.find(f"{A}/owed"), stored.find(f"{A}/none")) == (None, None, None)
    assert (stored.is_owed(f"{A}/owed"), stored.is_owed(f"{A}/2")) == (True, False)
    assert (stored.is_owed("HTTP://A.test:80/x/../owed#top"), stored.is_owed("no url")) == (True, False)


def test_a_missing_page_is_damage_that_names_the_repair(stored: StoredCrawl, tmp_path: Path) -> None:
    (tmp_path / "out/parts/0001-000.sqlite").unlink()
    with pytest.raises(Corrupt, match="repair"):
        list(stored.pages())


# ---- the report ------------------------------------------------------------------------------------------------------


@pytest.fixture
def facts(stored: StoredCrawl, tmp_path: Path) -> Facts:
    return read(CrawlDirectory.open_readonly(tmp_path / "out"))


def test_the_report_lists_broken_links_with_what_links_there(facts: Facts, tmp_path: Path) -> None:
    directory = CrawlDirectory.open_readonly(tmp_path / "out")
    found = broken_links.search(facts, directory)
    told = [(one.url, one.status, one.linked_from) for one in found.broken]
    assert told == [
        (f"{A}/broken", 500, (f"{A}/4", f"{A}/old")),
        (f"{A}/gone", 404, (f"{A}/", f"{A}/2")),
    ]
    assert found.links_searched
    text = report_page(found, "native")
    assert "Broken links" in text and "Not all pages were searched" not in text


def test_the_report_of_a_run_may_spend_a_share_of_it_and_tells_what_is_lacking(facts: Facts, tmp_path: Path) -> None:
    assert broken_links.at_the_end_of_a_run(facts) == broken_links.LEAST
    found = broken_links.search(facts, CrawlDirectory.open_readonly(tmp_path / "out"), seconds=-1.0)
    assert [one.linked_from for one in found.broken] == [(), ()]
    assert "Not all pages were searched" in report_page(found, "native")


def test_broken_links_beyond_the_most_are_counted_in_the_report(
    stored: StoredCrawl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crawler.report.frontier_facts.MOST_BROKEN", 1)
    few = read(CrawlDirectory.open_readonly(tmp_path / "out"))
    assert [one.url for one in few.broken] == [f"{A}/broken"]
    assert "Not shown: 1 more." in report_page(few, "native")


def test_a_damaged_page_ends_the_search_not_the_report(facts: Facts, tmp_path: Path) -> None:
    (tmp_path / "out/parts/0001-000.sqlite").unlink()
    found = broken_links.search(facts, CrawlDirectory.open_readonly(tmp_path / "out"))
    assert not found.links_searched
    assert len(found.broken) == 2
    assert "or a page could not be read" in report_page(found, "native"), "it does not blame the time alone"
