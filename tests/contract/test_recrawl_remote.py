"""Re-crawls whose URLs are in PostgreSQL, or whose pages are in an object store, are as those in files."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import pytest

import crawler
from crawler.errors import UsageError
from crawler.storage.diff import ChangedPage, GonePage, Unchanged, diff
from crawler.storage.directory import CrawlDirectory
from crawler.storage.generations import chosen, folder_of, generations
from crawler.storage.known_pages import remove
from tests.contract.changing_site import LIES, changing_site, page
from tests.contract.recrawls import NAMES, again, check, first, fresh_digest, pages
from tests.database_server import DatabaseServer
from tests.object_server import BUCKET, ObjectServer

pytest.importorskip("psycopg")
pytest.importorskip("obstore")


@pytest.fixture(params=["postgres", "s3", "both"])
def places(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The settings that keep URLs or pages elsewhere."""
    keys: dict[str, Any] = {}
    if request.param != "s3":
        database: DatabaseServer = request.getfixturevalue("database_server")
        keys |= {"frontier": database.url, "frontier_password": database.password}
    if request.param != "postgres":
        objects: ObjectServer = request.getfixturevalue("object_server")
        keys |= {"store": f"s3://{BUCKET}/{secrets.token_hex(4)}", **objects.keys}
    return keys


def crawls_stored(server: ObjectServer, places: dict[str, Any]) -> int:
    """The generations that have pages below the prefix of a crawl."""
    below = server.folder / places["store"].removeprefix("s3://")
    return len({path.relative_to(below).parts[0] for path in server.objects() if path.is_relative_to(below)})


def rows_stored(out: Path, number: int) -> list[int]:
    """The shards of a generation that have rows in PostgreSQL."""
    rows = CrawlDirectory.open_readonly(folder_of(out, number)).postgres
    assert rows is not None
    return rows.shards()


def test_generations_elsewhere_are_those_in_files(places: dict[str, Any], tmp_path: Path) -> None:
    with changing_site(pages()) as site:
        out = first(site, tmp_path, **places)
        site.pages |= {
            "/": page("home", *NAMES, "five"),
            "/one": page("edited", "/"),
            "/two": 404,
            "/five": page("five"),
        }
        summary = again(out)
        assert (summary.not_modified, summary.complete) == (2, True)
        assert summary.digest == fresh_digest(site, tmp_path)
        found = diff(out)
        assert (found.new, found.gone) == ([site.at("five")], [GonePage(site.at("two"), "404")])
        assert found.changed == [
            ChangedPage(site.url, ("main_text", "outlinks")),
            ChangedPage(site.at("one"), ("main_text", "title")),
        ]
        assert again(out).not_modified == 5 and diff(out).unchanged == Unchanged(5)
        remove(out)  # it is made again from what is elsewhere
        assert again(out).not_modified == 5
        for number in range(4):
            check(out, number)
        with crawler.open(out) as crawl:
            assert {one.url: one.body for one in crawl.pages()} == {
                site.at(path): body for path, body in site.pages.items() if isinstance(body, bytes)
            }


def test_a_body_is_stored_once_for_all_generations(object_server: ObjectServer, tmp_path: Path) -> None:
    places = {"store": f"s3://{BUCKET}/{secrets.token_hex(4)}", **object_server.keys}
    with changing_site(pages()) as site:
        out = first(site, tmp_path, **places)
        site.validators = LIES  # other validators for the same bodies: new records without a body
        again(out)
        assert diff(out).unchanged == Unchanged(same_digest=5)
        assert again(out).not_modified == 5
        with crawler.open(out) as crawl:
            assert sorted(one.title for one in crawl.pages()) == sorted(["home", *NAMES])


def test_old_generations_elsewhere_are_dropped(places: dict[str, Any], tmp_path: Path) -> None:
    with changing_site(pages()) as site:
        out = first(site, tmp_path, **places)
        for number in range(1, 4):
            site.pages["/one"] = page(f"edit {number}", "/")
            again(out, keep_generations=2)
        assert generations(out) == [2, 3]
        for number in generations(out):
            check(out, number)
        assert [one.url for one in diff(out).changed] == [site.at("one")]
        with pytest.raises(UsageError, match="has no generation 0"):
            chosen(out, 0)
        if "frontier" in places:
            assert [bool(rows_stored(out, number)) for number in range(4)] == [False, False, True, True]
        with crawler.open(out) as crawl:
            assert sorted(one.title for one in crawl.pages()) == sorted(["home", "edit 3", *NAMES[1:]])


def test_a_crawl_begun_anew_removes_all_its_generations(object_server: ObjectServer, tmp_path: Path) -> None:
    places = {"store": f"s3://{BUCKET}/{secrets.token_hex(4)}", **object_server.keys}
    with changing_site(pages()) as site:
        out = first(site, tmp_path, **places)
        site.pages["/one"] = page("edited", "/")
        again(out)
        assert crawls_stored(object_server, places) == 2
        site.asked = []
        first(site, tmp_path, fresh=True, **places)
        assert crawls_stored(object_server, places) == 1
