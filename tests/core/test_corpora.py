"""Conformance and hostile-input corpora: WHATWG URLs, real and hostile robots.txt files, hostile pages.

Bounds on effort are in units of `tests.effort`.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from crawler.core.page.links import PageHeaders, Reading, read_page
from crawler.core.page.robots import Robots, RobotsAnswer, classify, decode_robots, sitemap_lines
from crawler.core.reasons import NotFollowed
from crawler.core.rules import Rules
from crawler.core.urls.canonical import Resolver, canonical, resolve
from crawler.core.urls.scope import Scope
from crawler.core.urls.sitemap_steps import named_by
from tests.corpus import FOLDER, load
from tests.effort import effort

RULES = Rules()
PAGE = "http://h.test/a"


# ---- URLs ------------------------------------------------------------------------------------------------------------


def expected_url(case: dict[str, Any]) -> str | None:
    """The expected canonical URL: the href of http(s) URLs without credentials and fragment, else None."""
    if case.get("failure") or case["protocol"] not in ("http:", "https:"):
        return None
    query = "?" if case["href"].partition("#")[0].endswith("?") else case["search"]
    return f"{case['protocol']}//{case['host']}{case['pathname']}{query}"


def test_urls_are_parsed_as_the_whatwg_corpus_says() -> None:
    judged = 0
    for case in load("url/urltestdata"):
        if isinstance(case, str) or (case["base"] is not None and canonical(case["base"]) is None):
            continue  # a comment, or a base URL that no crawled page can have
        href, page = case["input"], canonical(case["base"] or "http://elsewhere.test/")
        assert page is not None
        found = canonical(href) if case["base"] is None else resolve(case["base"], href)
        judged += 1
        assert found == expected_url(case), href
        if case["base"] is not None:
            assert Resolver().resolve_all(page, [href]) == ([] if found is None else [found])
    assert judged > 700


# ---- robots.txt ------------------------------------------------------------------------------------------------------


def hostile_robots() -> dict[str, dict[str, Any]]:
    return {case["id"]: case for case in load("robots/hostile_robots")["cases"]}


def robots_text(case: dict[str, Any]) -> str:
    text = case["robots"]
    if isinstance(text, dict):
        line = text["repeat"]
        text = text["head"] + "".join(line % number for number in range(text["times"]))
    return decode_robots(text.encode(), RULES.robots_size)


def read_robots(case: dict[str, Any]) -> Robots:
    return Robots(robots_text(case), RULES.user_agent)


def test_hostile_robots() -> None:
    cases = hostile_robots()
    redos = cases["redos_protego"]
    allowed, units = effort(lambda: read_robots(redos).allows(redos["url"]))
    assert allowed and units < 50

    many, units = effort(lambda: read_robots(cases["rules_100k"]))
    assert units < 1_000
    assert min(effort(lambda: many.allows("http://h/p0"))[1] for _ in range(3)) < 50
    assert not many.allows("http://h/p0") and not many.allows("http://h/p20000") and many.allows("http://h/q")

    assert read_robots(cases["html_body"]).allows("http://h/x")
    assert read_robots(cases["crawl_delay_1e9"]).delay == 1e9  # the caller caps it
    assert read_robots(cases["crawl_delay_neg"]).delay == 0
    assert read_robots(cases["sitemaps_100k"]).allows("http://h/x")
    found, left = named_by("http://h", sitemap_lines(robots_text(cases["sitemaps_100k"])), RULES)
    assert len(found) == RULES.max_sitemaps and set(left) == {NotFollowed.TOO_MANY}


def test_status_codes_of_hostile_robots() -> None:
    statuses = [case for case in hostile_robots().values() if isinstance(case.get("status"), int)]
    assert len(statuses) >= 3
    for case in statuses:
        allowed = case["expect"].startswith("allowed")
        assert classify(case["status"]) is (RobotsAnswer.ALLOW_ALL if allowed else RobotsAnswer.UNAVAILABLE), case["id"]


def real_robots() -> Iterator[bytes]:
    with tarfile.open(FOLDER / "robots" / "real_robots_4231.tar.xz") as archive:
        for member in archive:
            if (file := archive.extractfile(member) if member.isfile() else None) is not None:
                yield file.read()


def test_real_robots() -> None:
    answers = {True: 0, False: 0}
    for body in real_robots():
        robots, reading = effort(partial(Robots, decode_robots(body, RULES.robots_size), RULES.user_agent))
        allowed, matching = effort(partial(robots.allows, "http://h/search/a%20b?q=1&page=2"))
        answers[allowed] += 1
        assert reading < 500 and matching < 50
        assert robots.allows("http://h/robots.txt") and 0 <= robots.delay < float("inf")
    assert answers[True] + answers[False] == 4_231
    assert answers[True] > 2_000 and answers[False] > 500


# ---- pages -----------------------------------------------------------------------------------------------------------

BEFORE, AFTER = "<a href=/before></a>", "<a href=/after></a>"
ENDS = ("http://h.test/before", "http://h.test/after")

HOSTILE_PAGES = {  # id in the corpus -> a page built from its note, links that must be found
    "nest_div": (BEFORE + "<div>" * 100_000 + AFTER, ENDS),
    "attrs": ("<a " + "".join(f" x{number}=y" for number in range(200_000)) + " href=/z>", ("http://h.test/z",)),
    "comment_open": (BEFORE + "<!-- never closed " + "x" * 5_000_000, ENDS[:1]),
    "entities": (BEFORE + "&amp;amp;" * 1_000_000 + AFTER, ENDS),
    "angle": (BEFORE + "<" * 1_000_000 + "</" * 1_000_000 + "<!" * 1_000_000 + "<?" * 1_000_000, ENDS[:1]),
    "nul": (BEFORE + "<di\0v><a hr\0ef=/x>\0</a><\0b>" + AFTER, ENDS),
    "srcset_bomb": (f"{BEFORE}<img srcset='{'/i 2x,' * 100_000}'>{AFTER}", ENDS),
    "svg_xml_html": (
        "<?xml version='2_000'?><!DOCTYPE html [<!ENTITY a 'bomb'><!ENTITY b '&a;&a;'>]>"
        f"<html xmlns='http://www.w3.org/1999/xhtml'><p>&b;</p>{BEFORE}{AFTER}</html>",
        ENDS,
    ),
}


def read(body: bytes, content_type: str) -> Reading:
    return read_page(body, PAGE, PageHeaders(content_type), RULES, Resolver(Scope(RULES, [PAGE]).admits_path), True)


@pytest.mark.parametrize("name", HOSTILE_PAGES)
def test_hostile_pages(name: str) -> None:
    text, links = HOSTILE_PAGES[name]
    content_type = "application/xhtml+xml" if name == "svg_xml_html" else "text/html; charset=utf-8"
    reading, units = effort(lambda: read(text.encode(), content_type))
    assert reading.links == links
    assert units < 500


def test_a_million_links() -> None:
    for text in ("<a href=/n>" * 1_000_000, "".join(f"<a href=/{number}>" for number in range(1_000_000))):
        reading, units = effort(partial(read, text.encode(), "text/html"))
        assert len(reading.links) <= RULES.max_links
        assert units < 3_000


def test_wrongly_declared_charsets() -> None:
    text = "<meta charset=shift_jis><a href=/é>"
    lie = read(b"\xff\xfe" + text.encode("utf-16-le"), "text/html; charset=utf-8")
    assert (lie.charset, lie.links) == ("UTF-16LE", ("http://h.test/%C3%A9",))
    assert read(text.encode(), "text/html; charset=utf-8").links == ("http://h.test/%C3%A9",)


def test_every_hostile_page_is_checked() -> None:
    ids = {case["id"] for case in load("html/hostile_html")["cases"]}
    assert ids == {*HOSTILE_PAGES, "links_1m", "meta_charset_lie"}
