"""Re-crawls that ask for what is due or worth most, and carry over the other pages that they know."""

from __future__ import annotations

import itertools
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

import crawler
import variants
from crawler.cli import diff as cli_diff
from crawler.cli import export as cli_export
from crawler.cli import status as cli_status
from crawler.cli.signals import Signals
from crawler.core.reasons import Reason
from crawler.metrics.summary import Summary
from crawler.report.diff_page import diff_page
from crawler.run import open_next
from crawler.storage import lastmods, revisits
from crawler.storage.diff import GonePage, diff
from crawler.storage.directory import CrawlDirectory
from crawler.storage.generations import KNOWN, chosen, folder_of
from crawler.storage.known_pages import KnownReader, fix_choice
from crawler.storage.revisits import CARRIED
from crawler.storage.verify import audit
from tests.contract.changing_site import DATES, LIES, NONE, ChangingSite, changing_site, page
from tests.contract.recrawls import FAST
from tests.contract.virtual_clock import VirtualClock, virtual_clock

LEAVES = 12
ALL = 1 + 2 * LEAVES
"""Pages of the site: home, leaves, and one below each leaf."""


@pytest.fixture
def site() -> Iterator[ChangingSite]:
    pages: dict[str, Any] = {"/": page("home", *(f"leaf{number}" for number in range(LEAVES)))}
    pages |= {f"/leaf{number}": page(f"leaf {number}", f"below{number}") for number in range(LEAVES)}
    pages |= {f"/below{number}": page(f"below {number}", "/") for number in range(LEAVES)}
    with changing_site(pages) as served:
        yield served


@pytest.fixture
def clock() -> Iterator[VirtualClock]:
    with virtual_clock() as clock:
        yield clock


@pytest.fixture
def crawled(site: ChangingSite, clock: VirtualClock, tmp_path: Path) -> Path:
    return first(site, tmp_path)


def first(site: ChangingSite, tmp_path: Path, **keys: Any) -> Path:
    out = tmp_path / "c"
    crawler.crawl(site.url, out=out, revisit="adaptive", **(FAST | keys))
    site.take_asked()
    return out


def again(out: Path, **keys: Any) -> Summary:
    """The next generation, which must be intact."""
    summary = crawler.recrawl(out, **keys)
    found = audit(CrawlDirectory.open_readonly(chosen(out, summary.generation)))
    assert (found.wrong, found.digest) == (0, summary.digest), found.problems
    return summary


def carried(out: Path, number: int) -> set[str]:
    with closing(sqlite3.connect(out / KNOWN)) as connection:
        return {url for (url,) in connection.execute(CARRIED, (number,))}


def test_what_is_not_due_is_carried_over_and_all_that_it_leads_to_is_still_known(
    site: ChangingSite, clock: VirtualClock, crawled: Path, tmp_path: Path
) -> None:
    clock.pass_days(0.2)
    summary = again(crawled)
    assert list(site.take_asked()) == ["/"]
    assert (summary.urls, summary.not_modified, summary.carried_over) == (1, 1, ALL - 1)
    assert (summary.pages, summary.reasons, summary.complete) == (ALL, {"ok": ALL}, True)
    assert summary.digest == crawler.crawl(site.url, out=tmp_path / "fresh", **FAST).digest
    found = diff(crawled)
    assert (found.not_asked, found.unchanged.pages) == (ALL - 1, 1)
    assert (found.new, found.gone, found.changed, found.uncertain) == ([], [], [], [])


def test_after_its_interval_a_page_is_due(site: ChangingSite, clock: VirtualClock, crawled: Path) -> None:
    clock.pass_days(1.2)
    assert (again(crawled).urls, len(site.take_asked())) == (ALL, ALL)
    clock.pass_days(1.2)  # without a change the interval grew by half
    assert (again(crawled).urls, len(site.take_asked())) == (1, 1)


def test_a_budget_is_kept_and_new_urls_of_changed_pages_are_asked_for_on_top(
    site: ChangingSite, clock: VirtualClock, crawled: Path
) -> None:
    clock.pass_days(3)
    site.pages |= {"/": page("home", "new", *(f"leaf{number}" for number in range(LEAVES))), "/new": page("new")}
    summary = again(crawled, revisit_budget=5)
    asked = site.take_asked()
    assert len(asked) == 7 and {"/", "/new"} <= set(asked)
    assert summary.carried_over == ALL - 6
    assert diff(crawled).new == [site.at("new")]


