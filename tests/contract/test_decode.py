"""Content codings: decoding restores the body, cuts it at exactly the cap, and has a bounded cost for hostile input."""

from __future__ import annotations

import gzip
import sys
import tracemalloc
import zlib
from collections.abc import Callable, Iterator

import brotli
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.core.reasons import FetchErrorKind
from crawler.fetch.base import ACCEPT_ENCODING, FetchError
from crawler.fetch.decode import MAX_MEMBERS, decode
from tests.effort import effort

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

CAP = 1 << 20
PAGE = b"<html><a href=/x>x</a></html>" * 300


def raw_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


PACK: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("X-GZip", gzip.compress),
    "two members": ("gzip", lambda body: gzip.compress(body[: len(body) // 2]) + gzip.compress(body[len(body) // 2 :])),
    "deflate": ("deflate", zlib.compress),
    "raw deflate": ("deflate", raw_deflate),
    "br": ("br", lambda body: brotli.compress(body, quality=5)),
    "zstd": ("zstd", zstd.compress),
    "two frames": ("zstd", lambda body: zstd.compress(body[: len(body) // 2]) + zstd.compress(body[len(body) // 2 :])),
    "identity": ("identity", bytes),
    "none": ("", bytes),
    "two layers": ("gzip, br", lambda body: brotli.compress(gzip.compress(body))),
    "identity between": ("deflate , IDENTITY,zstd", lambda body: zstd.compress(zlib.compress(body))),
}
codings = pytest.mark.parametrize("name", PACK)
BODIES = st.one_of(
    st.binary(max_size=3000),
    st.builds(lambda part, n: part * n, st.binary(min_size=1, max_size=40), st.integers(1, 4000)),
)


@pytest.fixture(scope="module")
def enough_memory() -> Iterator[None]:
    """Skips the probe for free memory after a failure, which costs more than decoding a small body."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("crawler.fetch.decode.can_allocate", lambda: True)
        yield


def refused(body: bytes, encodings: str) -> str:
    with pytest.raises(FetchError) as caught:
        decode(body, encodings, CAP)
    assert caught.value.kind is FetchErrorKind.ENCODING
    return caught.value.detail


@codings
@settings(max_examples=40, deadline=None)
@given(body=BODIES)
def test_decoding_restores_the_body(name: str, body: bytes) -> None:
    encodings, pack = PACK[name]
    assert decode(pack(body), encodings, CAP) == (body, "")


@codings
@settings(max_examples=40, deadline=None)
@given(body=BODIES, cap=st.integers(1, 5000))
def test_cap_is_exact(name: str, body: bytes, cap: int) -> None:
    encodings, pack = PACK[name]
    if "layers" in name or "between" in name:
        cap = max(cap, len(gzip.compress(body)) + 50)  # the cap also holds for the output of the first of two layers
    got = decode(pack(body), encodings, cap)
    assert got.body == body[:cap]
    assert got.truncated == ("length" if len(body) > cap else "")


@codings
@settings(max_examples=60, deadline=None)
@given(body=BODIES, share=st.floats(0, 1), mark=st.sampled_from(["", "length", "time", "disconnect"]))
def test_any_cut_gives_a_prefix(name: str, body: bytes, share: float, mark: str) -> None:
    encodings, pack = PACK[name]
    packed = pack(body)
    cut = packed[: int(len(packed) * share)]
    got = decode(cut, encodings, CAP, mark)
    assert body.startswith(got.body)
    if mark:
        assert got.truncated == mark
    elif name not in ("identity", "none") and 0 < len(cut) < len(packed) and got.body != body:
        boundary = name in ("two members", "two frames") and got.body == body[: len(body) // 2]
        assert got.truncated == "disconnect" or boundary


@pytest.mark.usefixtures("enough_memory")
@pytest.mark.parametrize("encodings", ["gzip", "deflate", "br", "zstd", "gzip, br", "x-gzip,zstd"])
@settings(max_examples=100, deadline=None)
@given(body=st.binary(max_size=300))
def test_random_bytes_raise_nothing_but_fetch_error(encodings: str, body: bytes) -> None:
    try:
        got = decode(body, encodings, 1000)
    except FetchError as error:
        assert error.kind is FetchErrorKind.ENCODING
    else:
        assert len(got.body) <= 1000


@pytest.mark.usefixtures("enough_memory")
@pytest.mark.parametrize("encodings", ["gzip", "deflate", "br", "zstd"])
def test_a_body_with_a_changed_byte_is_never_taken_as_complete(encodings: str) -> None:
    body = bytes(range(256)) * 40
    packed = bytearray(PACK[encodings][1](body))
    missed = 0
    for at in range(len(packed)):
        packed[at] ^= 0x55
        try:
            missed += decode(bytes(packed), encodings, 2 * len(body)) == (body, "")
        except FetchError as error:
            assert error.kind is FetchErrorKind.ENCODING
        packed[at] ^= 0x55
    assert missed <= 12  # header fields that do not affect the content: time, flags, operating system


@pytest.mark.parametrize("encodings", ["gzip", "deflate", "br", "zstd", "sdch", "gzip, gzip"])
def test_empty_body_is_empty(encodings: str) -> None:
    assert decode(b"", encodings, CAP) == (b"", "")


def test_wrong_checksum_is_refused() -> None:
    packed = bytearray(gzip.compress(PAGE))
    packed[-8] ^= 1
    assert "gzip" in refused(bytes(packed), "gzip")


def test_a_missing_checksum_counts_as_truncation() -> None:
    assert decode(gzip.compress(PAGE)[:-8], "gzip", CAP) == (PAGE, "disconnect")


@pytest.mark.parametrize("encodings", ["gzip", "br", "zstd", "deflate"])
def test_a_body_that_does_not_have_the_coding_of_its_label_is_refused(encodings: str) -> None:
    assert encodings in refused(PAGE, encodings)


def test_unknown_coding_is_refused() -> None:
    assert "sdch" in refused(PAGE, "sdch")
    assert "aws-chunked" in refused(gzip.compress(PAGE), "gzip, aws-chunked")


def test_a_third_layer_is_refused() -> None:
    packed = gzip.compress(gzip.compress(gzip.compress(PAGE)))
    assert "3 layers" in refused(packed, "gzip, gzip, gzip")
    assert decode(gzip.compress(gzip.compress(PAGE)), "gzip,identity,gzip", CAP) == (PAGE, "")


def test_padding_after_the_stream_is_ignored() -> None:
    for encodings in ("gzip", "deflate", "zstd"):
        assert decode(PACK[encodings][1](PAGE) + b"\0" * 500, encodings, CAP) == (PAGE, "")


def test_empty_members_are_limited_and_cost_linear_time() -> None:
    member = gzip.compress(b"")

    def all_of_them() -> None:
        assert str(MAX_MEMBERS) in refused(member * 20_000, "gzip")
        assert "1000" in refused(zstd.compress(b"") * 20_000, "zstd")
        assert decode(member * MAX_MEMBERS, "gzip", CAP) == (b"", "")
        refused(member * MAX_MEMBERS + gzip.compress(b"x") + b"\0" * 20_000_000, "gzip")

    _, units = effort(all_of_them)
    assert units < 2_000


@pytest.mark.parametrize("encodings", ["gzip", "deflate", "br", "zstd", "gzip, gzip"])
def test_a_decompression_bomb_allocates_little_more_than_the_cap(encodings: str) -> None:
    bomb = b"\0" * (40 << 20)
    packed = PACK["gzip"][1](gzip.compress(bomb, 1)) if "," in encodings else PACK[encodings][1](bomb)
    del bomb
    tracemalloc.start()
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    got = decode(packed, encodings, CAP)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (len(got.body), got.truncated) == (CAP, "length")
    assert peak - before < 8 * CAP


def test_every_coding_in_accept_encoding_can_be_decoded() -> None:
    for name in ACCEPT_ENCODING.split(", "):
        assert decode(PACK[name][1](PAGE), name, CAP) == (PAGE, "")
