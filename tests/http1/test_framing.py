"""Heads and chunks: any input is accepted or refused, and how it is split into pieces makes no difference."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.core.reasons import FetchErrorKind
from crawler.fetch.base import FetchError
from crawler.fetch.http1.chunks import MOST_BETWEEN, Chunks
from crawler.fetch.http1.framing import Head, read_head
from tests.contract.hostile import GOOD, REFUSED, REPLIES, hi
from tests.effort import effort

LIMIT = 65_536
RAW = [reply for reply, _ in REPLIES.values() if len(reply) < 2_000]
CHUNKED = [reply.partition(b"\r\n\r\n")[2] for reply in RAW if b"\r\nTransfer-Encoding: chunked\r\n\r\n" in reply]
ODD = st.sampled_from([b"\r", b"\n", b"\r\n", b"\0", b" ", b":", b",", b";", b"0", b"-", b"HTTP/1.1 ", b"\xff"])
PLACES = st.lists(st.integers(0, 999), max_size=9)


@st.composite
def mutated(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """One of the seeds with some bytes removed or inserted."""
    raw = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(raw)))
        end = draw(st.integers(start, min(len(raw), start + 5)))
        raw = raw[:start] + draw(ODD | st.binary(max_size=3)) + raw[end:]
    return raw


def judged(raw: bytes) -> tuple[Head, int] | FetchErrorKind | None:
    try:
        return read_head(raw, LIMIT)
    except FetchError as error:
        return error.kind


def taken(pieces: list[bytes]) -> tuple[bytes, bool, bool, bool]:
    chunks = Chunks()
    body = b"".join(block for piece in pieces for block in chunks.feed(piece))
    return body, chunks.done, chunks.excess_data, chunks.error is not None


def cut(raw: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(raw), *(place % (len(raw) + 1) for place in places)})
    return [raw[start:end] for start, end in pairwise(edges)]


@given(raw=mutated(RAW) | st.binary(max_size=200), at=st.integers(0, 2_000))
def test_a_head_has_the_same_verdict_in_any_pieces(raw: bytes, at: int) -> None:
    verdict, early = judged(raw), judged(raw[:at])
    assert verdict is None or isinstance(verdict, tuple) or verdict is FetchErrorKind.PROTOCOL
    assert early is None or early == verdict


@given(raw=mutated(list(GOOD.values())))
def test_a_head_and_its_minimal_form_have_the_same_framing(raw: bytes) -> None:
    verdict = judged(raw)
    if not isinstance(verdict, tuple):
        return
    head, start = verdict
    again = read_head(head.minimal_head(), LIMIT)
    assert again is not None
    assert again[0][2:5] == (head.length, head.chunked, head.keep_alive)
    assert again[1] == len(head.minimal_head())
    assert start <= len(raw)


def test_a_limit_is_exact() -> None:
    raw = hi("A: b")
    size = raw.index(b"\r\n\r\n") + 4
    assert read_head(raw, size) is not None
    with pytest.raises(FetchError, match="head too large"):
        read_head(raw, size - 1)


def test_a_refusal_names_the_line_without_its_control_characters() -> None:
    with pytest.raises(FetchError) as refused:
        read_head(REFUSED["escape in a value"], LIMIT)
    assert refused.value.detail == r"no header field: 'A: \x1b[31m\r\n'"


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=8), PLACES)
def test_chunks_are_decoded_to_the_body(blocks: list[bytes], places: list[int]) -> None:
    raw = b"".join(b"%x;a=b\r\n%b\r\n" % (len(block), block) for block in blocks) + b"0\r\nA: b\r\n\r\n"
    assert taken(cut(raw, places)) == (b"".join(blocks), True, False, False)
    assert taken(cut(raw[:-1], places))[1:] == (False, False, False)
    assert taken(cut(raw + b"x", places))[1:] == (True, True, False)


@settings(max_examples=300)
@given(raw=mutated(CHUNKED) | st.binary(max_size=200), places=PLACES)
def test_pieces_do_not_change_the_result_for_chunks(raw: bytes, places: list[int]) -> None:
    assert taken(cut(raw, places)) == taken([raw])


@pytest.mark.parametrize("size", [1, 6, 1_000])
def test_a_body_with_too_many_chunks_is_cut_at_the_limit(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crawler.fetch.http1.chunks.MOST_CHUNKS", 5)
    raw = b"1\r\nx\r\n" * 4 + b"0\r\n\r\n"
    pieces = [raw[start : start + size] for start in range(0, len(raw), size)]
    assert taken(pieces) == (b"xxxx", True, False, False)
    assert taken([b"1\r\nx\r\n", *pieces]) == (b"xxxxx", False, False, True)


@pytest.mark.parametrize("unit", [b"1\r\nx\r\n", b"0", b"0\r\n" + b"A: b\r\n" * 900, b"1;" + b"a" * 4_000])
def test_effort_grows_linearly_with_the_bytes(unit: bytes) -> None:
    once, eightfold = (
        min(effort(partial(taken, [unit * (size // len(unit))]))[1] for _ in range(3)) for size in (200_000, 1_600_000)
    )
    assert eightfold < 20 * once + 1


def test_a_line_that_arrives_byte_by_byte_has_a_bounded_cost() -> None:
    _, units = effort(partial(taken, [b"2;", *[b"a"] * 10 * MOST_BETWEEN]))
    assert units < 2_000
