"""Sitemaps in whole crawls: every mode finds what the oracle expects, through a kill too, and nothing of it is lost."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

import crawler
import variants
from crawler.cli.plan import Order, make_plan
from crawler.core.messages import Fetch, Link, Settled, SitemapNaming
from crawler.core.page.digest import term
from crawler.core.page.links import PageHeaders, read_page
from crawler.core.page.parse_cost import HEAVY
from crawler.core.page.sitemap import MOST_URLS
from crawler.core.reasons import Reason
from crawler.core.rules import Rules
from crawler.core.urls.canonical import Resolver
from crawler.core.urls.scope import Scope
from crawler.errors import UsageError
from crawler.fetch.base import Response
from crawler.pipeline.page_processor import PACKED, PageProcessor
from crawler.pipeline.sandbox.client import HeavyReader
from crawler.settings import Settings, merge_layers
from crawler.storage.directory import CrawlDirectory
from crawler.storage.frontier.base import Batch
from crawler.storage.pages.base import Page
from crawler.storage.repair import repair
from crawler.storage.verify import audit
from crawler.system.failpoints import VARIABLE
from crawler.testweb.choice import Choice
from crawler.testweb.oracle import crawl_digest, expected, split
from crawler.testweb.process import StartedWeb, start_web
from crawler.testweb.referee import judge
from crawler.testweb.settings import to_toml
from crawler.testweb.sitemap_web import SitemapWeb, sitemaps_of
from crawler.testweb.web import Web
from tests.contract import webs

HOSTS_IN_ALL, PAGES = 16, 110
ROOT = Path(__file__).resolve().parents[2]
WEB = SitemapWeb(hosts=HOSTS_IN_ALL, pages=PAGES)
HOSTS = WEB.names[:4]
"""Plain hosts, which have every kind of sitemap."""
SEEDS = tuple(f"http://{name}/" for name in HOSTS)
WHOLE = {url: end for url, end in expected(WEB, sitemaps=WEB.sitemaps).items() if split(url)[0] in HOSTS}
WITHOUT = {url: end for url, end in expected(WEB).items() if split(url)[0] in HOSTS}
SITEMAP = f"http://{HOSTS[0]}/sitemap.xml"


class SitemapLog:
    """A running web with sitemaps, and the log of what it was asked."""

    def __init__(self, started: StartedWeb, log: Path) -> None:
        self.started = started
        self.log = log


@pytest.fixture
def web(tmp_path: Path) -> Iterator[SitemapLog]:
    log = tmp_path / "web.log"
    with start_web(hosts=HOSTS_IN_ALL, pages=PAGES, sitemaps=True, log=log) as started:
        yield SitemapLog(started, log)


def settings(web: SitemapLog, mode: str, **keys: object) -> Settings:
    return webs.settings(web.started, mode, **({"seeds": SEEDS, "sitemaps": True} | keys))


def found(out: Path) -> dict[str, tuple[Reason, int]]:
    return {url: (row.reason, row.status) for url, row in webs.rows(out).items()}


# ---- the test web ----------------------------------------------------------------------------------------------------


def test_the_oracle_of_a_web_with_sitemaps_expects_pages_that_nothing_else_names() -> None:
    whole, without = expected(WEB, sitemaps=WEB.sitemaps), expected(WEB)
    assert without == expected(Web(hosts=HOSTS_IN_ALL, pages=PAGES)), "without sitemaps it is the same web"
    new = {split(url)[1] for url in whole.keys() - without.keys()}
    assert {"/orphan-0.html", "/elsewhere-2.html", "/broken-0.html", "/sitemap.xml.gz", "/private/listed.html"} <= new
    reasons = {end.reason for url, end in whole.items() if url not in without}
    assert reasons >= {Reason.OK, Reason.ROBOTS, Reason.CLIENT_ERROR}


def test_only_the_demo_web_has_sitemaps() -> None:
    web = Choice(hosts=13, pages=120, sitemaps=True).make()
    assert len(sitemaps_of(web)) > 5 and sitemaps_of(Choice(flat=3).make()) == ()
    for other in (Choice(flat=3, sitemaps=True), Choice(profile="lab", sitemaps=True)):
        with pytest.raises(UsageError, match="only the demo web has sitemaps"):
            other.make()


# ---- whole crawls ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "delay", "per_host"),
    [*((mode, webs.DELAY, 1) for mode in variants.names()), pytest.param("prefork", 0.0, 4, marks=pytest.mark.slow)],
)
def test_every_mode_finds_what_the_oracle_expects_and_is_polite(
    web: SitemapLog, tmp_path: Path, mode: str, delay: float, per_host: int
) -> None:
    summary = webs.crawl(tmp_path / "out", settings(web, mode, delay=delay, per_host=per_host))
    assert found(tmp_path / "out") == {url: (end.reason, end.status) for url, end in WHOLE.items()}
    assert summary.digest == crawl_digest(WHOLE)
    assert (summary.incomplete_because["unread"], summary.not_followed["sitemap_foreign"]) == (1, 6)
    assert audit(CrawlDirectory.open_readonly(tmp_path / "out")).wrong == 0
    web.started.close()
    assert judge(web.log, WEB, delay, per_host).clean
    with crawler.open(tmp_path / "out") as crawl:
        row = crawl.find(f"http://{HOSTS[2]}/broken.xml")
        assert row is not None and (row.reason, row.unread) == (Reason.OK, "malformed")
        linked = {(page, target) for page, target in crawl.links() if "/orphan-" in target or "/elsewhere" in target}
    assert (f"http://{HOSTS[1]}/sitemap.xml.gz", f"http://{HOSTS[1]}/orphan-1.html") in linked
    assert (f"http://{HOSTS[0]}/of-another-host.xml", f"http://{HOSTS[1]}/elsewhere-0.html") in linked


def test_without_the_setting_a_crawl_is_what_it_was(web: SitemapLog, tmp_path: Path) -> None:
    summary = webs.crawl(tmp_path / "out", settings(web, "async", sitemaps=False))
    assert summary.digest == crawl_digest(WITHOUT)


@pytest.mark.slow
def test_kills_in_the_middle_of_sitemaps_lose_nothing(web: SitemapLog, tmp_path: Path) -> None:
    (tmp_path / "web.toml").write_text(to_toml(web.started.settings))
    blows = (
        ("async", "fetch.done=kill@9"),
        ("threads", "recorder.flushed=kill@2"),
        ("prefork", "store.put=kill@4"),  # of one shard: the crawl goes on, and ends
    )
    for number, (mode, blow) in enumerate(blows):
        log = f"log={tmp_path / f'blow-{number}'}"
        run(tmp_path, mode, {VARIABLE: f"{blow} {log}"})
    assert len(list(tmp_path.glob("blow-?"))) == len(blows), "not all points were reached"
    assert found(tmp_path / "out") == {url: (end.reason, end.status) for url, end in WHOLE.items()}
    found_at_last = audit(CrawlDirectory.open_readonly(tmp_path / "out"))
    assert (found_at_last.wrong, found_at_last.digest) == (0, crawl_digest(WHOLE))


def run(folder: Path, mode: str, environment: dict[str, str]) -> None:
    """A run of the command, killed or not."""
    options = ["--delay", "0.01", "--processes", "2", "--concurrency", "8", "--out", "out", "--resume", "-q"]
    command = [sys.executable, "-m", "crawler", *SEEDS, "--config", "web.toml", "--mode", mode, "--sitemaps", *options]
    subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        timeout=120,
    )


def test_a_sitemap_to_start_from_is_a_seed(web: SitemapLog, tmp_path: Path) -> None:
    out = tmp_path / "out"
    keys: dict[str, Any] = {"resolve": web.started.settings.resolve, "delay": 0.0, "max_depth": 1}
    summary = crawler.crawl(sitemap=[SITEMAP], out=out, **keys)
    listed = {split(url)[1] for url in found(out)}
    assert {"/sitemap.xml", "/orphan-0.html", "/private/listed.html", "/"} <= listed
    assert "/broken.xml" not in listed, "what robots.txt names is not followed"
    assert webs.rows(out)[SITEMAP].depth == 0
    again = crawler.crawl(sitemap=[SITEMAP], out=out, resume=True, **keys)
    assert (again.digest, again.urls) == (summary.digest, summary.urls)
    with pytest.raises(crawler.UsageError, match="name the same seeds or none"):
        crawler.crawl(sitemap=[f"http://{HOSTS[1]}/sitemap.xml.gz"], out=out, resume=True, **keys)
    more = f"http://{HOSTS[1]}/sitemap.xml.gz"
    crawler.crawl(sitemap=[more], out=out, resume=True, add_seeds=True, **keys)
    assert found(out)[f"http://{HOSTS[1]}/orphan-2.html"] == (Reason.OK, 200)
    with closing(CrawlDirectory.open(out)) as directory:
        assert directory.settings.sitemap == (SITEMAP, more)


class EndlessIndex(BaseHTTPRequestHandler):
    """Each path is an index that lists the next one."""

    def do_GET(self) -> None:
        if self.path == "/robots.txt":
            self.send_error(404)
            return
        body = f"<sitemapindex><sitemap><loc>{self.path}1</loc></sitemap></sitemapindex>".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is logged."""


