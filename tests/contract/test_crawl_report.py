"""What the report of a crawl says to someone who reads it: when, how fast, at what cost, and what went wrong."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import turbohtml
from msgspec.structs import replace

from crawler.core.reasons import Reason
from crawler.report.drawing import peak
from crawler.report.facts import TOP, Bar, BrokenLink, Facts, HostFacts, PaceFacts, Percentiles
from crawler.report.html import NOTHING, between, shared_origin, url
from crawler.report.numbers import number
from crawler.report.pace_facts import WIDTHS
from crawler.report.page import page
from crawler.report.side_by_side import beside
from crawler.settings import Settings
from tests.contract.written import Elements, Written, check_page

START = 1e9
"""2001-09-09 01:46:40 UTC."""


@pytest.fixture
def written(tmp_path: Path) -> Iterator[Written]:
    with closing(Written(tmp_path / "out", Settings(seeds=("http://a.test/",), delay=1.0))) as crawl:
        yield crawl


def tiles(text: str) -> dict[str, str]:
    """The figures at the top: name, value."""
    return {name: value for value, name in re.findall(r"<div><b>(.*?)</b><span>(.*?)</span></div>", text)}


def section_of(text: str, key: str) -> str:
    found = re.search(rf'<section id="{key}">.*?</section>', text, re.DOTALL)
    assert found, key
    return found[0]


def row_of(text: str, name: str) -> list[str]:
    """The cells of the row with this heading."""
    return next(
        [cell.text for cell in row.select("td")]
        for row in turbohtml.parse(text).select("tbody tr")
        if row.select("th")[0].text == name
    )


# ---- time ------------------------------------------------------------------------------------------------------------


def test_it_says_from_when_to_when_by_the_clock(written: Written) -> None:
    written.fetch("0001-000", [(f"http://a.test/{n}", START + n, 0.5) for n in range(40)], at=START + 40)
    written.finish()
    text = page(written.facts(), "curl")
    assert "complete; 2001-09-09 01:46:40 to 01:47:19 UTC" in text
    assert "as of" not in text
    assert tiles(text)["active time"] == "39.5 s"
    assert between(START, START + 86_400) == "2001-09-09 01:46:40 to 2001-09-10 01:46:40 UTC"


def test_a_crawl_that_runs_is_told_as_of_the_moment_it_was_looked_at(written: Written) -> None:
    written.fetch("0001-000", [("http://a.test/", START, 0.5)])
    facts = replace(written.facts(), running=7, taken_at=START + 90)
    assert "running in process 7; as of 2001-09-09 01:48:10 UTC" in page(facts, "curl")


def test_percentiles_of_the_fetch_times_are_exact(written: Written) -> None:
    written.commit([written.end(f"http://a.test/{n}", seconds=n / 100) for n in range(1, 101)])
    facts = written.facts()
    assert facts.fetch_times == Percentiles(0.5, 0.95, 0.99)
    shown = tiles(page(facts, "curl"))
    assert [shown[f"fetch time, {name}"] for name in ("p50", "p95", "p99")] == ["500 ms", "950 ms", "990 ms"]


@pytest.mark.parametrize(("count", "p95"), [(1, 1.0), (2, 2.0), (20, 19.0), (21, 20.0)])
def test_a_percentile_is_the_time_of_one_of_the_urls(written: Written, count: int, p95: float) -> None:
    written.commit([written.end(f"http://a.test/{n}", seconds=float(n)) for n in range(1, count + 1)])
    times = written.facts().fetch_times
    assert times is not None and times.p95 == p95


def test_throughput_is_that_of_fetching_and_not_of_commits(written: Written) -> None:
    visits = [(f"http://a.test/{n}", START + n / 10, 0.13) for n in range(300)]
    written.fetch("0001-000", visits, at=START + 60.0)
    facts = written.facts()
    assert facts.pace.seconds == pytest.approx(30, abs=0.2)
    bars = [bar.fine for bar in facts.pace.bars]
    assert sum(bars) == 300
    assert len(bars) >= 30 and max(bars[:-1]) - min(bars[:-1]) <= 1, "one commit of all is no peak after a stall"


def test_what_left_no_page_counts_when_it_was_committed(written: Written) -> None:
    written.fetch("0001-000", [(f"http://a.test/{n}", START + n, 0.1) for n in range(10)], at=START + 10)
    written.commit([written.end("http://a.test/gone", Reason.CLIENT_ERROR, status=404)], at=START + 20)
    facts = written.facts()
    assert facts.pace.seconds == pytest.approx(20)
    assert (facts.pace.bars[-1].fine, facts.pace.bars[-1].other) == (0, 1)


# ---- cost ------------------------------------------------------------------------------------------------------------


def test_it_says_what_the_runs_cost(written: Written) -> None:
    written.fetch("0001-000", [("http://a.test/", START, 0.5)])
    assert tiles(page(written.facts(), "curl"))["CPU time"] == NOTHING
    written.finish(cpu_seconds=75.0, peak_memory=133_600_000)
    written.directory.begin_run(written.directory.settings)
    written.finish(cpu_seconds=5.0, peak_memory=20_000_000)
    text = page(written.facts(), "curl")
    shown = tiles(text)
    assert (shown["CPU time"], shown["memory at the peak"]) == ("1:20 min", "133.6 MB")
    assert row_of(section_of(text, "conditions"), "1")[-3:] == ["async, aiohttp", "1:15 min", "133.6 MB"]
    assert "leaves no cost" not in text
    written.directory.begin_run(written.directory.settings)
    assert "leaves no cost" in page(written.facts(), "curl")


# ---- nothing fetched -------------------------------------------------------------------------------------------------


def test_a_banner_says_that_nothing_could_be_fetched_and_why(written: Written) -> None:
    written.commit([written.end("http://a.test/", Reason.CONNECT, status=0, detail="connection refused", seconds=0.01)])
    written.finish()
    text = page(written.facts(), "curl")
    (banner,) = re.findall(r'<p class="banner">.*?</p>', text)
    said = Elements(banner).text
    assert said.startswith(
        "Nothing could be fetched. No connection could be made (connection refused): http://a.test/."
    )
    assert said.endswith(f"python -m crawler resume {written.directory.path}")
    check_page(text)


def test_a_crawl_that_was_killed_before_its_first_page_has_the_banner_and_one_that_runs_has_none(
    written: Written,
) -> None:
    facts = written.facts()
    assert 'class="banner">Nothing was fetched.' in page(facts, "curl")
    assert 'class="banner"' not in page(replace(facts, running=7), "curl")
    written.fetch("0001-000", [("http://a.test/", START, 0.5)])
    assert 'class="banner"' not in page(written.facts(), "curl")


# ---- tables ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("hosts", "tables"), [(1, 1), (TOP, 1), (TOP + 3, 3)])
def test_hosts_that_fit_into_one_table_are_in_one(written: Written, hosts: int, tables: int) -> None:
    written.commit([written.end(f"http://h{n}.test/", Reason.SERVER_ERROR, status=500) for n in range(hosts)])
    found = turbohtml.parse(section_of(page(written.facts(), "curl"), "hosts")).select("table")
    assert len(found) == tables
    assert len(found[0].select("tbody tr")) == min(hosts, TOP)


def test_every_column_has_a_plain_name(written: Written) -> None:
    written.fetch("0001-000", [("http://a.test/1", START, 0.5), ("http://a.test/2", START + 2, 0.5)])
    written.commit([written.end("http://a.test/gone", Reason.CLIENT_ERROR, status=404)])
    written.finish()
    one = written.facts()
    for text in (page(one, "curl"), beside([(one, "curl"), (replace(one, out="other"), "curl")])):
        heads = [head.text for head in turbohtml.parse(text).select("thead th")]
        assert heads and all(re.fullmatch(r"[A-Z].*|\d+", head) for head in heads), heads


def test_one_of_a_thing_is_not_several(written: Written) -> None:
    written.fetch("0001-000", [("http://a.test/1", START, 0.5), ("http://a.test/2", START + 2, 0.5)])
    written.finish()
    one = written.facts()
    for text in (page(one, "curl"), beside([(one, "curl"), (one, "curl")])):
        assert not re.search(r"\b1 (hosts|runs|parts|pages|crawls)\b", Elements(text).text)


def test_urls_are_links_where_that_is_safe() -> None:
    shown = url("http://a.test/x?a=1&b='\"<", "", "")
    assert Elements(shown).links == ["http://a.test/x?a=1&b='\"<"]
    assert 'rel="noopener noreferrer nofollow"' in shown
    for text in ("javascript:alert(1)", "http://a.test/\u202ex", "http://a.test/a b", "http://a.test/" + "x" * 600):
        assert not Elements(url(text)).links and "<a" not in url(text)


def test_an_origin_that_all_urls_of_a_table_share_is_marked(written: Written) -> None:
    ends = [written.end(f"http://a.test/{n}", Reason.CLIENT_ERROR, status=404) for n in range(3)]
    written.commit(ends)
    alone = section_of(page(written.facts(), "curl"), "errors")
    assert 'class="note stripped">On <bdi>http://a.test</bdi>' in alone
    assert '<span class="origin">http://a.test</span>/2</bdi>' in alone
    written.commit([written.end("http://b.test/", Reason.CLIENT_ERROR, status=404)])
    assert "stripped" not in section_of(page(written.facts(), "curl"), "errors").partition("Broken links")[2]


def test_the_origin_of_several_hosts_is_none() -> None:
    assert shared_origin(["http://a.test/", "http://a.test/x/y"]) == "http://a.test"
    assert shared_origin(["http://a.test/", "https://a.test/"]) == ""
    assert shared_origin([]) == ""
    assert Elements(url("http://a.test.org/", "", "http://a.test")).text == "http://a.test.org/"


def test_a_table_of_long_urls_ends_and_says_so(written: Written) -> None:
    every = 200
    long = [f"http://a.test/{n}?{'&' * 400}" for n in range(every)]
    written.commit([written.end(one, Reason.CLIENT_ERROR, status=404) for one in long])
    broken = tuple(BrokenLink(one, 404, tuple(long[:5])) for one in long)
    text = page(replace(written.facts(), broken=broken), "curl")
    shown = len(turbohtml.parse(text).select("section#errors tbody tr")) - len(written.facts().troubles)
    assert 10 < shown < every
    assert f"Not shown: {every - shown:,} more" in text
    assert len(text.encode()) < 1_000_000


def test_it_names_the_command_as_it_was_called(written: Written) -> None:
    written.commit([written.end("http://a.test/gone", Reason.CLIENT_ERROR, status=404)])
    facts = replace(written.facts(), command="/opt/x/crawler")
    for text in (page(facts, "curl"), beside([(facts, "curl"), (facts, "curl")])):
        assert "/opt/x/crawler report " in text
        assert "python -m crawler" not in text


# ---- side by side ----------------------------------------------------------------------------------------------------


def test_each_width_of_a_bar_divides_the_next() -> None:
    for narrow, wide in itertools.pairwise(WIDTHS):
        assert wide / narrow == pytest.approx(round(wide / narrow))


def test_bars_that_are_joined_keep_their_sums() -> None:
    bars = tuple(Bar(n, 1, 10) for n in range(7))
    pace = PaceFacts((), 0.5, bars).rebinned(1.0)
    assert pace.bars == (Bar(1, 2, 20), Bar(5, 2, 20), Bar(9, 2, 20), Bar(6, 1, 10))
    assert pace.rebinned(1.0) == pace


def test_peaks_of_crawls_side_by_side_are_of_equal_times(written: Written) -> None:
    written.fetch("0001-000", [(f"http://a.test/{n}", START + n / 10, 0.1) for n in range(105)])
    written.finish()
    fast = written.facts()
    slow = replace(fast, pace=PaceFacts(fast.pace.spans, 5.0, (Bar(50, 0, 0), Bar(50, 0, 0))))
    assert fast.pace.width < 5.0
    text = beside([(fast, "curl"), (slow, "curl")])
    assert row_of(text, "URLs/s in the busiest 5 s")[0] == number(peak(fast.pace.rebinned(5.0)))
    assert text.count("2001-09-09 01:46:40 to 01:46:50 UTC") == 2 and "as of" not in text


def test_what_never_fetched_stands_beside_what_did(written: Written) -> None:
    nothing = written.facts()
    written.fetch("0001-000", [("http://a.test/", START, 0.5)])
    check_page(beside([(nothing, "curl"), (written.facts(), "curl")]))


def test_hosts_without_a_path_are_links_too() -> None:
    facts = HostFacts("http://a.test", 1, 1, 0, 0, 0, 0.1)
    assert Elements(url(facts.name, " host")).links == ["http://a.test"]


def test_the_figures_of_a_large_crawl_are_short_enough_for_their_tiles(written: Written) -> None:
    facts: Facts = written.facts()
    large = replace(facts.tally, urls=123_456_789, pages=98_765_432, bytes=133_600_000)
    shown = tiles(page(replace(facts, tally=large), "curl"))
    assert shown["stored, uncompressed"] == "133.6 MB"
    assert max(map(len, shown.values())) <= len("123,456,789")
