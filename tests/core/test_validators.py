"""Validators: what is sent, what may be confirmed by a 304, and what a 304 updates."""

from __future__ import annotations

import pytest

from crawler.core.reasons import Reason
from crawler.core.revisit.validators import (
    LONGEST,
    Validators,
    is_conditional,
    stands_for_page,
    updated,
    validators_of,
)

ETAG, DATE = '"abc"', "Tue, 01 Dec 2026 10:00:00 GMT"


def test_both_validators_are_sent_as_they_came() -> None:
    found = validators_of([("ETag", ETAG), ("last-modified", DATE), ("Etag", '"second"')])
    assert found == Validators(ETAG, DATE)
    assert found.request_headers == (("If-None-Match", ETAG), ("If-Modified-Since", DATE))
    assert validators_of([("Last-Modified", DATE)]).request_headers == (("If-Modified-Since", DATE),)
    assert validators_of([("Content-Type", "text/html")]).request_headers == ()


@pytest.mark.parametrize("value", ["caf\xe9", "a\r\nX: y", "x" * (LONGEST + 1), "a\x00b", ""])
def test_a_validator_that_cannot_be_sent_counts_as_absent(value: str) -> None:
    assert validators_of([("ETag", value), ("Last-Modified", value)]) == Validators()


@pytest.mark.parametrize(
    ("reason", "status", "part", "truncated", "unread", "may"),
    [
        (Reason.OK, 200, "p", "", "", True),
        (Reason.OK, 203, "p", "", "", False),
        (Reason.OK, 200, "", "", "", False),
        (Reason.OK, 200, "p", "length", "", False),
        (Reason.OK, 200, "p", "", "effort", False),
        (Reason.REDIRECT_INVALID, 302, "p", "", "", False),
    ],
)
def test_only_a_whole_page_whose_links_were_read_may_be_confirmed(
    reason: Reason, status: int, part: str, truncated: str, unread: str, may: bool
) -> None:
    assert stands_for_page(reason, status, part, truncated, unread) is may


def test_every_nth_fetch_and_every_retry_is_unconditional() -> None:
    assert [is_conditional(1, checks, 3) for checks in range(4)] == [True, True, False, False]
    assert not is_conditional(1, 0, 1)
    assert not is_conditional(2, 0, 10)


def test_a_304_updates_the_stored_headers() -> None:
    stored = [
        ("Content-Type", "text/html"),
        ("Content-Encoding", "gzip"),
        ("Content-Length", "10"),
        ("ETag", '"old"'),
        ("Set-Cookie", "a=1"),
        ("X-Robots-Tag", "noindex"),
        ("Connection", "close"),
    ]
    confirmed = [("etag", '"new"'), ("Content-Type", "text/plain"), ("Keep-Alive", "5"), ("Set-Cookie", "b=2")]
    assert updated(stored, confirmed) == (
        ("Content-Type", "text/html"),
        ("X-Robots-Tag", "noindex"),
        ("etag", '"new"'),
        ("Set-Cookie", "b=2"),
    )
