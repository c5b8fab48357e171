"""Which pages are parsed in a separate process."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from turbohtml import parse

from crawler.core.page.parse_cost import HEAVY, is_expensive
from tests.hostile_pages import bomb

PROSE = (
    b"<p class=x>Some <b>bold</b>, some <a href=/x>linked</a> and some <code class=y>typed</code> text, "
    + b"and more " * 20
)


def filled(text: bytes, size: int) -> bytes:
    return (text * (size // len(text) + 1))[:size]


def test_size_alone_makes_a_page_heavy_or_light() -> None:
    assert is_expensive(b" " * (HEAVY + 1)) and not is_expensive(b" " * HEAVY)
    assert not is_expensive(bomb(8_000)) and is_expensive(bomb(40_000))


@pytest.mark.parametrize("size", [1_000, 30_000, 100_000])
def test_a_page_with_much_markup_is_not_heavy(size: int) -> None:
    assert not is_expensive(filled(PROSE, size))


def test_many_tags_with_little_formatting_are_not_heavy() -> None:
    assert not is_expensive(filled(b"<p><i class=y>note</i>" + b"<br>" * 1_000, 100_000))


@pytest.mark.parametrize("tag", ["b", "FONT", "code", "Strong", "em", "tt", "small", "strike", "big", "i", "u", "s"])
def test_formatting_that_is_reopened_in_every_block_is_heavy_in_any_spelling(tag: str) -> None:
    page = bomb(100_000, tag)
    assert is_expensive(page) and is_expensive(bomb(100_000, tag.upper())) and is_expensive(bomb(100_000, tag.lower()))
    assert is_expensive(page.replace(b" ", b"\n")) and is_expensive(page.replace(b" ", b"/"))
    assert is_expensive(page.decode().encode("utf-16-le"))


@pytest.mark.parametrize(
    "differing",
    [
        '<b x="a>{0}">',  # the value continues after the first ">"
        '<b x=\'"\' y=">{0}">',
        '<b x=a"b y=">{0}">',
        '<b x="y" x{0}>',
        '<b x="y" z=">"w={0}>',
    ],
)
def test_formatting_that_only_looks_alike_is_heavy(differing: str) -> None:
    assert is_expensive(b"<p>" + b"".join(differing.format(n).encode() for n in range(3_000)) + b"<p>x" * 3_000)


def test_an_unclosed_tag_hides_no_others() -> None:
    formats = b"".join(b"<b y%d>" % n for n in range(3_000))
    assert is_expensive(b'<p><!--<b x="-->' + formats + b'">' + b"<p>x" * 3_000)


@pytest.mark.parametrize(
    "value", [lambda n: b'\x1b$B">\x1b(B%d' % n, lambda n: b"\0" * (n % 100)], ids=["ISO-2022-JP", "NULs alone"]
)
def test_formatting_that_differs_is_recognised_in_any_charset(value: Callable[[int], bytes]) -> None:
    formats = b"".join(b'<b x="' + value(n) + b'">' for n in range(3_000))
    assert is_expensive(formats + b"<p>x" * 3_000)


@pytest.mark.parametrize("tag", [b'<b class="x">', b'<code class="docutils literal" lang="en">'])
def test_repeated_formatting_is_light_because_parsers_keep_three(tag: bytes) -> None:
    assert not is_expensive(b"<p>" + tag * 3_000 + b"<p>x" * 20_000)
    assert len(parse(b"<p>" + tag * 100 + b"<p>x" * 200).select("b, code")) == 100 + 3 * 200


def test_few_tags_cannot_reopen_much() -> None:
    assert not is_expensive(filled(b"<b x>" + b"-" * 95, 200_000))


def test_much_formatting_among_many_tags_may_be_heavy() -> None:
    assert is_expensive(filled(b"<p><b x=y>bold</b> and not", 120_000))
