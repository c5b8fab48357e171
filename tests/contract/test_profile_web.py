"""The profile webs as functions: pure, as their parameters say, and independent of the order of requests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import can_ada
import pytest

from crawler.core.page.robots import Robots
from crawler.core.reasons import Reason
from crawler.core.rules import Rules as CrawlRules
from crawler.errors import UsageError
from crawler.testweb.choice import Choice, Profile
from crawler.testweb.document import answer_for
from crawler.testweb.oracle import Expected, crawl_digest, expected, split
from crawler.testweb.parameters import LAB, REAL, SOURCES, Parameters
from crawler.testweb.population import MOST_FAILURES, PopulationRules
from crawler.testweb.profile_web import ProfileWeb
from crawler.testweb.tables import negative_binomial, power_law
from crawler.testweb.traps import CROWD, ENTRANCES, MONTHS, SESSIONS

ROOT = Path(__file__).resolve().parents[2]

FINGERPRINT = """
from xxhash import xxh3_128
from crawler.testweb.choice import Choice
from crawler.testweb.oracle import crawl_digest, expected, split
web, total = Choice(profile="hostile", seed=3, hosts=40, pages=300).make(), xxh3_128()
ends = expected(web)
for url in ends:
    for attempt in (1, 2):
        total.update(repr(web.answer(*split(url), attempt)).encode())
