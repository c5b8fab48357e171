"""Refresh, link relations and Link headers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.core.page.linking import link_headers, refresh_target, relations
from tests.effort import effort


@pytest.mark.parametrize(
    ("value", "target"),
    [
        ("0;url=x", "x"),
        ("5; URL = 'x y' z", "x y"),
        ('5;url="x', "x"),
        ("0, x", "x"),
        ("0 x", "x"),
        (" \n1.5.2 ; ; x", "; x"),
        (".;x", "x"),
        ("0;'x'y", "x"),
        ("0;urlx", "urlx"),
        ("0;url", "url"),
        ("0; url=?é", "?é"),
        ("0;url=javascript:x()", "javascript:x()"),
        ("0", ""),
        ("0;", ""),
        ("5;url=", ""),
        ("0x", ""),
        ("x;url=y", ""),
        (";url=y", ""),
        ("-1;url=y", ""),
        ("", ""),
    ],
)
def test_refresh(value: str, target: str) -> None:
    assert refresh_target(value) == target


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (["</2>; rel=next"], [("next", "/2")]),
        (['<2>; title="a, <b>; rel=x"; rel="next prev", <0>;rel=prev'], [("next prev", "2"), ("prev", "0")]),
        (["<a>", "<b>;rel"], [("", "a"), ("", "b")]),
        (["<a>; rel=next; rel=prev"], [("next", "a")]),
        (['<a>; REL = "next'], [("next", "a")]),
        ([r'<a>; rel="n\"ext"'], [(r"n\"ext", "a")]),
        ([", ,<a>;;rel=next"], [("next", "a")]),
        (["nonsense", "<a", ""], []),
    ],
)
def test_link_headers(values: list[str], found: list[tuple[str, str]]) -> None:
    assert list(link_headers(values)) == found


def test_relations() -> None:
    assert relations("Next foo PREVIOUS") == ["next", "previous"]
    assert relations("alternate StyleSheet") == relations("icon") == []


@pytest.mark.parametrize("part", ["<a>;", "<a>; rel=", '"', "<", ";", " ", ',<a>;rel="', "a", "<a>,", "\\"])
def test_parsing_takes_linear_time(part: str) -> None:
    text = part * (64_000 // len(part))
    _, units = effort(lambda: (list(link_headers([text, f"<a>;{text}", f'<a>;rel="{text}'])), refresh_target(text)))
    assert units < 100


@given(st.text(max_size=40) | st.text(alphabet="<>;,=\"\\ rel0url'", max_size=40))
def test_no_text_raises(text: str) -> None:
    assert refresh_target(text) is not None
    assert list(link_headers([text])) is not None
