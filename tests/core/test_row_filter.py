"""Conditions on the rows of an export."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.errors import UsageError
from crawler.storage.row_filter import SIGNS, condition

FIELDS = ("url", "status", "reason", "truncated", "seconds")
NUMBERS = ("status", "seconds")
ROW = {"url": "http://a.test/?a=b", "status": 404, "reason": "client_error", "truncated": None, "seconds": None}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("reason=client_error", True),
        ("reason!=client_error", False),
        (" reason = ok ", False),
        ("status>=400", True),
        ("status<404", False),
        ("status=404.0", True),
        ("status!=90", True),
        ("status>90", True),
        ("url=http://a.test/?a=b", True),
        ("reason<d", True),
        ("truncated=", True),
        ("truncated!=", False),
        ("truncated!=length", True),
        ("truncated=length", False),
        ("status=", False),
        ("status!=", True),
        ("seconds>0", False),
        ("seconds<9", False),
        ("seconds>=", False),
    ],
)
def test_conditions(text: str, holds: bool) -> None:
    assert condition(text, FIELDS, NUMBERS).holds(ROW) is holds


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("reason", "write FIELD=VALUE"),
        ("=ok", "write FIELD=VALUE"),
        ("reson=ok", "did you mean reason?"),
        ("zzz=1", "fields: url, status"),
        ("status=ok", "status is a number"),
    ],
)
def test_what_cannot_be_understood_is_refused(text: str, words: str) -> None:
    with pytest.raises(UsageError) as raised:
        condition(text, FIELDS, NUMBERS)
    assert words in str(raised.value)


@given(st.integers(), st.sampled_from(sorted(SIGNS)), st.integers(-(10**9), 10**9))
def test_numbers_are_compared_as_numbers(cell: int, sign: str, value: int) -> None:
    assert condition(f"status{sign}{value}", FIELDS, NUMBERS).holds({"status": cell}) is SIGNS[sign](cell, value)