def test_turns_come_to_every_page_where_nothing_else_is_known(
    site: ChangingSite, clock: VirtualClock, crawled: Path
) -> None:
    asked: set[str] = set()
    for _ in range(5):
        clock.pass_days(1)
        again(crawled, revisit_budget=8)
        asked |= set(site.take_asked())
    assert asked == set(site.pages)


def test_a_change_is_found_where_it_is_asked_for_and_said_of_nothing_else(
    site: ChangingSite, clock: VirtualClock, crawled: Path
) -> None:
    for number in range(LEAVES):
        site.pages[f"/below{number}"] = page("edited", "/")
    clock.pass_days(2)
    again(crawled, revisit_budget=6)
    asked = {site.at(path) for path in site.take_asked()}
    found = diff(crawled)
    below = {url for url in asked if "below" in url}
    assert {one.url for one in found.changed} == below
    assert found.not_asked == ALL - len(asked)
    assert found.unchanged.pages == len(asked) - len(below)


def test_a_page_that_nothing_leads_to_is_asked_for_once_more_whether_or_not_it_is_due(
    site: ChangingSite, clock: VirtualClock, crawled: Path
) -> None:
    site.pages["/"] = page("home", *(f"leaf{number}" for number in range(1, LEAVES)))
    clock.pass_days(0.2)
    again(crawled)
    assert set(site.take_asked()) == {"/", "/leaf0", "/below0"}
    assert diff(crawled).gone == []
    summary = again(crawled)
    assert set(site.take_asked()) == {"/"} and summary.carried_over == ALL - 3
    assert diff(crawled).gone == [GonePage(site.at(name), "unlinked") for name in ("below0", "leaf0")]


@pytest.mark.parametrize("mode", [name for name in variants.names() if name != "ray"])
def test_every_mode_carries_the_same_pages_over_and_resumes_what_another_began(
    site: ChangingSite, clock: VirtualClock, crawled: Path, tmp_path: Path, mode: str
) -> None:
    clock.pass_days(2)
    site.pages["/leaf3"] = page("edited", "added")
    site.pages["/added"] = page("added")
    reference = tmp_path / "reference"
    shutil.copytree(crawled, reference)
    expected = again(reference, revisit_budget=7)
    asked = set(site.take_asked())
    begun = again(crawled, revisit_budget=7, mode="threads", max_pages=4)
    assert begun.ending == "limit"
    clock.pass_days(20)  # a choice stands, although much more is due by now
    keys: dict[str, int] = {"processes": 2, "threads_per_process": 2, "concurrency": 4}
    known = {"processes": ("processes", "threads_per_process"), "prefork": ("processes", "concurrency")}
    engine = {key: keys[key] for key in known.get(mode, ("concurrency",))}
    summary = crawler.crawl(out=crawled, resume=True, **(FAST | {"mode": mode, "max_pages": None} | engine))
    assert set(site.take_asked()) == asked
    assert (summary.digest, summary.carried_over, summary.urls) == (
        expected.digest,
        expected.carried_over,
        expected.urls,
    )
    assert summary.generation == 1 and summary.complete


def test_a_choice_that_was_lost_is_made_again_for_the_same_moment(
    site: ChangingSite, clock: VirtualClock, crawled: Path
) -> None:
    clock.pass_days(1)
    begun = open_next(crawled, CrawlDirectory.open_readonly(crawled).settings)
    fix_choice(begun)
    begun.close()
    expected = carried(crawled, 1)
    assert 0 < len(expected) < ALL - 1
    for path in crawled.glob(f"{KNOWN}*"):
        path.unlink()
    clock.pass_days(30)
    summary = again(crawled)
    assert (summary.generation, summary.carried_over) == (1, len(expected))
    assert carried(crawled, 1) == expected


def test_what_is_known_of_changes_is_derived_from_the_generations(
    site: ChangingSite, clock: VirtualClock, crawled: Path
) -> None:
    def known() -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(crawled / KNOWN)) as connection:
            return connection.execute("SELECT url, visited_at, step, visits FROM page").fetchall()

    for number in range(3):
        site.pages["/leaf1"] = page(f"edit {number}", "below1")
        clock.pass_days(1)
        again(crawled, revisit_budget=9)
    again(crawled)
    before = known()
    (crawled / KNOWN).write_bytes(b"not a database")
    for path in crawled.glob(f"{KNOWN}-*"):
        path.unlink()
    open_next(crawled, CrawlDirectory.open_readonly(crawled).settings).close()
    at_least = {row[0]: row for row in known()}
    assert all(at_least[row[0]][1] >= row[1] for row in before) and len(at_least) == len(before)


