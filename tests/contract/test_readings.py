"""What was read of pages on its way to the next re-crawl: encoded, kept by each process, lost without harm."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.core.messages import Fetch, Fetched, SitemapKind, SitemapNaming
from crawler.core.page.digest import term
from crawler.core.reasons import NotFollowed, ParseSkipped
from crawler.core.rules import Rules
from crawler.fetch.base import Headers
from crawler.pipeline.readings import KeptReading, ReadingKeeper, kept_reading, read_by
from crawler.storage.pages.base import Page
from crawler.storage.readings import AT_ONCE, FOLDER, ReadingWriter, readings, remove_readings

URL = "http://a.test/"
LINKS = ("http://a.test/1", "http://a.test/2")
OTHERS = ((NotFollowed.SCHEME, 2),)
EVENT = Fetched(
    1,
    200,
    LINKS,
    cut=3,
    content_type="text/html",
    fingerprint=(2**63, 7),
    not_followed=OTHERS,
    digest=term(URL, 200, b"page"),
)
FACTS = KeptReading(LINKS, 3, (2**63, 7), OTHERS, "text/html")
TAGGED = (("ETag", '"1"'),)
RULES = Rules()


def stored(headers: Headers = TAGGED, status: int = 200, truncated: str = "") -> Page:
    return Page(URL, status, headers, 0.0, 0.0, "text/html", "UTF-8", EVENT.digest, b"page", truncated)


def kept(folder: Path, page: Page, event: Fetched = EVENT, naming: SitemapNaming | None = None) -> list[bytes]:
    """What is found of a page that was read once."""
    keeper = ReadingKeeper(folder, RULES)
    keeper.keep(Fetch(1, URL, naming=naming), page, event)
    keeper.close()
    found = list(readings(folder))
    assert all((one.url, one.digest) == (URL, event.digest) for one in found)
    return [one.reading for one in found]


def test_what_was_read_comes_back(tmp_path: Path) -> None:
    (packed,) = kept(tmp_path, stored())
    assert kept_reading(packed, read_by(RULES)) == FACTS


@pytest.mark.parametrize("headers", [(("Last-Modified", "x"),), (("etag", "w"), ("Last-Modified", "x"))])
def test_either_validator_will_do(tmp_path: Path, headers: Headers) -> None:
    assert len(kept(tmp_path, stored(headers))) == 1


@pytest.mark.parametrize(
    ("page", "event", "naming"),
    [
        (stored(headers=()), EVENT, None),
        (stored(status=203), EVENT, None),
        (stored(truncated="length"), EVENT, None),
        (stored(), msgspec.structs.replace(EVENT, unread=ParseSkipped.CPU_LIMIT), None),
        (stored(), msgspec.structs.replace(EVENT, sitemap=SitemapKind.PAGES), None),
        (stored(), EVENT, SitemapNaming(trusted=True)),
    ],
)
def test_what_no_304_may_confirm_is_not_kept(
    tmp_path: Path, page: Page, event: Fetched, naming: SitemapNaming | None
) -> None:
    assert kept(tmp_path, page, event, naming) == [] and not (tmp_path / FOLDER).exists()


@pytest.mark.parametrize(
    ("rules", "same"),
    [
        (Rules(delay=5.0), True),
        (Rules(user_agent="another/1.0"), False),
        (Rules(max_links=7), False),
        (Rules(exclude=("x",)), False),
        (Rules(respell=False), False),
    ],
)
def test_it_is_not_taken_under_other_rules(tmp_path: Path, rules: Rules, same: bool) -> None:
    (packed,) = kept(tmp_path, stored())
    assert (kept_reading(packed, read_by(rules)) is not None) is same


@given(st.binary(max_size=64))
def test_damage_is_not_taken(noise: bytes) -> None:
    assert kept_reading(noise, read_by(RULES)) is None


def test_what_a_version_kept_that_knew_fewer_facts_is_not_taken(tmp_path: Path) -> None:
    class Fewer(msgspec.Struct, array_like=True):
        links: tuple[str, ...]

    write(tmp_path, [(URL, b"digest", Fewer(LINKS))])
    ((_, _, packed),) = readings(tmp_path)
    assert kept_reading(packed, read_by(RULES)) is None


def write(folder: Path, rows: list[tuple[str, bytes, msgspec.Struct]]) -> None:
    writer = ReadingWriter(folder, read_by(RULES))
    for row in rows:
        writer.put(*row)
    writer.close()


def rows_of(count: int) -> list[tuple[str, bytes, msgspec.Struct]]:
    return [(f"{URL}{number}", b"digest", FACTS) for number in range(count)]


def urls(folder: Path) -> list[str]:
    return [one.url for one in readings(folder)]


def test_each_process_keeps_its_own_and_all_of_it_is_found(tmp_path: Path) -> None:
    rows = rows_of(2 * AT_ONCE + 3)
    for some in (rows[:2], rows[2:]):
        write(tmp_path, some)
    assert len(list((tmp_path / FOLDER).iterdir())) == 2
    assert sorted(urls(tmp_path)) == sorted(url for url, _, _ in rows)
    remove_readings(tmp_path)
    assert not (tmp_path / FOLDER).exists() and urls(tmp_path) == []


def test_what_was_read_last_of_a_page_comes_last(tmp_path: Path) -> None:
    for number, name in enumerate("ba"):
        writer = ReadingWriter(tmp_path, read_by(RULES))
        writer._path = tmp_path / FOLDER / name
        writer.put(f"{URL}{name}", b"digest", FACTS)
        writer.close()
        os.utime(writer._path, (number, number))
    assert urls(tmp_path) == [f"{URL}b", f"{URL}a"]


def test_nothing_is_written_where_nothing_was_read(tmp_path: Path) -> None:
    write(tmp_path, [])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_damaged_block_ends_its_file(tmp_path: Path, damage: str) -> None:
    write(tmp_path, rows_of(2 * AT_ONCE))
    (path,) = (tmp_path / FOLDER).iterdir()
    content = path.read_bytes()
    path.write_bytes(content[:-1] if damage == "cut" else content[:-1] + bytes((content[-1] ^ 1,)))
    assert len(urls(tmp_path)) == AT_ONCE


def test_a_file_that_cannot_be_written_or_read_costs_nothing_but_the_readings(tmp_path: Path) -> None:
    (tmp_path / FOLDER).write_text("no folder")
    write(tmp_path, rows_of(2 * AT_ONCE))
    assert urls(tmp_path) == []
    (tmp_path / FOLDER).unlink()
    (tmp_path / FOLDER / "folder").mkdir(parents=True)
    (tmp_path / FOLDER / "1-a").write_bytes(b"nothing of ours, and longer than the head of a block")
    assert urls(tmp_path) == []


def test_a_header_that_is_no_text_costs_nothing_but_the_readings(tmp_path: Path) -> None:
    event = msgspec.structs.replace(EVENT, content_type="text/html; x=\udcff")
    assert kept(tmp_path, stored(), event) == []
