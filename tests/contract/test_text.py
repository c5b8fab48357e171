"""How untrusted text is displayed: no control sequence takes effect, and every character is visible."""

from __future__ import annotations

import csv
import io
import sys
from unicodedata import category, normalize

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from crawler.core.reasons import Reason
from crawler.storage.export import COLUMNS, as_csv, columns_of
from crawler.storage.frontier.rows import SettledRow
from crawler.system.text import csv_safe, escape_unprintable
from tests.hostile_text import all_of_them, corpus

ACTS = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def starts_a_formula(text: str) -> bool:
    """Whether a spreadsheet may take a cell for a formula, with spaces and quotes dropped and fullwidth characters
    narrowed."""
    bare = normalize("NFKC", text.strip().lstrip("\"'\n\r\t "))
    return bare.startswith(("=", "+", "-", "@"))


@given(st.text(st.characters(codec=None, exclude_categories=())))
@example("\x1b[2J\x9b\u202e\u2028\ud800\U000e0001")
def test_displayed_text_has_no_control_effect_and_fits_on_a_line(text: str) -> None:
    shown = escape_unprintable(text)
    assert not {category(letter) for letter in shown} & ACTS
    assert len(shown.splitlines()) <= 1
    shown.encode()


def test_printable_characters_are_displayed_unchanged() -> None:
    assert escape_unprintable("Größe 日本語 😀 <&>") == "Größe 日本語 😀 <&>"


def test_an_escape_names_the_code_point() -> None:
    assert escape_unprintable("\n\x9b\u200b\U000e0001") == "\\x0a\\x9b\\u200b\\U000e0001"


def test_no_code_point_has_a_control_effect() -> None:
    assert all(escape_unprintable(chr(code)).isprintable() for code in range(sys.maxunicode + 1))


@pytest.mark.parametrize("text", all_of_them(), ids=ascii)
def test_no_cell_is_a_formula(text: str) -> None:
    row = SettledRow(
        id=1,
        url="http://a.test/",
        depth=0,
        reason=Reason.OK,
        status=200,
        attempts=1,
        part="p",
        position=1,
        size=-1,
        digest=b"\0" * 16,
        truncated="",
        content_type=text,
        settled_at=0.0,
        seconds=0.5,
        detail=text,
    )
    head, read = csv.reader(io.StringIO("".join(as_csv([columns_of(row)], list(COLUMNS))), newline=""))
    for name, value in zip(head, read, strict=True):
        assert name == "length" or value.startswith("'") or not starts_a_formula(value)
    assert dict(zip(head, read, strict=True))["length"] == "-1"  # numbers are not escaped


@given(st.text(), st.sampled_from("=+-@\uff1d\uff0b\uff0d\uff20"))
def test_a_cell_keeps_its_text_after_the_mark(text: str, sign: str) -> None:
    assert csv_safe(f"{sign}{text}") == f"'{sign}{escape_unprintable(text)}"


def test_the_whole_corpus_is_checked() -> None:
    assert len(corpus()) >= 38
