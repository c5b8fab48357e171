"""The generations of a crawl directory: their settings, how they are read, kept and dropped."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import crawler
from crawler.errors import UsageError
from crawler.storage.diff import diff
from crawler.storage.directory import CrawlDirectory
from crawler.storage.generations import DROPPED, KNOWN, chosen, generations
from crawler.storage.known_pages import KnownReader, catch_up
from crawler.storage.retention import keep_last
from tests.contract.changing_site import ChangingSite, page
from tests.contract.recrawls import FAST, NAMES, again, bodies_stored, check, first


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


def test_a_generation_that_another_process_made_before_the_lock_was_free_is_not_made_again(
    crawled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = CrawlDirectory.open

    def another_first(path: Path) -> CrawlDirectory:
        monkeypatch.setattr(CrawlDirectory, "open", opened)
        again(crawled)
        return opened(path)

    monkeypatch.setattr(CrawlDirectory, "open", another_first)
    assert crawler.recrawl(crawled).generation == 2
    for number in (0, 1, 2):
        check(crawled, number)


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