def test_a_file_of_the_version_before_is_made_again(site: ChangingSite, clock: VirtualClock, crawled: Path) -> None:
    again(crawled, revisit="all")
    with closing(sqlite3.connect(crawled / KNOWN)) as connection:
        for column in ("carried", "due_at", "visits", "step", "visited_at"):
            connection.execute(f"ALTER TABLE page DROP COLUMN {column}")
        connection.execute("DROP TABLE chosen")
        connection.commit()
    with closing(KnownReader(crawled)) as reader:
        assert reader.carried(1) == []
    assert again(crawled, revisit="adaptive").carried_over == ALL - 1


def test_a_stored_page_that_cannot_be_read_is_asked_for(
    site: ChangingSite, clock: VirtualClock, tmp_path: Path
) -> None:
    out = first(site, tmp_path, store="files")
    stored = next(path for path in (out / "bodies").glob("*/*") if b"<title>leaf 4<" in path.read_bytes())
    stored.write_bytes(b"damaged")
    shutil.rmtree(out / "readings")  # what was read of a page would do without its body
    summary = crawler.recrawl(out)
    assert [one.path for one in site.asked if one.path != "/robots.txt"].count("/leaf4") == 2
    assert {one.path for one in site.asked} == {"/robots.txt", "/", "/leaf4"}
    assert (summary.urls, summary.carried_over, summary.complete) == (2, ALL - 2, True)


# ---- servers ---------------------------------------------------------------------------------------------------------


def test_a_host_that_is_down_for_two_nights_loses_nothing(
    site: ChangingSite, clock: VirtualClock, crawled: Path
) -> None:
    site.down = True
    for _ in range(2):
        clock.pass_days(1)
        assert again(crawled, revisit_budget=6).ending == "failed"
        found = diff(crawled, 0)
        assert (found.gone, found.new, found.changed) == ([], [], [])
    site.down, site.asked = False, []
    site.pages["/leaf2"] = page("edited", "below2")
    clock.pass_days(1)
    summary = again(crawled, revisit_budget=ALL)
    assert (summary.pages, summary.urls, summary.carried_over) == (ALL, ALL, 0)
    assert [one.url for one in diff(crawled).changed] == [site.at("leaf2")]


@pytest.mark.parametrize("validators", [NONE, DATES])
def test_changes_are_counted_whatever_the_server_tells(
    site: ChangingSite, clock: VirtualClock, tmp_path: Path, validators: str
) -> None:
    site.validators = validators
    out = first(site, tmp_path)
    for number in range(3):
        site.pages["/leaf1"] = page(f"edit {number}", "below1")
        site.dates["/leaf1"] = f"Tue, 0{number + 1} Dec 2026 11:00:00 GMT"
        clock.pass_days(8)
        assert again(out).urls == ALL
        assert [one.url for one in diff(out).changed] == [site.at("leaf1")]
        site.take_asked()
    clock.pass_days(0.9)
    again(out)
    assert set(site.take_asked()) == {"/", "/leaf1"}


def test_a_page_that_differs_in_its_footer_each_time_is_one_that_does_not_change(
    site: ChangingSite, clock: VirtualClock, tmp_path: Path
) -> None:
    ticks = itertools.count()
    site.pages["/leaf1"] = lambda: page("leaf 1", "below1") + f"<footer>{next(ticks)}</footer>".encode()
    out = first(site, tmp_path)
    for _ in range(3):
        clock.pass_days(4)
        assert again(out).urls == ALL
        site.take_asked()
    clock.pass_days(0.9)
    again(out)
    assert set(site.take_asked()) == {"/"}


def test_a_page_too_large_to_be_parsed_for_it_has_changed_where_its_body_has(
    site: ChangingSite, clock: VirtualClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revisits, "LARGEST", 10)
    ticks = itertools.count()
    site.pages["/leaf1"] = lambda: page("leaf 1", "below1") + f"<footer>{next(ticks)}</footer>".encode()
    out = first(site, tmp_path)
    for _ in range(3):
        clock.pass_days(4)
        again(out)
        site.take_asked()
    clock.pass_days(0.9)
    again(out)
    assert set(site.take_asked()) == {"/", "/leaf1"}


