"""How redirects are resolved."""

from __future__ import annotations

import pytest

from crawler.core.messages import Link
from crawler.core.reasons import Reason
from crawler.core.rules import Rules
from crawler.core.urls.redirects import after_redirect

H = "http://h.test"
LINK = Link(1, f"{H}/a", 1, (f"{H}/first",))


@pytest.mark.parametrize(
    ("target", "reason", "followed"),
    [
        (f"{H}/b", Reason.REDIRECT, f"{H}/b"),
        (f"{H}/%62", Reason.REDIRECT, f"{H}/b"),
        (f"{H}/%61", Reason.REDIRECT, f"{H}/%61"),
        (f"{H}/b;jsessionid=1", Reason.REDIRECT, f"{H}/b;jsessionid=1"),
        (f"{H}/first?PHPSESSID=1", Reason.REDIRECT, f"{H}/first?PHPSESSID=1"),
        (f"{H}/a", Reason.REDIRECT_LOOP, ""),
        (f"{H}/first", Reason.REDIRECT_LOOP, ""),
        ("", Reason.REDIRECT_INVALID, ""),
        (f"{H}/".ljust(2084, "x"), Reason.REDIRECT_INVALID, ""),
    ],
)
def test_the_target_of_a_redirect(target: str, reason: Reason, followed: str) -> None:
    assert after_redirect(LINK, target, Rules()) == (reason, followed)


def test_targets_are_not_normalised_by_option() -> None:
    assert after_redirect(LINK, f"{H}/%62", Rules(respell=False))[1] == f"{H}/%62"


def test_a_redirect_chain_ends_at_its_limit() -> None:
    assert after_redirect(LINK, f"{H}/%61", Rules(max_redirects=1))[0] is Reason.REDIRECT_LIMIT
