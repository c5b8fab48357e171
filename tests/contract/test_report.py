"""The report of a crawl: it tells what the directory holds, touches nothing, and survives whatever strangers wrote."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

import crawler
import variants
from crawler.core.messages import HostNote
from crawler.core.reasons import Reason
from crawler.core.urls.canonical import host_of
from crawler.errors import StorageError
from crawler.report.drawing import peak
from crawler.report.facts import TOP, Facts
from crawler.report.html import remote
from crawler.report.page import page
from crawler.report.politeness import audit
from crawler.report.reading import read
from crawler.report.shards import ATTACHED
from crawler.report.side_by_side import beside
from crawler.report.visits import take_visits
from crawler.runtime.job import Job, Run
from crawler.settings import Settings
from crawler.storage.database import connect_to_read
from crawler.storage.directory import CrawlDirectory
from crawler.storage.resharding import ensure_layout
from crawler.system.text import format_bytes
from crawler.testweb.process import StartedWeb, start_web
from tests.contract import webs
from tests.contract.written import Elements, Written, check_page
from tests.corpus import cases

HOSTILE = [
    "</style><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "a\x00b\x1b[31mred\r\nSet-Cookie: x",
    "\u202egnp.exe\u202c\u2066x\u200f",
    "$main ${top} $$",
    "&lt;b&gt; &#60;",
    "x" * 5000,
    "\u0645\u0631\u062d\u0628\u0627/<b>",
]


@pytest.fixture(scope="module")
def web() -> Iterator[StartedWeb]:
    with start_web(hosts=webs.HOSTS, pages=webs.PAGES) as started:
        yield started


def facts_of(path: Path) -> Facts:
    return read(CrawlDirectory.open_readonly(path))


# ---- what a crawl leaves ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("store", ["sqlite", "files"])
@pytest.mark.parametrize("mode", variants.names())
def test_every_crawl_ends_with_a_report_that_adds_up(web: StartedWeb, tmp_path: Path, mode: str, store: str) -> None:
    webs.crawl(tmp_path / "out", webs.settings(web, mode, store=store))
    text = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    check_page(text)
    facts = facts_of(tmp_path / "out")
    assert facts.over and facts.running is None
    assert facts.cpu_seconds and facts.peak_memory and facts.peak_memory > 10_000_000, "no Python process is smaller"
    assert f"{format_bytes(facts.peak_memory)}</b><span>memory at the peak" in text
    assert facts.fetch_times and 0 < facts.fetch_times.p50 <= facts.fetch_times.p95 <= facts.fetch_times.p99
    assert facts.tally.digest == webs.DIGEST and webs.DIGEST in text
    assert sum(bar.fine + bar.other for bar in facts.pace.bars) == facts.tally.urls
    assert sum(bar.size for bar in facts.pace.bars) == facts.tally.bytes
    assert sum(count for _, count in facts.durations) == facts.tally.urls
    assert sum(count for _, count in facts.sizes) == facts.tally.pages
    assert facts.hosts.count == len({url.split("/")[2] for url in webs.EXPECTED})
    assert sum(one.count for one in facts.troubles) <= facts.tally.settled - facts.tally.reasons["ok"]
    assert (facts.audit.pages, facts.audit.unread) == (facts.tally.pages, 0)
    assert facts.audit.breaches == 0 and facts.audit.at_once == 1
    assert all(rest.gap is None or rest.gap >= webs.DELAY for rest in facts.audit.rests)
    assert ("bodies" in text) == (store == "files")


def test_the_report_of_more_shards_than_sqlite_attaches_says_the_same(web: StartedWeb, tmp_path: Path) -> None:
    webs.crawl(tmp_path / "out", webs.settings(web, "async"))
    whole = facts_of(tmp_path / "out")
    with closing(CrawlDirectory.open(tmp_path / "out")) as directory:
        ensure_layout(directory, directory.settings, ATTACHED + 3)
    many = facts_of(tmp_path / "out")
    assert len([path for path, _ in many.files if path.endswith("frontier.sqlite")]) == ATTACHED + 3
    assert (many.tally, many.pace, many.durations, many.sizes) == (
        whole.tally,
        whole.pace,
        whole.durations,
        whole.sizes,
    )
    assert (many.hosts.count, many.depths, many.audit) == (whole.hosts.count, whole.depths, whole.audit)


@pytest.mark.parametrize("mode", variants.names())
def test_an_unfinished_crawl_says_so_and_the_pause_before_the_next_run_is_cut_out(
    web: StartedWeb, tmp_path: Path, mode: str
) -> None:
    webs.crawl(tmp_path / "out", webs.settings(web, mode), webs.stop_after(60))
    first = facts_of(tmp_path / "out")
    assert not first.over and first.tally.owed
    assert '<p class="state">stopped' in (tmp_path / "out/report.html").read_text()
    webs.crawl(tmp_path / "out", webs.settings(web, "async"))
    both = facts_of(tmp_path / "out")
    assert [span.run for span in both.pace.spans] == [1, 2]
    assert both.pace.spans[1].start >= both.pace.spans[0].end
    assert both.pace.spans[1].offset == pytest.approx(both.pace.spans[0].seconds)
    assert sum(bar.fine + bar.other for bar in both.pace.bars) == both.tally.urls
    assert [(cost.run, cost.mode) for cost in both.manifest.costs] == [(1, mode), (2, "async")]
    assert "only run 2 was looked at" in page(both, "aiohttp")


def test_a_live_crawl_can_be_read_at_any_moment(web: StartedWeb, tmp_path: Path) -> None:
    seen: list[Facts] = []

    def watch(run: Run) -> None:
        def look(actions: object) -> None:
            if run.stats.settled > 40 * (len(seen) + 1):
                seen.append(facts_of(tmp_path / "out"))

        assert isinstance(run, Job)
        run.recorder.observe(look)

    webs.crawl(tmp_path / "out", webs.settings(web, "threads"), watch)
    assert len(seen) > 2
    assert all(
        facts.running == os.getpid() and f"running in process {os.getpid()}" in page(facts, "") for facts in seen
    )
    for facts in seen:
        assert sum(bar.fine + bar.other for bar in facts.pace.bars) == facts.tally.urls


async def test_acrawl_leaves_a_report_too(web: StartedWeb, tmp_path: Path) -> None:
    keys: dict[str, Any] = {
        "resolve": web.settings.resolve,
        "attempt_header": "X-Attempt",
        "delay": webs.DELAY,
        "max_pages": 20,
    }
    async for _ in crawler.acrawl(*web.settings.seeds, out=tmp_path / "out", **keys):
        pass
    check_page((tmp_path / "out/report.html").read_text())
    assert facts_of(tmp_path / "out").cpu_seconds


def test_it_can_be_switched_off(web: StartedWeb, tmp_path: Path) -> None:
    webs.crawl(tmp_path / "out", webs.settings(web, "async", max_pages=5, report=False))
    assert not (tmp_path / "out/report.html").exists()


def test_a_report_that_fails_is_logged_and_the_crawl_is_fine(
    web: StartedWeb, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    chosen = webs.settings(web, "async", max_pages=5)
    CrawlDirectory.create(tmp_path / "out", chosen, demo=False, fresh=False).close()
    (tmp_path / "out/report.html").mkdir()
    summary = webs.crawl(tmp_path / "out", chosen)
    assert summary.urls == 5
    told = json.loads(capfd.readouterr().err)
    assert (told["event"], told["run"]) == ("no report", str(tmp_path / "out"))
    assert sorted(path.name for path in (tmp_path / "out").glob("*report*")) == ["report.html"]


def test_fresh_takes_the_old_report_away(web: StartedWeb, tmp_path: Path) -> None:
    chosen = webs.settings(web, "async", max_pages=5)
    webs.crawl(tmp_path / "out", chosen)
    CrawlDirectory.create(tmp_path / "out", chosen, demo=False, fresh=True).close()
    assert not (tmp_path / "out/report.html").exists()


# ---- crawls written by hand ------------------------------------------------------------------------------------------


@pytest.fixture
def written(tmp_path: Path) -> Iterator[Written]:
    with closing(Written(tmp_path / "out", Settings(seeds=("http://a.test/",), delay=1.0))) as crawl:
        yield crawl


def test_nothing_fetched_yet_is_a_report_too(written: Written) -> None:
    facts = written.facts()
    assert not facts.over
    assert "No URL has been fetched yet" in check_page(page(facts, "aiohttp")).text
    check_page(beside([(facts, "aiohttp"), (facts, "curl")]))


def test_a_gap_below_the_rest_is_a_breach_whichever_worker_made_it(written: Written) -> None:
    written.store("0001-000", [("http://a.test/1", 100.0, 0.5), ("http://b.test/1", 100.0, 0.5)])
    written.store("0001-001", [("http://a.test/2", 101.4, 0.1), ("http://b.test/2", 101.6, 0.1)])
    found = written.facts().audit
    assert (found.run, found.pages, found.hosts, found.owed_rest, found.breaches) == (1, 4, 2, 2, 1)
    worst = found.rests[0]
    assert (worst.host, worst.pages, worst.owed, worst.breach) == ("http://a.test", 2, 1.0, True)
    assert worst.gap == pytest.approx(0.9)
    assert not found.rests[1].breach
    assert "1 host got a request before the required rest was over" in Elements(page(written.facts(), "curl")).text


def test_a_crawl_delay_is_owed_up_to_its_cap(written: Written) -> None:
    written.commit([], [HostNote("http://a.test", "", delay=30.0), HostNote("http://b.test", "", delay=900.0)])
    visits = [(f"http://{host}.test/{n}", 1000.0 + 299 * n, 0.0) for host in "ab" for n in range(2)]
    written.store("0001-000", visits)
    rests = {rest.host: (rest.owed, rest.breach) for rest in written.facts().audit.rests}
    assert rests == {"http://a.test": (30.0, False), "http://b.test": (300.0, True)}


def test_overlapping_fetches_of_a_host_are_counted(written: Written) -> None:
    written.store(
        "0001-000", [("http://a.test/1", 10.0, 5.0), ("http://a.test/2", 11.0, 1.0), ("http://a.test/3", 11.5, 9.0)]
    )
    (rest,) = written.facts().audit.rests
    assert (rest.at_once, rest.breach) == (3, True)
    assert "overlapping" in page(written.facts(), "curl")


def test_only_the_newest_records_are_looked_at_and_it_says_so(written: Written) -> None:
    written.store("0001-000", [(f"http://a.test/{n}", 10.0 * n, 0.1) for n in range(50)])
    directory = written.directory
    with closing(connect_to_read(directory.frontier_files()[0])) as connection:
        visits = take_visits(connection, directory.path / "parts", most=20)
        found = audit(connection, visits, directory.settings)
    assert (found.pages, found.older) == (20, 30)
    told = page(replace(written.facts(), audit=found), "curl")
    assert "The newest 20 pages were looked at, 30 older ones were not" in told


def test_a_part_that_cannot_be_read_is_left_out_and_said(written: Written) -> None:
    written.store("0001-000", [("http://a.test/1", 1.0, 0.1)])
    (written.directory.path / "parts/0001-001.sqlite").write_bytes(b"not a database at all" * 100)
    found = written.facts()
    assert (found.audit.pages, found.audit.unread) == (1, 1)
    assert "1 part could not be read" in Elements(page(found, "curl")).text


def test_lists_stay_short_and_tell_of_the_rest(written: Written) -> None:
    ends = [
        written.end(f"http://h{n}.test/", Reason.CONNECT, status=0, detail=f"refused {n}", content_type=f"t/{n}")
        for n in range(5 * TOP)
    ]
    written.commit(ends)
    facts = written.facts()
    assert facts.hosts.count == 5 * TOP
    assert {len(facts.hosts.largest), len(facts.hosts.failing), len(facts.troubles), len(facts.slowest)} == {TOP}
    assert f"{4 * TOP:,} more, of rarer kinds" in page(facts, "curl")


def test_hosts_are_those_of_the_core(written: Written) -> None:
    urls = [
        "http://a/",
        "https://a/x/y?z=/",
        "http://a.test:81/",
        "https://[::1]:8443/x",
        "http://xn--bcher-kva.test/?/",
    ]
    written.commit([written.end(url) for url in urls])
    assert {host.name for host in written.facts().hosts.largest} == {host_of(url) for url in urls}


def test_the_busiest_stretch_is_told_as_a_rate(written: Written) -> None:
    for second in range(40):
        count = 20 if second == 7 else 2
        ends = [written.end(f"http://a.test/{second}/{n}", part="0001-000", position=n + 1) for n in range(count)]
        written.commit(ends, at=1e9 + second)
    facts = written.facts()
    assert facts.pace.seconds == pytest.approx(39.1)
    assert facts.rate == pytest.approx(98 / 39.1)
    assert peak(facts.pace) > 2 * facts.rate


def test_reading_leaves_every_byte_as_it_is(written: Written) -> None:
    written.store("0001-000", [("http://a.test/1", 1.0, 0.1)])
    written.commit([written.end("http://a.test/1", part="0001-000", position=1)])

    def contents() -> dict[str, str]:
        # beside a file that it opens SQLite keeps an index (-shm) and, where there is none, an empty log (-wal)
        kept = [
            path
            for path in written.directory.path.rglob("*")
            if path.is_file() and path.stat().st_size and path.suffix != ".sqlite-shm"
        ]
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in kept}

    before = contents()
    assert "frontier.sqlite-wal" in before, "nothing could have been checkpointed"
    facts = written.facts()
    assert facts.tally.pages == 1
    assert contents() == before


def test_patience_ends(written: Written) -> None:
    written.commit([written.end(f"http://a.test/{n}") for n in range(20_000)])
    with pytest.raises(StorageError, match="takes longer than 0 s; write it with: python -m crawler report"):
        read(written.directory, patience=0.0)
    assert read(written.directory, patience=60.0).tally.urls == 20_000


# ---- strangers' text -------------------------------------------------------------------------------------------------


def hostile_strings() -> list[str]:
    return [*HOSTILE, "\ud800 lone \udfff"]


@pytest.mark.parametrize("text", hostile_strings(), ids=ascii)
def test_strangers_text_becomes_one_harmless_piece(text: str) -> None:
    check_remote(text)


def test_every_string_of_the_corpus_becomes_one_harmless_piece() -> None:
    for case in cases("inject/strings"):
        check_remote(case["value"])


def check_remote(text: str) -> None:
    piece = remote(text)
    found = Elements(piece)
    assert found.tags <= {"bdi"} and not found.attributes
    assert piece.startswith("<bdi>") and piece.endswith("</bdi>")
    assert found.text.isprintable()
    assert len(found.text) <= 160
    piece.encode("utf-8")
    if text.isprintable() and len(text) <= 160:
        assert found.text == text


def test_a_page_about_hostile_pages_is_harmless(written: Written) -> None:
    ends = [
        written.end(
            f"http://h{n}.test/{text}".encode("utf-8", "replace").decode(),
            Reason.PROTOCOL,
            detail=text.encode("utf-8", "replace").decode(),
            content_type=text.encode("utf-8", "replace").decode(),
            part="0001-000",
            position=n + 1,
        )
        for n, text in enumerate(HOSTILE)
    ]
    written.commit(ends)
    facts = replace(written.facts(), out="\ud800<script>\x1b/$main")
    for text in (page(facts, "<b>"), beside([(facts, "<i>"), (written.facts(), "x")])):
        found = check_page(text)
        text.encode("utf-8")
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u200e\u200f\u202a-\u202e\u2066-\u2069]", text)
        assert "$main" in found.text


# ---- side by side ----------------------------------------------------------------------------------------------------


def test_side_by_side_says_whether_the_work_was_the_same(web: StartedWeb, tmp_path: Path) -> None:
    for mode, limit in (("async", None), ("threads", None), ("processes", 30)):
        webs.crawl(tmp_path / mode, webs.settings(web, mode, max_pages=limit))
    crawls = [(facts_of(tmp_path / mode), mode) for mode in ("async", "threads", "processes")]
    same = check_page(beside(crawls[:2])).text
    assert "All did the same work" in same
    assert "mode" in same and "threads" in same
    assert "Not all of them are over" in check_page(beside(crawls)).text
    other = replace(crawls[1][0], tally=replace(crawls[1][0].tally, digest="0" * 32))
    assert "They did not do the same work" in beside([crawls[0], (other, "curl")])
