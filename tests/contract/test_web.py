"""The built-in web as a function: pure, complete and consistent with its oracle."""

from __future__ import annotations

import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import can_ada
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.core.reasons import Reason
from crawler.testweb.document import Document
from crawler.testweb.flat import FlatWeb
from crawler.testweb.hosts import Part, name_of
from crawler.testweb.oracle import crawl_digest, expected, least_seconds, split
from crawler.testweb.site import WebSite, relative
from crawler.testweb.web import Web

ROOT = Path(__file__).resolve().parents[2]
SMALL = {"hosts": 15, "pages": 250}

# a checksum of every answer of a small web with all its headers, and of the outcome of every URL
FINGERPRINT = """
from xxhash import xxh3_128
from crawler.testweb.oracle import crawl_digest, expected, split
from crawler.testweb.web import Web
web, total = Web(3, 15, 250), xxh3_128()
for url, end in expected(web).items():
    for attempt in (1, 2):
        total.update(repr(web.answer(*split(url), attempt)).encode())
print(total.hexdigest(), crawl_digest(expected(web)))
"""


@pytest.fixture(scope="module")
def web() -> Web:
    return Web(3, **SMALL)


def host_with(web: Web, part: Part) -> str:
    return next(name for name, host in web.hosts.items() if host.part is part)


def test_answers_are_the_same_in_every_process() -> None:
    def fingerprint(hash_seed: str) -> str:
        env = os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, "-c", FINGERPRINT], env=env, capture_output=True, text=True, check=True)
        return done.stdout

    first = fingerprint("1")
    assert len(first.split()) == 2
    assert fingerprint("2") == first


def test_another_seed_gives_another_web(web: Web) -> None:
    other = Web(4, **SMALL)
    assert crawl_digest(expected(other)) != crawl_digest(expected(web))
    assert other.document(web.names[0], "/").body != web.document(web.names[0], "/").body


@pytest.mark.parametrize(("seed", "hosts", "pages"), [(1, 40, 2000), (2, 40, 2000), (1, 13, 120), (9, 200, 3000)])
def test_the_number_of_pages_is_exact(seed: int, hosts: int, pages: int) -> None:
    ends = expected(Web(seed, hosts, pages)).values()
    assert sum(end.html and end.reason is Reason.OK for end in ends) == pages


def test_too_small_a_web_is_refused() -> None:
    with pytest.raises(ValueError, match="hosts must be at least 13"):
        Web(1, 12, 2000)
    with pytest.raises(ValueError, match="cannot be shared"):
        Web(1, 40, 100)


def test_every_page_of_every_tree_is_found(web: Web) -> None:
    ends = expected(web)
    for name, host in web.hosts.items():
        for k in range(host.site.size):
            url = f"http://{name}{host.site.path(k)}"
            if host.part is not Part.CLOSED:
                assert ends[url].reason is Reason.OK, url


def test_every_kind_of_answer_occurs(web: Web) -> None:
    ends = expected(web)
    reasons = {end.reason for end in ends.values()}
    assert reasons == {
        Reason.OK,
        Reason.CLIENT_ERROR,
        Reason.SERVER_ERROR,
        Reason.REDIRECT,
        Reason.REDIRECT_LOOP,
        Reason.REDIRECT_INVALID,
        Reason.ROBOTS,
        Reason.ROBOTS_UNAVAILABLE,
    }
    assert {end.status for end in ends.values()} == {0, 200, 301, 302, 303, 307, 308, 403, 404, 410, 500}
    first = [web.document(*split(url)) for url, end in ends.items() if end.attempts > 1]
    assert {page.status for page in first} == {200, 429, 500, 503}
    assert {page.fault for page in first} == {"", "truncated", "reset"}
    assert {page.coding for page in (web.document(*split(url)) for url in ends)} == {
        "",
        "gzip",
        "br",
        "zstd",
        "deflate",
    }


def test_outcomes_of_the_edge_cases(web: Web) -> None:
    ends = expected(web)
    archive, shaky = f"http://{host_with(web, Part.ARCHIVE)}", f"http://{host_with(web, Part.SHAKY)}"
    frail, gallery = f"http://{host_with(web, Part.FRAIL)}", f"http://{host_with(web, Part.GALLERY)}"
    assert [ends[f"{archive}/loop/{n}"].reason for n in (1, 2, 3)] == ["redirect", "redirect", "redirect_loop"]
    assert ends[f"{archive}/old/ftp"].reason is Reason.REDIRECT_INVALID
    assert ends[f"{archive}/new/three.html"].reason is Reason.OK
    assert (ends[f"{shaky}/broken.html"].attempts, ends[f"{shaky}/broken.html"].status) == (3, 500)
    assert (ends[f"{shaky}/flaky.html"].attempts, ends[f"{shaky}/flaky.html"].status) == (2, 200)
    assert (ends[f"{frail}/truncated.html"].attempts, ends[f"{frail}/reset.html"].attempts) == (2, 2)
    for hidden in ("/nofollow-target", "/behind-meta-nofollow.html"):
        assert f"{gallery}{hidden}" not in ends
        assert web.document(*split(f"{gallery}{hidden}")).status == 200
    assert (
        ends[f"http://{name_of(0)}/private/note-1.html"]
        == ends[f"http://{host_with(web, Part.MOVED)}/private/note-2.html"]
    )