print(total.hexdigest(), crawl_digest(ends))
"""


@cache
def web_of(profile: Profile, seed: int = 1) -> ProfileWeb:
    web = Choice(profile=profile, seed=seed, hosts=200, pages=2000, numbers={"size_scale": 0.05}).make()
    assert isinstance(web, ProfileWeb)
    return web


@cache
def ends_of(profile: Profile, seed: int = 1) -> dict[str, Expected]:
    return expected(web_of(profile, seed))


def test_answers_are_the_same_in_every_process() -> None:
    def fingerprint(hash_seed: str) -> str:
        env = os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, "-c", FINGERPRINT], env=env, capture_output=True, text=True, check=True)
        return done.stdout

    first = fingerprint("1")
    assert len(first.split()) == 2
    assert fingerprint("2") == first


def test_every_parameter_has_its_source() -> None:
    assert set(SOURCES) == set(Parameters.__struct_fields__)
    assert all(len(source) > 5 for source in SOURCES.values())


@pytest.mark.parametrize(("hosts", "pages"), [(200, 2000), (2000, 20_000), (7, 7), (3, 500)])
def test_host_sizes_fall_by_a_power_law_and_add_up(hosts: int, pages: int) -> None:
    sizes = power_law(hosts, pages, 1.8, 2_000)
    assert (len(sizes), sum(sizes), min(sizes)) == (hosts, pages, min(min(sizes), 1) or 1)
    assert sizes == sorted(sizes, reverse=True)
    if hosts == 2000:
        assert 0.45 < sum(sizes[:20]) / pages < 0.55  # the top 1 % hold half


def test_too_many_hosts_for_the_pages_are_refused() -> None:
    with pytest.raises(UsageError, match="10 pages cannot be shared among 11 hosts"):
        Choice(profile="real", hosts=11, pages=10).make()
    with pytest.raises(UsageError, match="unknown field `haste`"):
        Choice(profile="real", numbers={"haste": 1.0}).make()


def test_a_negative_binomial_has_its_mean() -> None:
    table = negative_binomial(47, 4, 1000)
    assert sum(table) / len(table) == pytest.approx(47, rel=0.01)
    assert table[len(table) // 10] < 25 < 47 < table[len(table) * 9 // 10]


# ---- properties of the profiles -------------------------------------------------------------------------------------


def test_lab_has_constant_values() -> None:
    web, ends = web_of("lab"), ends_of("lab")
    pages = [web.document(*split(url)) for url in ends]
    assert {end.reason for end in ends.values()} == {Reason.OK}
    assert len(ends) == web.numbers.pages
    whole = ProfileWeb(1, LAB, "lab.test")
    assert {len(whole.document(*split(url)).body) for url in list(ends)[:50]} == {LAB.size}
    assert {(page.delay, page.coding, page.keep, page.fault) for page in pages} == {(LAB.latency, "", 0, "")}
    assert {page.body.count(b"<a href=") for page in pages} == {LAB.links}


def test_real_has_the_shares_of_its_sources() -> None:
    web, ends = web_of("real"), ends_of("real")
    fetches = [web.document(*split(url), k + 1) for url, end in ends.items() for k in range(end.attempts)]
    share = Counter(page.fault or page.status for page in fetches)
    total = len(fetches)
    assert share[200] / total == pytest.approx(0.84, abs=0.04)
    assert (share[301] + share[308]) / total == pytest.approx(REAL.moved, abs=0.015)
    assert (share[302] + share[307]) / total == pytest.approx(REAL.elsewhere, abs=0.01)
    assert share[404] / total == pytest.approx(REAL.missing, abs=0.015)
    broken = sum(share[word] for word in (500, 503, 429, "reset", "truncated", "hang"))
    assert broken / total == pytest.approx(REAL.errors, abs=0.008)
    denied = sum(end.reason is Reason.ROBOTS for end in ends.values())
    assert denied / len(ends) == pytest.approx(REAL.disallowed, abs=0.03)
    sick = [place for place in web.places.values() if place.sick]
    assert len(sick) == 4
    pages = [page for page in fetches if page.links]
    codings = Counter(page.coding for page in pages)
    assert codings["gzip"] / len(pages) == pytest.approx(REAL.gzip, abs=0.05)
    assert codings["br"] / len(pages) == pytest.approx(REAL.br, abs=0.05)
    bodies = Counter(page.body for page in pages)
    alike = sum(times for times in bodies.values() if times > 1) / len(pages)
    assert alike == pytest.approx(REAL.duplicates, abs=0.03)


def test_real_pages_are_as_large_on_the_wire_as_measured() -> None:
    web = ProfileWeb(2, REAL)
    host = web.places[web.names[0]]
    wire = sorted(len(answer_for(web.document(host.name, host.site.path(k))).body) for k in range(host.plain))
    assert wire[len(wire) // 2] == pytest.approx(32_000, rel=0.25)
    assert wire[len(wire) // 10] == pytest.approx(6_000, rel=0.35)
    assert wire[len(wire) * 9 // 10] == pytest.approx(147_000, rel=0.35)


@pytest.mark.parametrize("profile", ["real", "hostile"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_host_fails_so_often_that_it_is_given_up(profile: Profile, seed: int) -> None:
    web, failures = web_of(profile, seed), Counter[str]()
    for url, end in ends_of(profile, seed).items():
        host, path = split(url)
        for attempt in range(1, end.attempts + 1):
            page = web.document(host, path, attempt)
            failures[host] += page.status >= 500 or page.fault in ("reset", "hang", "refused")
    assert 5 < max(failures.values()) <= MOST_FAILURES < CrawlRules().breaker_failures


@pytest.mark.parametrize("profile", ["real", "hostile"])
def test_no_outcome_depends_on_the_path_to_a_url(profile: Profile) -> None:
    """A redirect leads to a page or to the next URL of its chain, to which nothing else links."""
    web, ends = web_of(profile), ends_of(profile)
    sources: dict[str, set[str]] = {}
    for url, end in ends.items():
        page = web.document(*split(url), max(1, end.attempts))
        for link in page.links if end.status == 200 else ():
            sources.setdefault(link, set()).add("page")
        if page.target:
            sources.setdefault(page.target, set()).add(url)
    for url, end in ends.items():
        if "/hop-" in url:
            assert len(sources[url]) == 1
        if end.status in (301, 302, 307, 308):
            target = web.document(*split(url)).target
            assert ends[target].status == 200 or "/hop-" in target or end.reason is Reason.REDIRECT_LOOP


def test_a_truncated_body_is_never_the_last_answer() -> None:
    web = web_of("hostile")
    for url, end in ends_of("hostile").items():
        if end.status == 200:
            assert not web.document(*split(url), end.attempts).fault


def test_hostile_has_every_kind_of_answer() -> None:
    web, ends = web_of("hostile"), ends_of("hostile")
    firsts = [web.document(*split(url)) for url, end in ends.items() if end.attempts]
    assert {page.fault for page in firsts} >= {"", "reset", "truncated", "hang", "stall"}
    rules, reasons = {place.rules for place in web.places.values()}, {end.reason for end in ends.values()}
    assert rules >= {PopulationRules.STATED, PopulationRules.MISSING, PopulationRules.HANGING, PopulationRules.REFUSING}
    assert reasons >= {Reason.ROBOTS_UNAVAILABLE, Reason.REDIRECT_LOOP, Reason.SERVER_ERROR}
    broken = sum(page.status in (429, 500, 503) or bool(page.fault) for page in firsts) / len(firsts)
    assert broken > 0.05


# ---- traps -----------------------------------------------------------------------------------------------------------


def test_traps_are_forbidden_and_finite() -> None:
    web = ProfileWeb(1, LAB.scaled(hosts=2, pages=20, traps=0.5))
    polite, bold = expected(web), expected(web, robots=False)
    name = web.names[0]
    entrances = {f"http://{name}{path}" for path in ENTRANCES}
    assert {url for url, end in polite.items() if end.reason is Reason.ROBOTS} == entrances
    assert all(not polite[url].digest for url in entrances)
    inside = [url for url in bold if "/trap/" in url]
    assert len(inside) == len(ENTRANCES) - 2 + MONTHS + SESSIONS + CROWD
    assert bold[f"http://{name}/trap/headers"].reason is Reason.PROTOCOL
    assert bold[f"http://{name}/trap/large"].size == 10 * 1024 * 1024


# ---- oracle and bytes agree ------------------------------------------------------------------------------------------


class Anchors(HTMLParser):
    """The hrefs of a page as the standard library parses them."""

    def __init__(self) -> None:
        super().__init__()
        self.hrefs: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.hrefs += [value or "" for name, value in attrs if tag == "a" and name == "href"]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_pages_link_to_what_the_oracle_says(scheme: str) -> None:
    web = ProfileWeb(4, REAL.scaled(hosts=30, pages=200, size_scale=0.01, odd_spellings=0.5), scheme=scheme)
    read = 0
    for url, end in expected(web).items():
        assert url.startswith(f"{scheme}://")
        if end.html:
            page, anchors = web.document(*split(url), end.attempts), Anchors()
            anchors.feed(page.body.decode())
            found = [can_ada.parse(url) + href for href in anchors.hrefs]
            assert {f"{one.protocol}//{one.host}{one.pathname}{one.search}" for one in found} == set(page.links)
            read += 1
    assert read > 100


def test_robots_txt_says_what_the_oracle_says() -> None:
    web = web_of("hostile")
    for url, end in ends_of("hostile").items():
        host, path = split(url)
        if web.places[host].rules is PopulationRules.STATED:
            robots = Robots(web.document(host, "/robots.txt").body.decode(), "crawler")
            assert robots.allows(url) == (end.reason is not Reason.ROBOTS), path
            assert robots.delay == pytest.approx(web.crawl_delay(host))


def test_another_seed_is_another_web() -> None:
    assert crawl_digest(ends_of("real", 1)) != crawl_digest(ends_of("real", 2))
