"""Re-crawls of a site that changes between them: what is asked for, what is stored, and what the diff says."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import crawler
from crawler.core.page import links
from crawler.core.page.links import Reading
from crawler.errors import UsageError
from crawler.metrics.summary import Summary
from crawler.pipeline import page_processor
from crawler.storage.database import connect_to_read
from crawler.storage.diff import ChangedPage, GenerationDiff, GonePage, MovedPage, Unchanged, diff, diff_of_text
from crawler.storage.directory import CrawlDirectory
from crawler.storage.generations import DROPPED, KNOWN, chosen, folder_of, generations
from crawler.storage.known_pages import KnownReader, catch_up
from crawler.storage.readings import remove_readings
from crawler.storage.retention import keep_last
from crawler.storage.verify import audit
from tests.contract.changing_site import DATES, LIES, NONE, ChangingSite, changing_site, page

NAMES = ("one", "two", "three", "four")
FAST: dict[str, Any] = {
    "mode": "threads",
    "delay": 0.0,
    "per_host": 4,
    "attempts": 2,
    "backoff": 0.001,
    "host_patience": 0.0,
    "report": False,
}


def pages() -> dict[str, bytes | int | Callable[[], bytes]]:
    return {"/": page("home", *NAMES), **{f"/{name}": page(name, "/") for name in NAMES}}


@pytest.fixture
def site() -> Iterator[ChangingSite]:
    with changing_site(pages()) as served:
        yield served


@pytest.fixture
def crawled(site: ChangingSite, tmp_path: Path) -> Path:
    """The directory of a first crawl of the site."""
    return first(site, tmp_path)


@pytest.fixture(params=["sqlite", "files"])
def stored(request: pytest.FixtureRequest, site: ChangingSite, tmp_path: Path) -> Path:
    """As `crawled`, in each store."""
    return first(site, tmp_path, store=request.param)


def first(site: ChangingSite, tmp_path: Path, **keys: object) -> Path:
    out = tmp_path / "c"
    summary = crawler.crawl(site.url, out=out, **(FAST | keys))
    assert (summary.generation, summary.not_modified) == (0, 0)
    site.take_asked()
    return out


def again(out: Path, **keys: Any) -> Summary:
    """The next generation, which must be intact."""
    summary = crawler.recrawl(out, **keys)
    check(out, summary.generation)
    return summary


def check(out: Path, number: int) -> None:
    found = audit(CrawlDirectory.open_readonly(chosen(out, number)))
    assert (found.wrong, found.generation) == (0, number), found.problems


def bodies_stored(out: Path, number: int) -> int:
    """The bodies that a generation has in its own files."""
    folder = folder_of(out, number)
    count = sum(path.is_file() for path in (folder / "bodies").glob("*/*"))
    for path in (folder / "parts").glob("*.sqlite"):
        with closing(connect_to_read(path)) as connection:
            count += connection.execute("SELECT count(*) FROM page WHERE body IS NOT NULL").fetchone()[0]
    return count


def fresh_digest(site: ChangingSite, tmp_path: Path) -> str:
    return crawler.crawl(site.url, out=tmp_path / "fresh", **FAST).digest


def unchanged(found: GenerationDiff) -> tuple[int, int, int]:
    same = found.unchanged
    return same.not_modified, same.same_digest, same.same_content


# ---- what is asked for -----------------------------------------------------------------------------------------------


def test_a_page_that_did_not_change_is_neither_sent_nor_stored_again(
    site: ChangingSite, stored: Path, tmp_path: Path
) -> None:
    summary = again(stored)
    sent, asked = site.sent, site.take_asked()
    assert sent == 0 and len(asked) == 5
    assert all(one.if_none_match and one.if_modified_since for one in asked.values())
    assert (summary.generation, summary.not_modified, summary.pages, summary.complete) == (1, 5, 5, True)
    assert (
        summary.bytes_saved
        == summary.bytes
        == sum(len(body) for body in site.pages.values() if isinstance(body, bytes))
    )
    assert summary.statuses == {"200": 5}
    assert bodies_stored(stored, 1) == 0
    assert summary.digest == fresh_digest(site, tmp_path)
    assert diff(stored).unchanged == Unchanged(5)


def test_the_diff_names_exactly_what_was_edited_added_removed_and_moved(
    site: ChangingSite, crawled: Path, tmp_path: Path
) -> None:
    site.pages |= {"/": page("home", *NAMES, "five"), "/one": page("edited", "/"), "/two": 404, "/five": page("five")}
    del site.pages["/three"]
    site.moved["/three"] = "/five"
    summary = again(crawled)
    found = diff(crawled)
    assert (found.older, found.newer, found.complete) == (0, 1, True)
    assert found.new == [site.at("five")]
    assert found.gone == [GonePage(site.at("two"), "404")]
    assert found.moved == [MovedPage(site.at("three"), site.at("five"))]
    assert found.changed == [
        ChangedPage(site.at("/"), ("main_text", "outlinks")),
        ChangedPage(site.at("one"), ("main_text", "title")),
    ]
    assert found.uncertain == [] and unchanged(found) == (1, 0, 0)
    assert (summary.complete, summary.incomplete_because) == (True, {})
    assert summary.digest == fresh_digest(site, tmp_path)
    text = list(diff_of_text(crawled, site.at("one")))
    assert text[:2] == ["--- generation 0", "+++ generation 1"] and "-one. /" in text and "+edited. /" in text


def test_dates_alone_are_validators_too(site: ChangingSite, tmp_path: Path) -> None:
    site.validators = DATES
    out = first(site, tmp_path)
    site.pages["/one"] = page("edited", "/")
    site.dates["/one"] = "Wed, 02 Dec 2026 10:00:00 GMT"
    assert again(out).not_modified == 4
    assert [one.url for one in diff(out).changed] == [site.at("one")]


def test_every_nth_fetch_is_unconditional_and_finds_a_server_that_lies(site: ChangingSite, tmp_path: Path) -> None:
    site.validators = LIES
    out = first(site, tmp_path, revalidate_every=3)
    site.pages["/one"] = page("edited", "/")
    for number in (1, 2):
        assert again(out).not_modified == 5
        assert all(one.conditional for one in site.take_asked().values())
        assert diff(out, newer=number).changed == []
    assert again(out).not_modified == 0
    assert not any(one.conditional for one in site.take_asked().values())
    assert [one.url for one in diff(out).changed] == [site.at("one")]
    assert again(out).not_modified == 5


def test_a_server_without_validators_sends_all_and_equal_bodies_are_not_stored_again(
    site: ChangingSite, tmp_path: Path
) -> None:
    site.validators = NONE
    out = first(site, tmp_path)
    site.pages["/one"] = page("edited", "/")
    summary = again(out)
    assert not any(one.conditional for one in site.take_asked().values())
    assert (summary.not_modified, summary.bytes_saved, bodies_stored(out, 1)) == (0, 0, 1)
    assert unchanged(diff(out)) == (0, 4, 0)


def test_a_page_that_differs_in_its_footer_each_time_did_not_change(site: ChangingSite, tmp_path: Path) -> None:
    clock = itertools.count()
    site.pages["/one"] = lambda: page("one", "/") + f"<footer>{next(clock)}</footer>".encode()
    out = first(site, tmp_path)
    again(out)
    found = diff(out)
    assert found.changed == [] and unchanged(found) == (4, 0, 1)
    assert bodies_stored(out, 1) == 1


def test_new_validators_of_an_unchanged_body_are_used_the_next_time(site: ChangingSite, stored: Path) -> None:
    site.validators = LIES  # another ETag for every page
    again(stored)
    assert bodies_stored(stored, 1) == 0 and unchanged(diff(stored)) == (0, 5, 0)
    site.take_asked()
    assert again(stored).not_modified == 5
    assert {one.if_none_match for one in site.take_asked().values()} == {'"always"'}
    assert bodies_stored(stored, 2) == 0


def test_headers_that_come_with_a_304_are_stored(site: ChangingSite, crawled: Path) -> None:
    site.with_304 = {"X-Robots-Tag": "noindex"}
    assert again(crawled).not_modified == 5
    with crawler.open(crawled) as found:
        assert all(one.noindex and one.body for one in found.pages())
    assert bodies_stored(crawled, 1) == 0
    assert {one.what for one in diff(crawled).changed} == {("noindex",)}
    assert again(crawled).not_modified == 5 and diff(crawled).unchanged == Unchanged(5)


# ---- trouble ---------------------------------------------------------------------------------------------------------


def test_a_site_that_is_down_for_two_nights_loses_nothing(site: ChangingSite, crawled: Path) -> None:
    site.down = True
    for number in (1, 2):
        summary = again(crawled)
        assert (summary.generation, summary.ending, summary.pages) == (number, "failed", 0)
        found = diff(crawled)
        assert (found.gone, found.new, found.changed) == ([], [], [])
    assert {one.url for one in diff(crawled, 0, 1).uncertain} == {site.at(path) for path in site.pages}
    site.down = False
    site.pages["/one"] = page("edited", "/")
    site.asked = []
    assert again(crawled).not_modified == 4
    found = diff(crawled)
    assert (found.older, found.newer) == (2, 3)
    assert [one.url for one in found.changed] == [site.at("one")]
    assert found.new == [] and unchanged(found) == (4, 0, 0)


def test_an_error_does_not_overwrite_a_good_page(site: ChangingSite, crawled: Path) -> None:
    good, site.pages["/one"] = site.pages["/one"], 500
    assert again(crawled).ending == "incomplete"
    found = diff(crawled)
    assert [(one.url, one.why) for one in found.uncertain] == [(site.at("one"), "server_error")]
    assert found.gone == [] and not found.complete
    site.asked = []
    site.pages["/one"] = good
    assert again(crawled).not_modified == 5
    assert unchanged(diff(crawled)) == (5, 0, 0)


@pytest.mark.parametrize("status", [403, 404])
def test_a_permanent_error_forgets_the_validators(site: ChangingSite, crawled: Path, status: int) -> None:
    good, site.pages["/one"] = site.pages["/one"], status
    again(crawled)
    site.take_asked()
    site.pages["/one"] = good
    assert again(crawled).not_modified == 4
    assert not site.take_asked()["/one"].conditional
    found = diff(crawled)
    assert found.new == ([site.at("one")] if status == 404 else [])
    assert unchanged(found) == (4, int(status == 403), 0)


def test_a_stored_page_that_cannot_be_read_is_fetched_without_validators(site: ChangingSite, tmp_path: Path) -> None:
    out = first(site, tmp_path, store="files")
    stored = next(path for path in (out / "bodies").glob("*/*") if b"<title>one" in path.read_bytes())
    stored.write_bytes(b"damaged")
    remove_readings(out)  # otherwise nobody looks at it before it is fetched without validators, or verified
    summary = crawler.recrawl(out)
    asked = [one for one in site.asked if one.path == "/one"]
    assert [one.conditional for one in asked] == [True, False]
    assert (summary.not_modified, summary.pages, summary.complete) == (4, 5, True)
    check(out, 1)


# ---- pages that nothing links to -------------------------------------------------------------------------------------


def test_a_page_that_nothing_links_to_is_asked_for_once_more_and_then_dropped(
    site: ChangingSite, crawled: Path
) -> None:
    site.pages["/"] = page("home", *NAMES[1:])
    assert again(crawled).pages == 5
    assert "/one" in site.take_asked()
    found = diff(crawled)
    assert found.gone == [] and [one.url for one in found.changed] == [site.at("/")]
    assert again(crawled).pages == 4
    assert "/one" not in site.take_asked()
    assert diff(crawled).gone == [GonePage(site.at("one"), "unlinked")]
    site.pages["/"] = page("home", *NAMES)
    assert again(crawled).pages == 5
    assert diff(crawled).new == [site.at("one")]


def test_a_page_that_is_gone_and_no_longer_linked_is_gone_at_once(site: ChangingSite, crawled: Path) -> None:
    site.pages |= {"/": page("home", *NAMES[1:]), "/one": 410}
    assert again(crawled).complete
    assert diff(crawled).gone == [GonePage(site.at("one"), "410")]


def test_while_links_may_be_missing_a_page_is_not_dropped(site: ChangingSite, crawled: Path) -> None:
    site.pages |= {"/": page("home", "two", "three", "hub"), "/hub": page("hub", "one", "four")}
    again(crawled)
    site.pages["/hub"] = 500
    for _ in range(2):
        site.asked = []
        summary = again(crawled)
        assert (summary.pages, summary.reasons) == (5, {"ok": 5, "server_error": 1})
        assert diff(crawled).gone == []
        assert [one.url for one in diff(crawled).uncertain] in ([site.at("hub")], [])


# ---- generations -----------------------------------------------------------------------------------------------------


def test_settings_are_those_of_the_last_generation_but_for_those_that_are_given(
    site: ChangingSite, tmp_path: Path
) -> None:
    out = first(site, tmp_path, user_agent="first/1.0")
    again(out, mode="async", user_agent="second/1.0", concurrency=3)
    again(out)
    kept = CrawlDirectory.open_readonly(chosen(out, None)).settings
    assert (kept.mode, kept.user_agent, kept.concurrency) == ("async", "second/1.0", 3)
    with pytest.raises(UsageError, match="another max_links"):
        crawler.recrawl(out, max_links=3)


def test_logins_must_be_given_again(site: ChangingSite, tmp_path: Path) -> None:
    logins = {"headers": {site.url: {"X-Key": "secret"}}}
    out = first(site, tmp_path, **logins)
    with pytest.raises(UsageError, match="not kept"):
        crawler.recrawl(out)
    assert again(out, **logins).not_modified == 5


def test_every_generation_can_be_read_by_its_number(site: ChangingSite, crawled: Path) -> None:
    site.pages["/one"] = page("edited", "/")
    again(crawled)
    again(crawled)
    assert generations(crawled) == [0, 1, 2]
    titles = []
    for number in (0, 1, None):
        with crawler.open(crawled, number) as found:
            row = found.find(site.at("one"))
            assert row is not None
            titles.append(found.read(row).title)
    assert titles == ["one", "edited", "edited"]
    assert len(diff(crawled, 0, 2).changed) == 1 and diff(crawled).changed == []
    for wrong in ((1, 1), (2, 1), (0, 7), (7, None)):
        with pytest.raises(UsageError):
            diff(crawled, *wrong)


def test_a_first_crawl_has_nothing_to_compare_with(crawled: Path) -> None:
    with pytest.raises(UsageError, match="recrawl"):
        diff(crawled)


def test_old_generations_are_dropped_and_later_ones_keep_what_they_need(site: ChangingSite, stored: Path) -> None:
    whole = {path: site.pages[path] for path in site.pages}
    for number in range(1, 5):
        site.pages["/one"] = whole["/one"] = page(f"edit {number}", "/")
        again(stored, keep_generations=2)
        assert generations(stored) == ([0, 1] if number == 1 else [number - 1, number])
    for number in generations(stored):
        check(stored, number)
    with crawler.open(stored) as found:
        assert {one.url: one.body for one in found.pages()} == {site.at(path): body for path, body in whole.items()}
    assert not (stored / "shard-0000").exists()
    assert [bodies_stored(stored, number) for number in range(5)] == [4, 0, 0, 1, 1]
    assert [one.url for one in diff(stored).changed] == [site.at("one")]
    with pytest.raises(UsageError, match="has no generation 0"):
        chosen(stored, 0)


def test_what_a_kill_left_of_dropping_a_generation_is_done_by_the_next_call(site: ChangingSite, stored: Path) -> None:
    site.pages["/one"] = page("edited", "/")
    again(stored)
    (stored / DROPPED).touch()  # as far as a kill let it get
    assert generations(stored) == [1] and bodies_stored(stored, 0) == 5
    assert keep_last(stored, 3) == []
    assert bodies_stored(stored, 0) == 5 and not (stored / "shard-0000").exists()  # what is known names them all
    check(stored, 1)
    again(stored, keep_generations=1)
    assert generations(stored) == [2] and [bodies_stored(stored, number) for number in range(3)] == [4, 1, 0]
    check(stored, 2)


def test_generations_that_fetched_nothing_do_not_count_as_kept(site: ChangingSite, crawled: Path) -> None:
    site.down = True
    again(crawled, keep_generations=1)
    again(crawled)
    assert generations(crawled) == [0, 1, 2]
    site.down = False
    site.asked = []
    assert again(crawled).not_modified == 5
    assert generations(crawled) == [3]
    check(crawled, 3)


@pytest.mark.parametrize("damage", [None, b"not a database"])
def test_what_is_known_is_made_again_where_it_is_lost_or_damaged(
    site: ChangingSite, crawled: Path, damage: bytes | None
) -> None:
    again(crawled)
    site.take_asked()
    for path in crawled.glob(f"{KNOWN}*"):
        path.unlink()
    if damage is not None:
        (crawled / KNOWN).write_bytes(damage)
    assert again(crawled).not_modified == 5


def test_a_row_of_what_is_known_that_does_not_match_its_checksum_counts_as_unknown(
    site: ChangingSite, crawled: Path
) -> None:
    catch_up(crawled)
    with closing(KnownReader(crawled)) as known:
        assert known.find(site.at("one")) is not None
    with closing(sqlite3.connect(crawled / KNOWN)) as connection, connection:
        connection.execute("UPDATE page SET position = position + 1 WHERE url = ?", (site.at("one"),))
    with closing(KnownReader(crawled)) as known:
        assert known.find(site.at("one")) is None and known.find(site.at("two")) is not None


def test_a_damaged_record_of_an_earlier_generation_is_fetched_again(site: ChangingSite, crawled: Path) -> None:
    for path in (crawled / "parts").glob("*.sqlite"):
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE page SET headers = 'none' WHERE url = ?", (site.at("one"),))
    assert again(crawled).not_modified == 4
    assert not site.take_asked()["/one"].conditional and bodies_stored(crawled, 1) == 1


def test_pages_of_earlier_generations_reach_the_functions_of_a_program(site: ChangingSite, crawled: Path) -> None:
    seen: list[str] = []
    summary = crawler.recrawl(crawled, on_page=lambda one: seen.append(one.title))
    assert summary.not_modified == 5
    assert sorted(seen) == sorted(["home", *NAMES])


def test_a_crawl_started_anew_forgets_its_generations(site: ChangingSite, crawled: Path) -> None:
    again(crawled)
    site.asked = []
    summary = crawler.crawl(site.url, out=crawled, fresh=True, **FAST)
    assert (summary.generation, generations(crawled), (crawled / KNOWN).exists()) == (0, [0], False)


# ---- what was read of a page ----------------------------------------------------------------------------------------


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The URLs of the pages that are parsed in this process."""
    urls: list[str] = []

    def read_page(body: bytes, url: str, *more: Any) -> Reading:
        urls.append(url)
        return links.read_page(body, url, *more)

    monkeypatch.setattr(page_processor, "read_page", read_page)
    return urls


