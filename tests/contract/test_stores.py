"""The contract of all stores, checked on each of them; then what stores on a disk guarantee in addition."""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from crawler.errors import Corrupt, Locked, StorageError
from crawler.settings import Settings, places
from crawler.storage.database import connect
from crawler.storage.opening import open_pages
from crawler.storage.pages import STORES, open_store
from crawler.storage.pages.base import Page, Store
from crawler.storage.pages.memory import MemoryStore
from tests.corpus import cases
from tests.hostile_text import all_of_them
from tests.object_server import BUCKET, ObjectServer

Open = Callable[[], Store]
ON_DISK = [*STORES]


@pytest.fixture(params=["memory", *ON_DISK, "s3"])
def open_any(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    if request.param == "memory":
        one = MemoryStore()
        return lambda: one
    if request.param == "s3":
        return bucket_opener(request.getfixturevalue("object_server"))
    return lambda: open_store(request.param, tmp_path)


def bucket_opener(server: ObjectServer) -> Open:
    """Opens the same store in a bucket each time: one of a crawl that no other test has."""
    settings, seed = Settings(store=f"s3://{BUCKET}/of/tests", **server.keys), secrets.randbits(63)
    return lambda: open_pages(settings, Path(), seed)


@pytest.fixture(params=ON_DISK)
def open_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    return lambda: open_store(request.param, tmp_path)


def page(number: int = 1, body: bytes | None = None) -> Page:
    return Page(
        url=f"http://a.test/{number}",
        status=200,
        headers=(("Content-Type", "text/html"), ("X-Odd", "caf\xe9"), ("Set-Cookie", "a"), ("Set-Cookie", "b")),
        fetched_at=1234.5,
        seconds=0.25,
        content_type="text/html",
        charset="utf-8",
        digest=bytes([number % 256]) * 16,
        body=b"body %d" % number if body is None else body,
        truncated="length",
        noindex=True,
        first_byte=0.125,
    )


def test_every_store_can_be_chosen_in_the_configuration() -> None:
    assert tuple(STORES) == places.STORES


@pytest.mark.parametrize("body", [b"", b"\0\xff" * 100, b"a" * 1_000_000], ids=["empty", "binary", "big"])
def test_a_page_is_read_back_unchanged(open_any: Open, body: bytes) -> None:
    store = open_any()
    writer = store.writer("p")
    position = writer.put(page(1, body))
    writer.flush()
    assert store.read("p", position) == page(1, body)
    writer.close()
    assert open_any().read("p", position) == page(1, body)


async def test_aput_stores_the_same(open_any: Open) -> None:
    store = open_any()
    writer = store.writer("p")
    position = await writer.aput(page(1))
    writer.close()
    assert store.read("p", position) == page(1)


def test_positions_increase_and_pages_are_read_in_their_order(open_any: Open) -> None:
    store = open_any()
    writer = store.writer("p")
    positions = [writer.put(page(n)) for n in range(1, 6)]
    writer.close()
    assert positions == sorted(set(positions)) and positions[0] > 0
    assert [(at, one.url) for at, one in store.pages("p")] == [(at, page(n).url) for n, at in enumerate(positions, 1)]
    assert store.last("p") == positions[-1]


def test_an_unknown_record_is_a_key_error(open_any: Open) -> None:
    store = open_any()
    with pytest.raises(KeyError):
        store.read("none", 1)
    writer = store.writer("p")
    writer.put(page())
    writer.close()
    with pytest.raises(KeyError):
        store.read("p", 2)


def test_sweep_removes_records_that_no_row_names(open_any: Open) -> None:
    store = open_any()
    writer = store.writer("p")
    one, two = writer.put(page(1)), writer.put(page(2, b"only here"))
    writer.close()
    assert store.sweep({"p": {one: page(1).url}}) == 1
    assert [at for at, _ in store.pages("p")] == [one]
    with pytest.raises(KeyError):
        store.read("p", two)


def test_equal_bodies_of_two_urls_are_two_pages(open_any: Open) -> None:
    store = open_any()
    writer = store.writer("p")
    one, two = writer.put(page(1, b"same")), writer.put(page(2, b"same"))
    writer.close()
    store.sweep({"p": {two: page(2).url}})
    assert store.read("p", two).body == b"same"
    assert one != two


# ---- on a disk -------------------------------------------------------------------------------------------------------


def test_flushed_pages_can_be_read_while_the_writer_is_open(open_disk: Open) -> None:
    writer = open_disk().writer("p")
    writer.put(page(1))
    assert writer.buffered == len(page(1).body)
    writer.flush()
    assert writer.buffered == 0
    assert open_disk().read("p", 1).url == page(1).url
    writer.close()


def test_a_part_has_one_writer_and_records_whether_it_was_closed(open_disk: Open) -> None:
    store = open_disk()
    writer = store.writer("p")
    writer.put(page())
    with pytest.raises(Locked):
        open_disk().writer("p")
    writer.flush()
    assert store.unclosed() == ["p"]
    writer.close()
    assert store.unclosed() == []
    assert store.parts() == ["p"]


def test_an_empty_part_is_removed(open_disk: Open, tmp_path: Path) -> None:
    store = open_disk()
    store.writer("p").close()
    assert store.parts() == []
    assert list((tmp_path / "parts").iterdir()) == []


def test_sweep_skips_parts_with_an_open_writer(open_disk: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crawler.storage.pages.sqlite.ORPHAN_PATIENCE", 0.05)
    store = open_disk()
    writer = store.writer("p")
    writer.put(page())
    writer.flush()
    with pytest.raises(Locked):
        store.sweep({"p": {}})
    writer.close()


def test_a_part_without_a_named_record_is_removed_with_its_lock(open_disk: Open, tmp_path: Path) -> None:
    store = open_disk()
    writer = store.writer("p")
    writer.put(page())
    writer.close()
    store.sweep({"p": {}})
    assert store.parts() == []
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_put_and_flush_may_run_concurrently(open_disk: Open) -> None:
    store = open_disk()
    writer = store.writer("p")
    ended = threading.Event()

    def flush_all_the_time() -> None:
        while not ended.is_set():
            writer.flush()

    flusher = threading.Thread(target=flush_all_the_time)
    flusher.start()
    positions = [writer.put(page(n)) for n in range(500)]
    ended.set()
    flusher.join()
    writer.close()
    assert [(at, one.url) for at, one in store.pages("p")] == [(at, page(n).url) for n, at in enumerate(positions)]
    assert writer.buffered == 0


def test_a_part_that_cannot_be_opened_is_not_left_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store("sqlite", tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("crawler.storage.pages.sqlite_writer.SCHEMA", "CREATE TABLE page")
        with pytest.raises(StorageError):
            store.writer("p")
    store.writer("p").close()


def test_the_lock_of_a_part_that_was_not_created_is_removed_by_sweep(tmp_path: Path) -> None:
    store = open_store("sqlite", tmp_path)
    (tmp_path / "parts" / "p.lock").touch()
    assert store.unclosed() == ["p"]
    store.sweep({"p": {}})
    assert (store.unclosed(), store.parts()) == ([], [])


def test_a_damaged_body_is_reported_not_returned(tmp_path: Path) -> None:
    store = open_store("sqlite", tmp_path)
    writer = store.writer("p")
    writer.put(page(1, b"a" * 10_000))
    writer.close()
    connection = connect(tmp_path / "parts" / "p.sqlite", "")
    connection.execute("UPDATE page SET body = x'00112233'")
    connection.close()
    with pytest.raises(Corrupt, match=r"http://a\.test/1"):
        store.read("p", 1)


def test_a_missing_body_file_is_reported(tmp_path: Path) -> None:
    store = open_store("files", tmp_path)
    writer = store.writer("p")
    writer.put(page())
    writer.close()
    (body,) = (path for path in (tmp_path / "bodies").rglob("*") if path.is_file())
    assert body.read_bytes() == page().body, "a body is a plain file that any tool can read"
    body.unlink()
    with pytest.raises(Corrupt):
        store.read("p", 1)


def test_file_names_do_not_depend_on_urls(tmp_path: Path) -> None:
    store = open_store("files", tmp_path)
    writer = store.writer("p")
    for url in (
        "http://a.test/../../etc/passwd",
        "http://a.test/%00",
        "http://a.test/" + "x" * 300,
        "http://a.test/CON",
    ):
        writer.put(replace(page(), url=url, body=url.encode()))
    writer.close()
    names = [path.name for path in (tmp_path / "bodies").rglob("*") if path.is_file()]
    assert len(names) == 4
    assert all(len(name) == 64 and set(name) <= set("0123456789abcdef") for name in names)
    assert len(list(store.pages("p"))) == 4


# ---- untrusted text --------------------------------------------------------------------------------------------------

ODD = ("\0nul\0", "\ud800 lone \udfff", "caf\xe9 \U0001f600 \x9b", *all_of_them())


def test_any_text_is_read_back_unchanged_and_its_batch_is_kept(open_any: Open) -> None:
    store = open_any()
    writer = store.writer("p")
    odd = [replace(page(n), url=f"http://a.test/{text}", content_type=text) for n, text in enumerate(ODD)]
    odd = [replace(one, headers=(("X-Odd", one.content_type), ("X-Other", "plain"))) for one in odd]
    for one in odd:
        writer.put(one)
    writer.close()
    assert [one for _, one in open_any().pages("p")] == odd


CLIMBING = ["http://h/../../etc/passwd", "http://h/%2e%2e/%2e%2e/x", "http://h/a%00b", "http://h/CON", "http://h/con"]


def test_no_url_determines_a_file_name(tmp_path: Path) -> None:
    urls = [*CLIMBING, *(case["url"] for case in cases("paths/url_to_path"))]
    folder = tmp_path / "outer" / "crawl"
    folder.mkdir(parents=True)
    store = open_store("files", folder)
    writer = store.writer("p")
    for number, url in enumerate(urls):
        writer.put(replace(page(number, b"body of %d" % number), url=url))
    writer.close()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert all(path.is_relative_to(folder) and not path.is_symlink() for path in files)
    bodies = [path.name for path in files if path.parent.parent.name == "bodies"]
    assert len(bodies) == len(urls)  # no body overwrites another
    assert all(re.fullmatch("[0-9a-f]{64}", name) for name in bodies)
    assert sorted(one.url for _, one in store.pages("p")) == sorted(urls)
