"""Pages that nothing links to any more are asked for once more."""

from __future__ import annotations

from pathlib import Path

from crawler.storage.diff import GonePage, diff
from tests.contract.changing_site import ChangingSite, page
from tests.contract.recrawls import NAMES, again


def test_a_page_that_nothing_links_to_is_asked_for_once_more_and_then_dropped(
    site: ChangingSite, crawled: Path
) -> None:
    site.pages["/"] = page("home", *NAMES[1:])
    assert again(crawled).pages == 5
    assert "/one" in site.take_asked()
    found = diff(crawled)
    assert found.gone == [] and [one.url for one in found.changed] == [site.at("/")]
    assert again(crawled).pages == 4
    assert "/one" not in site.take_asked()
    assert diff(crawled).gone == [GonePage(site.at("one"), "unlinked")]
    site.pages["/"] = page("home", *NAMES)
    assert again(crawled).pages == 5
    assert diff(crawled).new == [site.at("one")]


def test_a_page_that_is_gone_and_no_longer_linked_is_gone_at_once(site: ChangingSite, crawled: Path) -> None:
    site.pages |= {"/": page("home", *NAMES[1:]), "/one": 410}
    assert again(crawled).complete
    assert diff(crawled).gone == [GonePage(site.at("one"), "410")]


def test_while_links_may_be_missing_a_page_is_not_dropped(site: ChangingSite, crawled: Path) -> None:
    site.pages |= {"/": page("home", "two", "three", "hub"), "/hub": page("hub", "one", "four")}
    again(crawled)
    site.pages["/hub"] = 500
    for _ in range(2):
        site.asked = []
        summary = again(crawled)
        assert (summary.pages, summary.reasons) == (5, {"ok": 5, "server_error": 1})
        assert diff(crawled).gone == []
        assert [one.url for one in diff(crawled).uncertain] in ([site.at("hub")], [])