def test_a_page_is_parsed_when_its_body_comes_and_never_for_a_304(
    site: ChangingSite, crawled: Path, parsed: list[str]
) -> None:
    site.pages["/one"] = page("one", "/", "http://other.test/") + b"<a href=mailto:a@b>"
    parsed.clear()
    second = again(crawled)
    assert parsed == [site.at("one")]
    third = again(crawled)
    assert parsed == [site.at("one")] and not list(crawled.glob("**/readings"))
    assert (third.not_modified, third.digest, third.complete) == (5, second.digest, True)
    assert third.not_followed == second.not_followed == {"out_of_scope": 1, "scheme": 1}
    check(crawled, 2)


def test_headers_that_matter_end_what_was_kept(site: ChangingSite, crawled: Path, parsed: list[str]) -> None:
    site.with_200 = site.with_304 = {"X-Robots-Tag": "noarchive"}
    again(crawled)  # headers that the first crawl did not get: a new record
    again(crawled)
    parsed.clear()
    assert again(crawled).not_modified == 5 and parsed == []  # they are the stored ones now
    site.with_304 = {"X-Robots-Tag": "nofollow"}
    summary = again(crawled)
    assert len(parsed) == 5 and summary.not_modified == 5  # no link is followed, so each page is asked for once more
    assert summary.not_followed["nofollow"] > 0


def test_a_page_is_parsed_again_under_other_rules_and_where_what_was_read_is_damaged(
    site: ChangingSite, crawled: Path, parsed: list[str]
) -> None:
    parsed.clear()
    again(crawled, user_agent="another/1.0")
    assert len(parsed) == 5
    parsed.clear()
    again(crawled)
    assert parsed == []
    with closing(sqlite3.connect(crawled / KNOWN)) as connection, connection:
        connection.execute("UPDATE page SET reading = zeroblob(40) WHERE url = ?", (site.at("one"),))
    assert again(crawled).not_modified == 5
    assert parsed == [site.at("one")]
