"""The log of a run: ranges, tails, and following it across a change of files."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from crawler.service.capped_log import CappedLog, earlier
from crawler.service.log_reader import MOST_TAIL, RunLog, follow, requested_range
from crawler.service.problems import RefusedRequest


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run_1.log"


@pytest.fixture
def two_files(path: Path) -> Iterator[Path]:
    """A log that has changed its file once."""
    earlier(path).write_text("one\ntwo\n")
    path.write_text("three\nfour\n")
    yield path


def read(path: Path, start: int, end: int | None = None) -> bytes:
    log = RunLog(path)
    try:
        found = b""
        while chunk := log.read(start + len(found), 5):
            found += chunk
        return found if end is None else found[: end - start]
    finally:
        log.close()


def tail(path: Path, lines: int) -> bytes:
    log = RunLog(path)
    try:
        return read(path, log.tail(lines))
    finally:
        log.close()


def test_two_files_are_read_as_one(two_files: Path) -> None:
    assert read(two_files, 0) == b"one\ntwo\nthree\nfour\n"
    assert read(two_files, 6) == b"o\nthree\nfour\n"
    assert read(two_files, 100) == b""


@pytest.mark.parametrize(
    ("lines", "expected"),
    [(0, b""), (1, b"four\n"), (2, b"three\nfour\n"), (3, b"two\nthree\nfour\n"), (9, b"one\ntwo\nthree\nfour\n")],
)
def test_the_last_lines(two_files: Path, lines: int, expected: bytes) -> None:
    assert tail(two_files, lines) == expected


def test_the_last_line_may_lack_its_end(path: Path) -> None:
    path.write_text("one\ntwo")
    assert tail(path, 1) == b"two"
    path.write_text("\n\n")
    assert tail(path, 1) == b"\n"


def test_the_last_lines_have_a_bound(path: Path) -> None:
    path.write_text("x" * (MOST_TAIL + 10))
    log = RunLog(path)
    assert log.size - log.tail(1) == MOST_TAIL
    log.close()


def test_a_log_that_is_not_there_is_empty(path: Path) -> None:
    assert read(path, 0) == tail(path, 5) == b""
    log = RunLog(path)
    assert (log.size, log.place(0), log.added(None)) == (0, None, (b"", None))
    log.close()


def test_a_change_of_files_between_opening_them_repeats_nothing(path: Path) -> None:
    """The newest file is opened first, so it may be there under both names."""
    path.write_text("one\n")
    earlier(path).hardlink_to(path)
    assert read(path, 0) == b"one\n"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        *(("bytes=0-9", (0, 10)), ("bytes=5-", (5, 100)), ("bytes=-10", (90, 100)), ("bytes=-500", (0, 100))),
        *(("bytes=99-200", (99, 100)), ("bytes=0-0", (0, 1))),
        *((None, None), ("", None), ("bytes=-", None), ("bytes=9-5", None), ("bytes=0-1,5-6", None)),
        *(("lines=0-9", None), ("bytes=x-", None), ("bytes=\u0661-", None)),
    ],
)
def test_a_range_is_what_its_header_says(header: str | None, expected: tuple[int, int] | None) -> None:
    assert requested_range(header, 100) == expected


@pytest.mark.parametrize(("header", "size"), [("bytes=100-", 100), ("bytes=100-200", 100), ("bytes=-0", 100)])
def test_a_range_beyond_the_end_cannot_be_met(header: str, size: int) -> None:
    with pytest.raises(RefusedRequest) as caught:
        requested_range(header, size)
    assert caught.value.problem.status == 416
    assert caught.value.headers["Content-Range"] == f"bytes */{size}"


async def test_following_goes_on_across_changes_of_files_and_ends_with_the_run(path: Path) -> None:
    log, over, found = CappedLog(path, 40), False, b""

    async def is_over() -> bool:
        return over

    written = [f"line {number:02d}\n".encode() for number in range(10)]
    left = iter(written)
    log.write(next(left))
    async for chunk in follow(path, None, is_over):
        found += chunk
        if (line := next(left, None)) is not None:
            log.write(line)
        else:
            over = True
    log.close()
    assert found == b"".join(written)


async def test_following_begins_with_the_last_lines(two_files: Path) -> None:
    async def is_over() -> bool:
        return True

    assert b"".join([chunk async for chunk in follow(two_files, 3, is_over)]) == b"two\nthree\nfour\n"


async def test_following_waits_for_a_log_that_is_not_there_yet(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crawler.service.log_reader.POLL", 0.0)
    looks = 0

    async def is_over() -> bool:
        nonlocal looks
        looks += 1
        if looks == 3:
            await asyncio.to_thread(path.write_text, "late\n")
        return looks > 3

    assert b"".join([chunk async for chunk in follow(path, None, is_over)]) == b"late\n"