def test_a_chain_of_indexes_ends_after_the_first(tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), EndlessIndex) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        origin = f"http://127.0.0.1:{server.server_port}"
        summary = crawler.crawl(sitemap=[f"{origin}/1"], out=tmp_path / "out", delay=0.0)
        server.shutdown()
        thread.join()
    assert {url: row.unread for url, row in webs.rows(tmp_path / "out").items()} == {
        f"{origin}/1": "",
        f"{origin}/11": "nested",
    }
    assert summary.incomplete_because == {"unread": 1}


# ---- settings and commands -------------------------------------------------------------------------------------------


def test_sitemaps_are_seeds_of_every_layer() -> None:
    chosen = merge_layers({"seeds": ["http://a.test/"]}, {"sitemap": ["http://A.test/s.xml", "http://a.test/"]})
    assert chosen.sitemap == ("http://a.test/s.xml", "http://a.test/")
    assert chosen.seeds == ("http://a.test/", "http://a.test/s.xml")
    with pytest.raises(UsageError, match="not a URL"):
        merge_layers({"sitemap": ["s.xml"]})


def test_a_sitemap_alone_is_no_crawl_of_the_demo_web(tmp_path: Path) -> None:
    plan = make_plan(Order({"sitemap": ("http://a.test/s.xml",), "out": str(tmp_path / "out")}))
    assert (plan.demo, plan.settings.seeds) == (False, ("http://a.test/s.xml",))


