"""Which failures are retried, and after which wait."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.core.hosts.retry import backoff, gap, is_transient, reason_of
from crawler.core.messages import Failed, Fetched
from crawler.core.reasons import FetchErrorKind, Reason


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 599])
def test_transient_statuses_are_retried(status: int) -> None:
    assert is_transient(Fetched(1, status))


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (200, Reason.OK),
        (204, Reason.OK),
        (300, Reason.OTHER_STATUS),
        (301, Reason.REDIRECT_INVALID),
        (304, Reason.OTHER_STATUS),
        (400, Reason.CLIENT_ERROR),
        (404, Reason.CLIENT_ERROR),
        (410, Reason.CLIENT_ERROR),
        (600, Reason.OTHER_STATUS),
        (999, Reason.OTHER_STATUS),
    ],
)
def test_every_other_status_is_final_at_once(status: int, reason: Reason) -> None:
    assert not is_transient(Fetched(1, status))
    assert reason_of(Fetched(1, status)) is reason


def test_exhausted_server_errors_have_a_reason_of_their_own() -> None:
    assert reason_of(Fetched(1, 503)) is Reason.SERVER_ERROR
    assert reason_of(Fetched(1, 429)) is Reason.RATE_LIMITED
    assert reason_of(Fetched(1, 408)) is Reason.TIMEOUT


@pytest.mark.parametrize(("cut", "again"), [("time", True), ("disconnect", True), ("length", False), ("", False)])
def test_a_body_truncated_by_the_network_is_retried_one_cut_by_our_limits_is_not(cut: str, again: bool) -> None:
    assert is_transient(Fetched(1, 200, truncated=cut)) is again


def test_a_body_that_is_truncated_each_time_is_stored_after_the_last_attempt() -> None:
    assert reason_of(Fetched(1, 200, truncated="disconnect")) is Reason.OK


@pytest.mark.parametrize(
    "trouble", sorted(set(FetchErrorKind) - {FetchErrorKind.LEASE_EXPIRED, FetchErrorKind.DNS_PENDING})
)
def test_connection_failures_are_retried_others_are_not(trouble: FetchErrorKind) -> None:
    again = trouble in (FetchErrorKind.DNS, FetchErrorKind.CONNECT, FetchErrorKind.TIMEOUT, FetchErrorKind.DISCONNECT)
    assert is_transient(Failed(1, trouble)) is again
    assert reason_of(Failed(1, trouble)) is Reason(trouble.value)


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126)), st.integers(1, 2000), st.integers(0, 2**63 - 1))
def test_waits_are_in_the_upper_half_below_a_growing_ceiling_and_reproducible(url: str, number: int, seed: int) -> None:
    for wait, factor in ((backoff, 4.0), (gap, 1.5)):
        ceiling = min(60.0, factor ** min(number - 1, 20))
        assert ceiling / 2 <= wait(url, number, base=1.0, cap=60.0, seed=seed) <= ceiling
        assert wait(url, number, 1.0, 60.0, seed) == wait(url, number, 1.0, 60.0, seed)


def test_pages_that_failed_together_are_retried_at_different_times() -> None:
    waits = [backoff(f"http://a.test/{n}", 1, 1.0, 60.0, 1) for n in range(1000)]
    assert min(waits) < 0.52 and max(waits) > 0.98 and 0.7 < sum(waits) / 1000 < 0.8
