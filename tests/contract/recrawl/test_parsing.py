"""A page is parsed when its body comes, and not again for a 304."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from crawler.core.page import links
from crawler.core.page.links import Reading
from crawler.pipeline import page_processor, revalidation
from crawler.storage.generations import KNOWN
from crawler.storage.known_pages import KnownPage, KnownReader
from tests.contract.changing_site import ChangingSite, page
from tests.contract.recrawls import again, check


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The URLs of the pages that are parsed in this process."""
    urls: list[str] = []

    def read_page(body: bytes, url: str, *more: Any) -> Reading:
        urls.append(url)
        return links.read_page(body, url, *more)

    monkeypatch.setattr(page_processor, "read_page", read_page)
    return urls


def test_a_page_is_parsed_when_its_body_comes_and_never_for_a_304(
    site: ChangingSite, crawled: Path, parsed: list[str]
) -> None:
    site.pages["/one"] = page("one", "/", "http://other.test/") + b"<a href=mailto:a@b>"
    parsed.clear()
    second = again(crawled)
    assert parsed == [site.at("one")]
    third = again(crawled)
    assert parsed == [site.at("one")] and not list(crawled.glob("**/readings"))
    assert (third.not_modified, third.digest, third.complete) == (5, second.digest, True)
    assert third.not_followed == second.not_followed == {"out_of_scope": 1, "scheme": 1}
    check(crawled, 2)


def test_headers_that_matter_end_what_was_kept(site: ChangingSite, crawled: Path, parsed: list[str]) -> None:
    site.with_200 = site.with_304 = {"X-Robots-Tag": "noarchive"}
    again(crawled)  # headers that the first crawl did not get: a new record
    again(crawled)
    parsed.clear()
    assert again(crawled).not_modified == 5 and parsed == []  # they are the stored ones now
    site.with_304 = {"X-Robots-Tag": "nofollow"}
    summary = again(crawled)
    assert len(parsed) == 5 and summary.not_modified == 5  # no link is followed, so each page is asked for once more
    assert summary.not_followed["nofollow"] > 0


def test_a_page_is_parsed_again_under_other_rules_and_where_what_was_read_is_damaged(
    site: ChangingSite, crawled: Path, parsed: list[str]
) -> None:
    parsed.clear()
    again(crawled, user_agent="another/1.0")
    assert len(parsed) == 5
    parsed.clear()
    again(crawled)
    assert parsed == []
    with closing(sqlite3.connect(crawled / KNOWN)) as connection, connection:
        connection.execute("UPDATE page SET reading = zeroblob(40) WHERE url = ?", (site.at("one"),))
    assert again(crawled).not_modified == 5
    assert parsed == [site.at("one")]


def test_a_page_is_looked_up_once_for_its_request_and_its_answer(
    site: ChangingSite, crawled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[str] = []

    def find(reader: KnownReader, url: str) -> KnownPage | None:
        found.append(url)
        return whole(reader, url)

    whole = KnownReader.find
    monkeypatch.setattr(KnownReader, "find", find)
    site.pages["/one"] = page("edited", "/")
    assert again(crawled).not_modified == 4
    assert sorted(found) == sorted(site.at(path) for path in site.pages)
    monkeypatch.setattr(revalidation, "MOST_IN_FLIGHT", 1)  # so answers find it dropped
    assert again(crawled).not_modified == 5
    monkeypatch.undo()
    monkeypatch.setattr(KnownReader, "find", find)
    monkeypatch.setattr(revalidation, "LARGE", -1)  # so nothing is kept for an answer
    found.clear()
    assert again(crawled).not_modified == 5
    assert len(found) > len(site.pages)
