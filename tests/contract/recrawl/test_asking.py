"""What a re-crawl asks for and stores, and what the diff then says."""

from __future__ import annotations

import itertools
from pathlib import Path

import crawler
from crawler.storage.diff import ChangedPage, GonePage, MovedPage, Unchanged, diff, diff_of_text
from tests.contract.changing_site import DATES, LIES, NONE, ChangingSite, page
from tests.contract.recrawls import NAMES, again, bodies_stored, first, fresh_digest, unchanged


def test_a_page_that_did_not_change_is_neither_sent_nor_stored_again(
    site: ChangingSite, stored: Path, tmp_path: Path
) -> None:
    summary = again(stored)
    sent, asked = site.sent, site.take_asked()
    assert sent == 0 and len(asked) == 5
    assert all(one.if_none_match and one.if_modified_since for one in asked.values())
    assert (summary.generation, summary.not_modified, summary.pages, summary.complete) == (1, 5, 5, True)
    assert (
        summary.bytes_saved
        == summary.bytes
        == sum(len(body) for body in site.pages.values() if isinstance(body, bytes))
    )
    assert summary.statuses == {"200": 5}
    assert bodies_stored(stored, 1) == 0
    assert summary.digest == fresh_digest(site, tmp_path)
    assert diff(stored).unchanged == Unchanged(5)


def test_the_diff_names_exactly_what_was_edited_added_removed_and_moved(
    site: ChangingSite, crawled: Path, tmp_path: Path
) -> None:
    site.pages |= {"/": page("home", *NAMES, "five"), "/one": page("edited", "/"), "/two": 404, "/five": page("five")}
    del site.pages["/three"]
    site.moved["/three"] = "/five"
    summary = again(crawled)
    found = diff(crawled)
    assert (found.older, found.newer, found.complete) == (0, 1, True)
    assert found.new == [site.at("five")]
    assert found.gone == [GonePage(site.at("two"), "404")]
    assert found.moved == [MovedPage(site.at("three"), site.at("five"))]
    assert found.changed == [
        ChangedPage(site.at("/"), ("main_text", "outlinks")),
        ChangedPage(site.at("one"), ("main_text", "title")),
    ]
    assert found.uncertain == [] and unchanged(found) == (1, 0, 0)
    assert (summary.complete, summary.incomplete_because) == (True, {})
    assert summary.digest == fresh_digest(site, tmp_path)
    text = list(diff_of_text(crawled, site.at("one")))
    assert text[:2] == ["--- generation 0", "+++ generation 1"] and "-one. /" in text and "+edited. /" in text


def test_dates_alone_are_validators_too(site: ChangingSite, tmp_path: Path) -> None:
    site.validators = DATES
    out = first(site, tmp_path)
    site.pages["/one"] = page("edited", "/")
    site.dates["/one"] = "Wed, 02 Dec 2026 10:00:00 GMT"
    assert again(out).not_modified == 4
    assert [one.url for one in diff(out).changed] == [site.at("one")]


def test_every_nth_fetch_is_unconditional_and_finds_a_server_that_lies(site: ChangingSite, tmp_path: Path) -> None:
    site.validators = LIES
    out = first(site, tmp_path, revalidate_every=3)
    site.pages["/one"] = page("edited", "/")
    for number in (1, 2):
        assert again(out).not_modified == 5
        assert all(one.conditional for one in site.take_asked().values())
        assert diff(out, newer=number).changed == []
    assert again(out).not_modified == 0
    assert not any(one.conditional for one in site.take_asked().values())
    assert [one.url for one in diff(out).changed] == [site.at("one")]
    assert again(out).not_modified == 5


def test_a_server_without_validators_sends_all_and_equal_bodies_are_not_stored_again(
    site: ChangingSite, tmp_path: Path
) -> None:
    site.validators = NONE
    out = first(site, tmp_path)
    site.pages["/one"] = page("edited", "/")
    summary = again(out)
    assert not any(one.conditional for one in site.take_asked().values())
    assert (summary.not_modified, summary.bytes_saved, bodies_stored(out, 1)) == (0, 0, 1)
    assert unchanged(diff(out)) == (0, 4, 0)


def test_a_page_that_differs_in_its_footer_each_time_did_not_change(site: ChangingSite, tmp_path: Path) -> None:
    clock = itertools.count()
    site.pages["/one"] = lambda: page("one", "/") + f"<footer>{next(clock)}</footer>".encode()
    out = first(site, tmp_path)
    again(out)
    found = diff(out)
    assert found.changed == [] and unchanged(found) == (4, 0, 1)
    assert bodies_stored(out, 1) == 1


def test_new_validators_of_an_unchanged_body_are_used_the_next_time(site: ChangingSite, stored: Path) -> None:
    site.validators = LIES  # another ETag for every page
    again(stored)
    assert bodies_stored(stored, 1) == 0 and unchanged(diff(stored)) == (0, 5, 0)
    site.take_asked()
    assert again(stored).not_modified == 5
    assert {one.if_none_match for one in site.take_asked().values()} == {'"always"'}
    assert bodies_stored(stored, 2) == 0


def test_headers_that_come_with_a_304_are_stored(site: ChangingSite, crawled: Path) -> None:
    site.with_304 = {"X-Robots-Tag": "noindex"}
    assert again(crawled).not_modified == 5
    with crawler.open(crawled) as found:
        assert all(one.noindex and one.body for one in found.pages())
    assert bodies_stored(crawled, 1) == 0
    assert {one.what for one in diff(crawled).changed} == {("noindex",)}
    assert again(crawled).not_modified == 5 and diff(crawled).unchanged == Unchanged(5)
