"""Crawls of small profile webs through the command line have the results that the oracle predicts."""

from __future__ import annotations

from pathlib import Path

import pytest

from crawler.testweb.choice import Choice
from crawler.testweb.log import read_log
from crawler.testweb.oracle import expected
from crawler.testweb.process import start_web
from crawler.testweb.referee import judge

from .profiles import MODES, PROFILES, chosen, crawl, differences, served

HOSTS, PAGES = 30, 250


@pytest.mark.parametrize("profile", PROFILES)
def test_every_mode_finds_what_the_oracle_predicts(profile: str, tmp_path: Path) -> None:
    choice = chosen(profile, 1, HOSTS, PAGES)
    ends = expected(choice.make())
    with served(choice) as web:
        for mode in MODES:
            crawl(web, mode, tmp_path / mode)
            assert differences(tmp_path / mode, ends) == []


def test_several_processes_serve_one_web(tmp_path: Path) -> None:
    choice = chosen("lab", 1, HOSTS, PAGES)
    with served(choice, log=tmp_path / "log", processes=3) as web:
        crawl(web, "async", tmp_path / "crawl")
    ends = expected(choice.make())
    assert differences(tmp_path / "crawl", ends) == []
    entries = read_log(tmp_path / "log")
    verdict = judge(tmp_path / "log", choice.make(), 0.0, 4)
    assert verdict.clean
    assert verdict.requests == len(entries) == PAGES + HOSTS
    assert {entry.connection % 3 for entry in entries} == {0, 1, 2}
    assert HOSTS <= verdict.connections <= 4 * HOSTS + 64
    homes = {entry.connection: entry.host for entry in entries}
    assert all(homes[entry.connection] == entry.host for entry in entries)  # each number belongs to one connection
    assert verdict.bytes_sent > sum(end.size for end in ends.values())
    assert -0.002 < verdict.lateness.p50 <= verdict.lateness.p99  # a timer may be early by its resolution


@pytest.mark.parametrize("mode", MODES)
def test_a_web_of_https_is_crawled(mode: str, tmp_path: Path) -> None:
    pytest.importorskip("trustme")
    choice = Choice(profile="real", hosts=12, pages=60, numbers=chosen("real", 1, 12, 60).numbers, tls=True)
    with served(choice, authority=tmp_path / "authority.pem", processes=2) as web:
        assert all(seed.startswith("https://") for seed in web.settings.seeds)
        crawl(web, mode, tmp_path / "crawl")
        assert differences(tmp_path / "crawl", expected(choice.make())) == []


def test_a_flat_web_of_https_is_crawled(tmp_path: Path) -> None:
    pytest.importorskip("trustme")
    with start_web(flat=20, authority=tmp_path / "authority.pem") as web:
        crawl(web, "async", tmp_path / "crawl")
    assert differences(tmp_path / "crawl", expected(Choice(flat=20, tls=True).make())) == []


@pytest.mark.parametrize("mode", MODES)
def test_a_crawl_that_ignores_robots_txt_gets_through_all_traps(mode: str, tmp_path: Path) -> None:
    numbers = {**chosen("lab", 1, 2, 20).numbers, "traps": 0.5, "robots_missing": 0.0}
    choice = Choice(profile="lab", hosts=2, pages=20, numbers=numbers)
    with start_web(profile="lab", hosts=2, pages=20, numbers=numbers) as web:
        crawl(web, mode, tmp_path / "crawl", "--no-robots", "--per-host", "32")
    ends = {url: end for url, end in expected(choice.make(), robots=False).items() if "member-" not in url}
    found = differences(tmp_path / "crawl", ends, bodies=False)
    beyond = [fault for fault in found if "member-" in fault]
    assert [fault for fault in found if fault not in beyond] == []
    assert len(beyond) == 5_000  # at most max_links links are taken from a page
