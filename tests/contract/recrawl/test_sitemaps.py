"""Re-crawls of a site with sitemaps: pages that only these name stay, come and go with them."""

from __future__ import annotations

from pathlib import Path

import pytest

import variants
from crawler.storage.diff import Unchanged, diff
from crawler.storage.generations import folder_of
from tests.contract.changing_site import ChangingSite, page
from tests.contract.recrawls import again, first, fresh_digest
from tests.contract.webs import rows

ORPHANS = ("o1", "o2", "o3")
"""Pages that only the sitemap names. o3 links to a page that nothing else names."""


def listing(site: ChangingSite, *names: str) -> bytes:
    """A sitemap that lists these pages."""
    entries = "".join(f"<url><loc>{site.at(name)}</loc></url>" for name in names)
    return f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{entries}</urlset>'.encode()


@pytest.fixture
def listed(site: ChangingSite) -> ChangingSite:
    """The site with a sitemap that its robots.txt names."""
    site.pages |= {f"/{name}": page(name) for name in ORPHANS}
    site.pages |= {"/o3": page("o3", "below"), "/below": page("below")}
    site.pages |= {"/map.xml": listing(site, *ORPHANS), "/robots.txt": f"Sitemap: {site.at('map.xml')}\n".encode()}
    return site


def met(out: Path, number: int) -> set[str]:
    """The paths that a generation has asked for."""
    return {url.rpartition("/")[2] for url in rows(folder_of(out, number))}


def gone(out: Path) -> set[str]:
    """The names of the pages that the last generation found gone."""
    return {one.url.rpartition("/")[2] for one in diff(out).gone}


@pytest.mark.parametrize("mode", variants.names())
def test_pages_that_only_a_sitemap_names_are_met_again(listed: ChangingSite, tmp_path: Path, mode: str) -> None:
    out = first(listed, tmp_path, sitemaps=True, mode=mode)
    listed.pages["/o1"] = page("edited")
    summary = again(out)
    asked = listed.take_asked()
    assert {f"/{name}" for name in (*ORPHANS, "below", "map.xml")} <= asked.keys()
    assert all(one.conditional for one in asked.values())
    assert (summary.not_modified, summary.pages, summary.complete) == (9, 10, True)
    found = diff(out)
    assert [one.url for one in found.changed] == [listed.at("o1")] and found.unchanged == Unchanged(9)
    assert (found.new, found.gone, found.moved, found.uncertain) == ([], [], [], [])
    assert summary.digest == fresh_digest(listed, tmp_path, sitemaps=True)


def test_a_sitemap_that_lists_another_page_finds_it(listed: ChangingSite, tmp_path: Path) -> None:
    out = first(listed, tmp_path, sitemaps=True)
    listed.pages |= {"/o4": page("o4"), "/map.xml": listing(listed, *ORPHANS, "o4")}
    assert again(out).not_modified == 9
    assert diff(out).new == [listed.at("o4")]


def test_a_page_that_a_sitemap_lost_is_asked_for_once_more_and_dropped_with_what_it_led_to(
    listed: ChangingSite, tmp_path: Path
) -> None:
    out = first(listed, tmp_path, sitemaps=True)
    listed.pages["/map.xml"] = listing(listed, "o1", "o2")
    assert again(out).not_modified == 9
    assert {"/o3", "/below"} <= listed.take_asked().keys()
    assert diff(out).gone == []
    assert again(out).not_modified == 8
    assert not {"/o3", "/below"} & listed.take_asked().keys()
    assert gone(out) == {"o3", "below"}


def test_while_a_sitemap_cannot_be_read_nothing_of_it_is_dropped(listed: ChangingSite, tmp_path: Path) -> None:
    out = first(listed, tmp_path, sitemaps=True)
    whole, listed.pages["/map.xml"] = listed.pages["/map.xml"], 500
    for number in (1, 2):
        assert again(out).pages == 9
        assert {*ORPHANS, "below"} <= met(out, number) and gone(out) == set()
    listed.pages["/map.xml"] = whole
    assert again(out).not_modified == 10
    assert diff(out).new == [] and gone(out) == set()


@pytest.mark.parametrize("status", [403, 404])
def test_a_sitemap_that_is_refused_or_gone_is_as_one_that_lists_nothing(
    listed: ChangingSite, tmp_path: Path, status: int
) -> None:
    out = first(listed, tmp_path, sitemaps=True)
    listed.pages["/map.xml"] = status
    assert again(out).pages == 9
    assert gone(out) == ({"map.xml"} if status == 404 else set())
    assert again(out).pages == 5
    assert gone(out) == {*ORPHANS, "below"}


def test_a_sitemap_that_robots_txt_no_longer_names_goes_with_all_that_it_lists(
    listed: ChangingSite, tmp_path: Path
) -> None:
    out = first(listed, tmp_path, sitemaps=True)
    listed.pages["/robots.txt"] = b""
    assert again(out).not_modified == 10
    assert gone(out) == set()
    assert again(out).not_modified == 5
    assert gone(out) == {"map.xml", *ORPHANS, "below"}


def test_a_sitemap_to_start_from_is_one_of_every_generation(listed: ChangingSite, tmp_path: Path) -> None:
    listed.pages["/robots.txt"] = b""
    out = first(listed, tmp_path, sitemap=(listed.at("map.xml"),))
    listed.pages["/map.xml"] = listing(listed, "o1", "o2")
    again(out)
    again(out)
    assert "map.xml" in met(out, 2) and gone(out) == {"o3", "below"}


def test_an_index_and_its_sitemaps_may_change_apart(listed: ChangingSite, tmp_path: Path) -> None:
    def index(*names: str) -> bytes:
        entries = "".join(f"<sitemap><loc>{listed.at(name)}</loc></sitemap>" for name in names)
        return f"<sitemapindex>{entries}</sitemapindex>".encode()

    listed.pages |= {"/a.xml": listing(listed, "o1"), "/b.xml": listing(listed, "o2")}
    listed.pages["/map.xml"] = index("a.xml", "b.xml")
    out = first(listed, tmp_path, sitemaps=True)
    listed.pages |= {"/a.xml": listing(listed, "o1", "o3"), "/map.xml": index("a.xml")}
    again(out)
    assert diff(out).new == [listed.at("below"), listed.at("o3")] and gone(out) == set()
    assert {"b.xml", "o2"} <= met(out, 1)
    again(out)
    assert gone(out) == {"b.xml", "o2"}
