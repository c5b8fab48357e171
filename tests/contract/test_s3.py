"""What pages in an object store guarantee beside the contract of all stores (test_stores.py)."""

from __future__ import annotations

import secrets
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from crawler.errors import Corrupt, Locked, StorageError, Unreachable
from crawler.settings import Settings
from crawler.storage.opening import open_pages
from crawler.storage.pages.base import Page
from tests.object_server import BUCKET, ObjectServer

pytest.importorskip("obstore")

from crawler.storage.pages import s3
from crawler.storage.pages.s3 import S3Pages


def page(number: int, body: bytes = b"") -> Page:
    return Page(
        url=f"http://a.test/{number}",
        status=200,
        headers=(("Content-Type", "text/html"),),
        fetched_at=1000.0 + number,
        seconds=0.25,
        content_type="text/html",
        charset="utf-8",
        digest=bytes([number % 256]) * 16,
        body=body or b"body %d" % number,
    )


@pytest.fixture
def settings(object_server: ObjectServer) -> Settings:
    return Settings(store=f"s3://{BUCKET}/{secrets.token_hex(4)}", **object_server.keys)


def opened(settings: Settings, seed: int = 1) -> S3Pages:
    store = open_pages(settings, Path(), seed)
    assert isinstance(store, S3Pages)
    return store


def mine(server: ObjectServer, settings: Settings) -> list[str]:
    """The objects of this test, by their path below the prefix of the crawl."""
    prefix = settings.store.rpartition("/")[2]
    found = [path.relative_to(server.folder / BUCKET).parts for path in server.objects()]
    return ["/".join(parts[2:]) for parts in found if parts[0] == prefix]


def test_each_flush_is_an_object_and_the_open_part_is_marked(object_server: ObjectServer, settings: Settings) -> None:
    store = opened(settings)
    writer = store.writer("0001-000")
    assert (store.unclosed(), store.parts()) == (["0001-000"], [])
    for number in (1, 2):
        writer.put(page(number))
    assert writer.buffered > 0
    writer.flush()
    writer.put(page(3))
    writer.close()
    names = [f"parts/0001-000/{first:010d}-{last:010d}.sqlite" for first, last in ((1, 2), (3, 3))]
    assert mine(object_server, settings) == names
    assert (store.unclosed(), store.parts(), store.last("0001-000")) == ([], ["0001-000"], 3)
    assert [opened(settings).read("0001-000", number) for number in (3, 1, 2)] == [page(3), page(1), page(2)]
    with pytest.raises(Locked):
        store.writer("0001-000")


def test_an_object_is_a_database_that_any_tool_reads(object_server: ObjectServer, settings: Settings) -> None:
    with closing(opened(settings).writer("p")) as writer:
        writer.put(page(1))
    (path,) = [path for path in object_server.objects() if settings.store.rpartition("/")[2] in path.parts]
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT url, length FROM page").fetchall() == [(page(1).url, len(page(1).body))]


def test_objects_are_of_bounded_size(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    monkeypatch.setattr(s3, "MOST_BYTES", 50_000)
    store = opened(settings)
    bodies = [secrets.token_bytes(20_000) for _ in range(7)]
    with closing(store.writer("p")) as writer:
        for number, body in enumerate(bodies):
            writer.put(page(number, body))
    assert [one.body for _, one in store.pages("p")] == bodies
    assert [(piece.first, piece.last) for piece in store._list("p")] == [(1, 3), (4, 6), (7, 7)]


def test_crawls_below_one_prefix_do_not_see_each_other(settings: Settings) -> None:
    with closing(opened(settings, 1).writer("p")) as writer:
        writer.put(page(1))
    with closing(opened(settings, 2).writer("p")) as writer:
        writer.put(page(2))
    opened(settings, 1).remove()
    assert (opened(settings, 1).parts(), opened(settings, 2).parts()) == ([], ["p"])


def test_what_no_row_names_is_collected_with_its_objects(object_server: ObjectServer, settings: Settings) -> None:
    store = opened(settings)
    writer = store.writer("p")
    for number in range(1, 7):
        writer.put(page(number))
        if number % 2 == 0:
            writer.flush()
    assert store.sweep({"p": {1: page(1).url, 5: page(5).url, 6: page(6).url}}) == 3
    assert [at for at, _ in opened(settings).pages("p")] == [1, 5, 6]
    assert len(mine(object_server, settings)) == 2, "the object with none is gone, and so is the mark of the open part"
    assert store.sweep({"p": {1: page(1).url, 5: page(5).url, 6: page(6).url}}) == 0
    with pytest.raises(Corrupt, match="lacks pages"):
        store.sweep({"p": {1: page(1).url, 2: page(2).url}})
    assert [at for at, _ in opened(settings).pages("p")] == [1, 5, 6], "nothing was removed"
    assert store.sweep({"p": {}}) == 3
    assert store.parts() == []
    assert mine(object_server, settings) == []


def test_a_damaged_object_is_told_and_the_others_are_read(object_server: ObjectServer, settings: Settings) -> None:
    store = opened(settings)
    writer = store.writer("p")
    for number in (1, 2, 3):
        writer.put(page(number, b"x" * 3000))
        writer.flush()
    writer.close()
    paths = [path for path in object_server.objects() if settings.store.rpartition("/")[2] in path.parts]
    paths[0].write_bytes(b"this is not a database" * 300)
    packed = bytearray(paths[1].read_bytes())
    place = packed.index(b"http://a.test/2")
    packed[place + 7] ^= 1
    paths[1].write_bytes(packed)
    assert [one is not None for _, one in store.records("p")] == [False, False, True]
    for position in (1, 2):
        with pytest.raises(Corrupt):
            opened(settings).read("p", position)
    assert opened(settings).read("p", 3) == page(3, b"x" * 3000)


def test_the_cache_of_read_objects_is_bounded(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    monkeypatch.setattr(s3, "CACHE", 40_000)
    store = opened(settings)
    writer = store.writer("p")
    for number in range(1, 9):
        writer.put(page(number))
        writer.flush()
    writer.close()
    for number in range(1, 9):
        assert store.read("p", number) == page(number)
        assert sum(size for _, size in store._kept.values()) <= 40_000
    store.close()
    assert not store._kept
    assert store.read("p", 4) == page(4)


# ---- what goes wrong -------------------------------------------------------------------------------------------------


def test_an_upload_is_repeated_as_it_was_when_the_server_is_back() -> None:
    server = ObjectServer()
    try:
        settings = Settings(store=f"s3://{BUCKET}", **server.keys)
        store = opened(settings)
        writer = store.writer("p")
        writer.put(page(1))
        server.kill()
        with pytest.raises(Unreachable, match="cannot be reached"):
            writer.flush()
        writer.put(page(2))
        assert writer.buffered == len(page(1).body + page(2).body)
        server.start()
        writer.flush()
        assert writer.buffered == 0
        writer.close()
        assert [(piece.first, piece.last) for piece in store._list("p")] == [(1, 1), (2, 2)]
    finally:
        server.close()


def test_a_refused_key_and_a_missing_bucket_are_one_line_without_the_secret(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WRONG", "not-the-secret")
    for wrong in (replace(settings, store_secret="env:WRONG"), replace(settings, store="s3://no-such-bucket")):
        with pytest.raises(StorageError) as caught:
            opened(wrong).writer("p")
        told = str(caught.value)
        assert not isinstance(caught.value, Unreachable)
        assert "\n" not in told and "not-the-secret" not in told
        assert ("refuses access" in told) or ("no such bucket" in told)
