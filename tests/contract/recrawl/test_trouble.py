"""Re-crawls of a site with trouble: nothing good is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

import crawler
from crawler.storage.diff import diff
from crawler.storage.readings import remove_readings
from tests.contract.changing_site import ChangingSite, page
from tests.contract.recrawls import again, check, first, unchanged


def test_a_site_that_is_down_for_two_nights_loses_nothing(site: ChangingSite, crawled: Path) -> None:
    site.down = True
    for number in (1, 2):
        summary = again(crawled)
        assert (summary.generation, summary.ending, summary.pages) == (number, "failed", 0)
        found = diff(crawled)
        assert (found.gone, found.new, found.changed) == ([], [], [])
    assert {one.url for one in diff(crawled, 0, 1).uncertain} == {site.at(path) for path in site.pages}
    site.down = False
    site.pages["/one"] = page("edited", "/")
    site.asked = []
    assert again(crawled).not_modified == 4
    found = diff(crawled)
    assert (found.older, found.newer) == (2, 3)
    assert [one.url for one in found.changed] == [site.at("one")]
    assert found.new == [] and unchanged(found) == (4, 0, 0)


def test_an_error_does_not_overwrite_a_good_page(site: ChangingSite, crawled: Path) -> None:
    good, site.pages["/one"] = site.pages["/one"], 500
    assert again(crawled).ending == "incomplete"
    found = diff(crawled)
    assert [(one.url, one.why) for one in found.uncertain] == [(site.at("one"), "server_error")]
    assert found.gone == [] and not found.complete
    site.asked = []
    site.pages["/one"] = good
    assert again(crawled).not_modified == 5
    assert unchanged(diff(crawled)) == (5, 0, 0)


@pytest.mark.parametrize("status", [403, 404])
def test_a_permanent_error_forgets_the_validators(site: ChangingSite, crawled: Path, status: int) -> None:
    good, site.pages["/one"] = site.pages["/one"], status
    again(crawled)
    site.take_asked()
    site.pages["/one"] = good
    assert again(crawled).not_modified == 4
    assert not site.take_asked()["/one"].conditional
    found = diff(crawled)
    assert found.new == ([site.at("one")] if status == 404 else [])
    assert unchanged(found) == (4, int(status == 403), 0)


def test_a_stored_page_that_cannot_be_read_is_fetched_without_validators(site: ChangingSite, tmp_path: Path) -> None:
    out = first(site, tmp_path, store="files")
    stored = next(path for path in (out / "bodies").glob("*/*") if b"<title>one" in path.read_bytes())
    stored.write_bytes(b"damaged")
    remove_readings(out)  # otherwise nobody looks at it before it is fetched without validators, or verified
    summary = crawler.recrawl(out)
    asked = [one for one in site.asked if one.path == "/one"]
    assert [one.conditional for one in asked] == [True, False]
    assert (summary.not_modified, summary.pages, summary.complete) == (4, 5, True)
    check(out, 1)