def test_whether_sitemaps_are_followed_cannot_change(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with closing(CrawlDirectory.create(out, Settings(seeds=("http://a.test/",)), demo=False, fresh=False)) as directory:
        directory.begin_run(directory.settings)
    with pytest.raises(UsageError, match="began with another sitemaps"):
        make_plan(Order({"sitemaps": True, "out": str(out)}, resume=True))


# ---- large ones ------------------------------------------------------------------------------------------------------


def large(packed: bool) -> bytes:
    entries = "".join(f"<url><loc>http://h.test/{n}</loc><lastmod>2026</lastmod></url>\n" for n in range(MOST_URLS))
    body = f"<urlset>{entries}</urlset>".encode()
    return gzip.compress(body, 1) if packed else body


@pytest.mark.parametrize("packed", [True, False])
def test_a_large_sitemap_is_read_in_the_sandbox(packed: bool) -> None:
    body, rules, url = large(packed), Rules(sitemaps=True), "http://h.test/sitemap.xml"
    scope = Scope(rules, [url])
    heavy = HeavyReader(rules, 1 << 30)
    reader = PageProcessor(rules, scope, 10 << 20, elsewhere=heavy)
    with closing(reader):
        response = Response(200, (("Content-Type", "application/xml"),), body, "", 0.1, 0.2)
        _, event = reader.read(Fetch(1, url), response, 0.0)
        assert heavy._process is not None
        assert len(body) > (PACKED if packed else HEAVY)
        assert (len(event.links), event.links[-1], event.sitemap) == (MOST_URLS, "http://h.test/49999", "urlset")


def test_what_named_a_sitemap_is_known_in_the_sandbox() -> None:
    rules, url = Rules(sitemaps=True), "http://h.test/sitemap.xml"
    body = b"<urlset><url><loc>http://b.test/</loc></url></urlset>" + b" " * HEAVY
    reader = HeavyReader(rules, 1 << 30)
    naming = SitemapNaming(hosts=("http://b.test",))
    try:
        reading = reader.read(body, url, PageHeaders("text/xml"), True, True, naming)
    finally:
        reader.close()
    assert reading == read_page(body, url, PageHeaders("text/xml"), rules, Resolver(), True, naming=naming)
    assert reading.links == ("http://b.test/",)


# ---- repair ----------------------------------------------------------------------------------------------------------


def test_a_repair_keeps_sitemaps_and_does_not_widen_the_scope_by_them(tmp_path: Path) -> None:
    home, index, named = "http://a.test/", "http://cdn.test/index.xml", ("http://a.test/robots.txt#sitemap",)
    owed = [Link(2, index, 1, named), Link(3, "http://cdn.test/s.xml", 1, (*named, f"{index}#index"))]
    body, html = b"<a href=http://cdn.test/page>", "text/html"
    digest = term(home, 200, body)
    chosen = Settings(seeds=(home,), sitemaps=True)
    with closing(CrawlDirectory.create(tmp_path / "out", chosen, demo=False, fresh=False)) as directory:
        directory.begin_run(chosen)
        with closing(directory.store().writer("0001-000")) as writer:
            at = writer.put(Page(home, 200, (("Content-Type", html),), 1e9, 0.1, html, "UTF-8", digest, body))
        kept = Settled(1, home, Reason.OK, 200, 1, len(body), digest, "0001-000", at, content_type=html)
        lost = Settled(2, index, Reason.OK, 200, 1, 5, b"d" * 16, "gone", 1)
        with closing(directory.frontier()) as frontier:
            frontier.commit(Batch(queued=[Link(1, home, 0), *owed], settled=[kept, lost]), 0.0)
        directory.set_layout(1, "whole")
        done = repair(directory)
        assert (done.kept, done.again, done.owed) == (1, 1, 2)
        with closing(directory.frontier()) as frontier:
            assert {(link.url, link.via) for link in frontier.owed()} == {(link.url, link.via) for link in owed}
    assert audit(CrawlDirectory.open_readonly(tmp_path / "out")).wrong == 0