class Anchors(HTMLParser):
    """The links of a page as the standard library parses them."""

    def __init__(self) -> None:
        super().__init__()
        self.base = ""
        self.hrefs: list[str] = []
        self.nofollow = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "base":
            self.base = values["href"]
        elif tag == "meta" and values.get("name") == "robots":
            self.nofollow = "nofollow" in values["content"]
        elif tag in ("a", "area") and "nofollow" not in values.get("rel", ""):
            self.hrefs.append(values["href"])


def read(url: str, page: Document) -> set[str]:
    """The links of a page, parsed from its bytes."""
    charset = page.content_type.partition("charset=")[2]
    for declared in ("windows-1251", "shift_jis"):
        if declared.encode() in page.body[:200]:
            charset = charset or declared
    anchors = Anchors()
    anchors.feed(page.body.decode(charset or "utf-8-sig"))
    base = can_ada.parse(url) + anchors.base if anchors.base else can_ada.parse(url)
    urls = [base + href.strip() for href in anchors.hrefs]
    found = {f"{u.protocol}//{u.host}{u.pathname}{u.search}" for u in urls if u.protocol == "http:"}
    return set() if anchors.nofollow else found


def test_pages_link_to_what_the_oracle_says(web: Web) -> None:
    seen = 0
    for url, end in expected(web).items():
        if end.html:
            page = web.document(*split(url), end.attempts)
            assert read(url, page) == set(page.links), url
            seen += 1
    assert seen == web.pages


def test_sizes_lie_between_2_and_30_kb() -> None:
    web = Web()
    host = web.hosts[web.names[0]]
    sizes = [len(web.document(host.name, host.site.path(k)).body) for k in range(host.site.size)]
    assert min(sizes) >= 2_000
    assert max(sizes) <= 34_000
    assert max(sizes) > 5 * min(sizes)


def test_the_default_web_can_be_crawled_within_seconds() -> None:
    web = Web()
    least = least_seconds(web, expected(web), 0.02)
    assert set(least) == set(web.names)
    assert 3 < max(least.values()) < 12


def test_least_seconds_counts_rests_answers_and_holds(web: Web) -> None:
    flat = FlatWeb(9, latency=0.5)
    assert least_seconds(flat, expected(flat), 2.0)["flat.demo.test"] == pytest.approx(11 * 0.5 + 10 * 2.0)
    ends, busy = expected(web), host_with(web, Part.BUSY)
    small, large = (least_seconds(web, ends, delay)[busy] for delay in (0.0, 0.1))
    rests = sum(end.attempts for url, end in ends.items() if split(url)[0] == busy)  # robots.txt is one more request
    assert small > 4.0  # 1 + 1 + 2 seconds of Retry-After
    assert large - small == pytest.approx((rests - 3) * 0.1)


@given(size=st.integers(1, 500), branch=st.integers(1, 9), salt=st.integers(0, 999), k=st.integers(0, 499))
def test_a_path_is_mapped_back_to_its_page(size: int, branch: int, salt: int, k: int) -> None:
    site, page = WebSite(size=size, branch=branch, salt=salt), k % size
    assert site.number(site.path(page)) == page
    assert page == 0 or page in site.children(site.parent(page))
    assert site.number(site.path(page) + "x") is None


@given(k=st.integers(0, 499), n=st.integers(0, 499), branch=st.integers(2, 9))
def test_a_relative_link_resolves_to_its_target(k: int, n: int, branch: int) -> None:
    site = WebSite(size=500, branch=branch, salt=5)
    source, target = site.path(k), site.path(n)
    resolved = can_ada.parse(f"http://a.test{source}") + relative(source, target)
    assert resolved.pathname + resolved.search == target


def test_a_flat_web_is_its_root_and_its_pages() -> None:
    ends = expected(FlatWeb(50))
    assert len(ends) == 51
    assert {end.reason for end in ends.values()} == {Reason.OK}
    assert FlatWeb(50).document("flat.demo.test", "/page-50.html").status == 404