def test_a_server_that_lies_is_found_out_by_the_unconditional_fetch(
    site: ChangingSite, clock: VirtualClock, tmp_path: Path
) -> None:
    site.validators = LIES
    out = first(site, tmp_path, revalidate_every=2)
    site.pages["/leaf1"] = page("edited", "below1")
    found = []
    for _ in range(2):
        clock.pass_days(10)
        again(out, revisit_budget=ALL)
        found.append([one.url for one in diff(out).changed])
    assert found == [[], [site.at("leaf1")]]


def put_sitemap(site: ChangingSite, days: dict[int, int]) -> None:
    """A sitemap that dates leaves by days of a month."""
    entries = "".join(
        f"<url><loc>{site.at(f'leaf{number}')}</loc><lastmod>2026-01-{day:02d}</lastmod></url>"
        for number, day in days.items()
    )
    site.pages["/map.xml"] = f"<urlset>{entries}</urlset>".encode()


@pytest.mark.parametrize("honest", [True, False])
def test_a_sitemap_makes_a_page_due_once_its_dates_have_proved_true(
    site: ChangingSite, clock: VirtualClock, tmp_path: Path, honest: bool
) -> None:
    days = dict.fromkeys(range(LEAVES), 1)
    put_sitemap(site, days)
    out = first(site, tmp_path, sitemap=(site.at("map.xml"),))
    for night in (2, 3):
        for number in range(4):
            site.pages[f"/leaf{number}"] = page(f"edit {night}", f"below{number}")
        days |= dict.fromkeys(range(4) if honest else range(LEAVES), night)
        put_sitemap(site, days)
        clock.pass_days(4)
        assert again(out).urls == ALL + 1
        site.take_asked()
    put_sitemap(site, days | {7: 4})
    clock.pass_days(0.01)
    again(out)
    assert set(site.take_asked()) == {"/", "/map.xml"}  # its dates count from the next re-crawl on
    again(out)
    assert set(site.take_asked()) == {"/", "/map.xml"} | ({"/leaf7"} if honest else set())
    again(out)
    assert set(site.take_asked()) == {"/", "/map.xml"}


def test_no_more_sitemaps_than_the_limit_are_read_for_their_dates(
    site: ChangingSite, clock: VirtualClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_sitemap(site, dict.fromkeys(range(LEAVES), 1))
    out = first(site, tmp_path, sitemap=(site.at("map.xml"),))
    clock.pass_days(4)
    monkeypatch.setattr(lastmods, "MOST", 0)
    again(out)
    dated = "SELECT count(*) FROM page WHERE told_at > 0"
    with closing(sqlite3.connect(out / KNOWN)) as connection:
        assert connection.execute(dated).fetchone() == (0,)
    monkeypatch.undo()
    (out / KNOWN).unlink()
    clock.pass_days(4)
    again(out)
    with closing(sqlite3.connect(out / KNOWN)) as connection:
        assert connection.execute(dated).fetchone() == (LEAVES,)


# ---- what is told ----------------------------------------------------------------------------------------------------


def test_what_was_not_asked_for_is_told_apart_everywhere(
    site: ChangingSite, clock: VirtualClock, crawled: Path, tmp_path: Path
) -> None:
    clock.pass_days(0.2)
    again(crawled)

    def told(command: click.Command, *more: str) -> str:
        return CliRunner().invoke(command, [str(crawled), *more], standalone_mode=False, obj=Signals()).output

    assert f"not asked  {ALL - 1} known pages" in told(cli_status.status)
    shown = told(cli_diff.diff)
    assert f"not asked  {ALL - 1} known pages" in shown and "unchanged  1 pages" in shown
    told(cli_export.export, "--format", "csv", "-o", str(tmp_path / "rows.csv"))
    rows = [line.split(",") for line in (tmp_path / "rows.csv").read_text().splitlines()]
    assert sum("not asked" in row for row in rows) == ALL - 1
    assert f"{ALL - 1} known pages were not asked for" in diff_page(diff(crawled), str(crawled))
    with crawler.open(crawled) as found:
        assert all(row.reason is Reason.OK and (row.attempts > 0) != row.carried for row in found.urls())
    assert folder_of(crawled, 1).is_dir()
