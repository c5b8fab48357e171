"""What the core decides about sitemaps: which are asked for, with what right, and what becomes of what they list."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from crawler.core.fetch_builder import FetchBuilder
from crawler.core.hosts.cookies import Jar
from crawler.core.messages import (
    Discovered,
    Fetch,
    Fetched,
    Link,
    LinksReceived,
    OutboxLink,
    SitemapKind,
    SitemapNaming,
)
from crawler.core.page.robots import sitemap_lines
from crawler.core.reasons import Ending, NotFollowed, ParseSkipped, Reason
from crawler.core.rules import Rules
from crawler.core.urls.redirects import after_redirect
from crawler.core.urls.sitemap_steps import ELSEWHERE, named_by, redirects_in
from tests.core.test_crawl import A, B, C, Driver, driver, started, urls
from tests.core.test_sharded import ME, MINE, OTHER, SHARD, THEIRS, Player

ROBOTS = f"User-agent: *\nDisallow: /private/\nSitemap: {A}/s.xml\nSITEMAP : /index.xml # ours\nSite-map:/s.xml\n"
BY_A = (f"{A}/robots.txt#sitemap",)


def asked(text: str = ROBOTS, **keys: object) -> tuple[Driver, dict[str, Fetch]]:
    """A crawl of A after its robots.txt has been read, and what it asks for then."""
    one, (robots,) = started(**{"robots": True, "sitemaps": True} | keys)  # type: ignore[arg-type]
    return one, {fetch.url: fetch for fetch in one.answer(robots, 200, robots_text=text)}


def depths(one: Driver) -> dict[str, int]:
    return {link.url: link.depth for link in one.queued}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (ROBOTS, [f"{A}/s.xml", "/index.xml", "/s.xml"]),
        ("\ufeffsitemap:a\rSitemap: b\r\n", ["a", "b"]),
        ("Sitemap:\nSitemap: #x\nsitemap\nmysitemap: a\nDisallow: /sitemap: x", []),
    ],
)
def test_sitemap_lines(text: str, found: list[str]) -> None:
    assert list(sitemap_lines(text)) == found


def test_what_robots_names_is_checked_and_limited() -> None:
    values = ["/a", "/%61", "/b", "mailto:x", "/c", "/d", "/a", "/".ljust(3000, "x")]
    found, left = named_by(A, values, Rules(max_sitemaps=2))
    assert found == [f"{A}/a", f"{A}/b"]
    assert left == {NotFollowed.INVALID: 1, NotFollowed.TOO_MANY: 2, NotFollowed.TOO_LONG: 1}


def test_robots_names_few_sitemaps_on_other_hosts() -> None:
    values = [f"http://h{number}.test/" for number in range(ELSEWHERE + 3)] + ["/a", "http://www.a.test/b"]
    found, left = named_by(A, values, Rules())
    assert found == [*values[:ELSEWHERE], f"{A}/a", "http://www.a.test/b"]
    assert left == {NotFollowed.TOO_MANY: 3}


def test_sitemaps_of_robots_are_links_of_depth_one_and_what_they_list_too() -> None:
    one, found = asked()
    assert [*found] == [f"{A}/", f"{A}/s.xml", f"{A}/index.xml"]
    assert found[f"{A}/"].naming is None
    assert found[f"{A}/s.xml"].naming == SitemapNaming(hosts=(A,))
    pages = one.answer(found[f"{A}/s.xml"], 200, f"{A}/1", f"{A}/private/2", sitemap=SitemapKind.PAGES)
    assert urls(pages) == [f"{A}/1"] and pages[0].naming is None
    assert one.reason(f"{A}/private/2") is Reason.ROBOTS
    assert depths(one) == {f"{A}/": 0} | dict.fromkeys((f"{A}/s.xml", f"{A}/index.xml", f"{A}/1", f"{A}/private/2"), 1)


def test_sitemaps_of_robots_are_left_where_they_are_not_wanted() -> None:
    assert [*asked(sitemaps=False)[1]] == [f"{A}/"]
    assert [*asked("Sitemap: mailto:x", sitemaps=False)[0].last.not_followed] == []
    assert asked("Sitemap: mailto:x")[0].last.not_followed == {NotFollowed.INVALID: 1}


def test_a_sitemap_that_robots_forbids_is_not_fetched() -> None:
    one, found = asked("User-agent: *\nDisallow: /s\nSitemap: /s.xml")
    assert [*found] == [f"{A}/"]
    assert one.reason(f"{A}/s.xml") is Reason.ROBOTS


def test_the_sitemaps_of_an_index_are_sitemaps_of_whoever_named_it() -> None:
    one, found = asked()
    fetches = one.answer(found[f"{A}/index.xml"], 200, f"{A}/s.xml", f"{A}/t.xml", sitemap=SitemapKind.INDEX)
    assert [(fetch.url, fetch.naming) for fetch in fetches] == [
        (f"{A}/t.xml", SitemapNaming(hosts=(A,), by_index=True))
    ]
    assert depths(one)[f"{A}/t.xml"] == 1
    (link,) = [link for link in one.frontier.owed() if link.url == f"{A}/t.xml"]
    assert link.via == (*BY_A, f"{A}/index.xml#index")
    one.answer(fetches[0], 200, unread=ParseSkipped.NESTED, sitemap=SitemapKind.INDEX)
    assert one.settled[f"{A}/t.xml"].unread is ParseSkipped.NESTED


def test_a_sitemap_out_of_scope_is_fetched_for_the_host_that_names_it() -> None:
    one, found = asked(f"Sitemap: {B}/a.xml")
    (named,) = one.answer(found[f"{B}/robots.txt"], 200, robots_text=f"Sitemap: {B}/b.xml\nSitemap: {C}/c.xml")
    assert (named.url, named.naming) == (f"{B}/a.xml", SitemapNaming(hosts=(A,)))
    assert urls(one.answer(named, 200, f"{A}/1", f"{B}/2", sitemap=SitemapKind.PAGES)) == [f"{A}/1"]
    assert one.last.not_followed == {NotFollowed.OUT_OF_SCOPE: 1}


def test_a_redirect_of_a_sitemap_out_of_scope_is_left_and_one_within_it_is_followed() -> None:
    one, found = asked("Sitemap: /s.xml\nSitemap: /t.xml", include=("^/docs",))
    assert one.answer(found[f"{A}/s.xml"], 301, location=f"{B}/s.xml") == []
    assert one.last.not_followed == {NotFollowed.OUT_OF_SCOPE: 1}
    (target,) = one.answer(found[f"{A}/t.xml"], 301, location=f"{A}/u.xml")
    assert (target.url, target.naming) == (f"{A}/u.xml", SitemapNaming(hosts=(A,)))


def test_a_filter_of_the_user_judges_pages_not_sitemaps() -> None:
    one = driver(robots=True, sitemaps=True, url_filter=lambda url: "docs" in url)
    (robots,) = one.step(Discovered((f"{A}/",)))
    _, named = one.answer(robots, 200, robots_text="Sitemap: /s.xml")
    assert urls(one.answer(named, 200, f"{A}/1", f"{A}/docs", sitemap=SitemapKind.PAGES)) == [f"{A}/docs"]


def test_a_sitemap_of_the_user_is_trusted_and_so_are_those_that_it_lists() -> None:
    one, (first,) = started(f"{A}/s.xml", sitemap=(f"{A}/s.xml",))
    assert first.naming == SitemapNaming(trusted=True)
    (listed,) = one.answer(first, 200, f"{B}/t.xml", sitemap=SitemapKind.INDEX)
    assert (listed.url, listed.naming) == (f"{B}/t.xml", SitemapNaming(trusted=True, by_index=True))
    one.answer(listed, 200, f"{A}/1", sitemap=SitemapKind.PAGES)
    assert depths(one) == {f"{A}/s.xml": 0, f"{B}/t.xml": 1, f"{A}/1": 1}


def test_a_redirect_of_a_page_is_no_sitemap() -> None:
    rules = Rules(sitemaps=True)
    order = FetchBuilder(Jar(), rules).page(1, Link(1, f"{A}/x", 1, (f"{A}/y",)), 0.0)
    assert order.naming is None


def test_a_host_may_have_so_many_sitemaps() -> None:
    one, found = asked("Sitemap: /1.xml\nSitemap: /2.xml\nSitemap: /3.xml", max_sitemaps=2)
    assert one.last.not_followed == {NotFollowed.TOO_MANY: 1}
    fetches = one.answer(found[f"{A}/1.xml"], 200, f"{A}/3.xml", sitemap=SitemapKind.INDEX)
    assert urls(one.answer(found[f"{A}/2.xml"], 200, f"{A}/p", sitemap=SitemapKind.PAGES)) == [f"{A}/p"]
    assert one.answer(fetches[0], 200, f"{A}/q", sitemap=SitemapKind.PAGES) == []
    end = one.settled[f"{A}/3.xml"]
    assert (end.reason, end.unread, end.detail) == (Reason.OK, ParseSkipped.TOO_MANY, "links not read: too_many")


def test_a_sitemap_beyond_the_depth_limit_is_remembered() -> None:
    one, found = asked(max_depth=0)
    one.answer(found[f"{A}/"], 200)
    assert one.last.ending is Ending.COMPLETE
    assert [(link.url, link.via) for link in one.frontier.beyond()] == [(f"{A}/s.xml", BY_A), (f"{A}/index.xml", BY_A)]


def test_what_names_a_sitemap_is_no_redirect() -> None:
    link = Link(1, f"{A}/s.xml", 1, (*BY_A, f"{A}/index.xml#index"))
    assert redirects_in((*link.via, f"{A}/x")) == 1
    assert after_redirect(link, f"{A}/t.xml", Rules(max_redirects=1)) == (Reason.REDIRECT, f"{A}/t.xml")
    assert after_redirect(link, f"{A}/index.xml", Rules(max_redirects=1))[0] is Reason.REDIRECT
    gone_on = replace(link, via=(*link.via, f"{A}/x"))
    assert after_redirect(gone_on, f"{A}/t.xml", Rules(max_redirects=1))[0] is Reason.REDIRECT_LIMIT


# ---- several shards --------------------------------------------------------------------------------------------------


def test_a_sitemap_goes_to_the_shard_of_its_host_with_what_named_it() -> None:
    one = Player(sitemaps=True, per_host=1)
    (robots,) = one.step(Discovered((f"{MINE}/",)))
    one.step(Fetched(robots.id, 200, robots_text=f"Sitemap: {THEIRS}/s.xml"))
    (sent,) = one.output.foreign
    assert (sent.link.url, sent.link.depth, sent.link.via) == (f"{THEIRS}/s.xml", 1, (f"{MINE}/robots.txt#sitemap",))


def test_a_sitemap_that_another_shard_names_is_admitted_whatever_its_host() -> None:
    one, stranger = (
        Player(sitemaps=True),
        next(name for n in range(99) if SHARD.owner(name := f"http://s{n}.test") == ME),
    )
    named, linked = (f"{THEIRS}/robots.txt#sitemap",), ()
    for seq, (via, found) in enumerate(((linked, []), (named, [f"{stranger}/robots.txt"]))):
        link = Link(1, f"{stranger}/s.xml", 1, via)
        assert urls(one.step(LinksReceived(OTHER, (OutboxLink(seq, ME, link),)))) == found
