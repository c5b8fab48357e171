"""What is worth another attempt, and how long to wait for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.core.messages import Failed, Fetched, Reason, Trouble
from crawler.core.retry import Again, Enough, after_response, after_trouble, backoff
from crawler.core.rules import Rules

RULES = Rules()
URL = "http://a.test/"


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 599])
def test_transient_statuses_are_tried_three_times(status: int) -> None:
    verdicts = [after_response(Fetched(1, status), URL, attempt, RULES, 1) for attempt in (1, 2, 3)]
    assert [type(verdict) for verdict in verdicts] == [Again, Again, Enough]


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (200, Reason.OK),
        (204, Reason.OK),
        (301, Reason.OTHER_STATUS),
        (304, Reason.OTHER_STATUS),
        (400, Reason.CLIENT_ERROR),
        (404, Reason.CLIENT_ERROR),
        (410, Reason.CLIENT_ERROR),
        (600, Reason.OTHER_STATUS),
        (999, Reason.OTHER_STATUS),
    ],
)
def test_every_other_status_is_final_at_once(status: int, reason: Reason) -> None:
    assert after_response(Fetched(1, status), URL, 1, RULES, 1) == Enough(reason)


def test_exhausted_server_errors_have_a_reason_of_their_own() -> None:
    assert after_response(Fetched(1, 503), URL, 3, RULES, 1) == Enough(Reason.SERVER_ERROR)
    assert after_response(Fetched(1, 429), URL, 3, RULES, 1) == Enough(Reason.CLIENT_ERROR)


@pytest.mark.parametrize(("cut", "again"), [("time", True), ("disconnect", True), ("length", False), ("", False)])
def test_a_body_cut_by_the_network_is_tried_again_one_cut_by_us_is_not(cut: str, again: bool) -> None:
    assert isinstance(after_response(Fetched(1, 200, truncated=cut), URL, 1, RULES, 1), Again) is again


def test_a_body_that_stays_cut_is_kept_in_the_end() -> None:
    assert after_response(Fetched(1, 200, truncated="disconnect"), URL, 3, RULES, 1) == Enough(Reason.OK)


@pytest.mark.parametrize("trouble", sorted(set(Trouble) - {Trouble.LOST, Trouble.LOOKUP}))
def test_connection_trouble_is_tried_again_the_rest_is_not(trouble: Trouble) -> None:
    again = trouble in (Trouble.DNS, Trouble.CONNECT, Trouble.TIMEOUT, Trouble.DISCONNECT)
    assert isinstance(after_trouble(Failed(1, trouble), URL, 1, RULES, 1), Again) is again
    assert after_trouble(Failed(1, trouble), URL, 3, RULES, 1) == Enough(Reason(trouble.value))


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126)), st.integers(1, 50), st.integers(0, 2**63 - 1))
def test_the_wait_stays_below_a_doubling_ceiling_and_can_be_replayed(url: str, attempt: int, seed: int) -> None:
    wait = backoff(url, attempt, base=1.0, cap=60.0, seed=seed)
    assert 0.0 <= wait < min(60.0, 2.0 ** (attempt - 1)) or wait == pytest.approx(60.0)
    assert wait == backoff(url, attempt, base=1.0, cap=60.0, seed=seed)


def test_the_jitter_is_full() -> None:
    waits = [backoff(f"http://a.test/{n}", 1, 1.0, 60.0, 1) for n in range(1000)]
    assert min(waits) < 0.05 and max(waits) > 0.95 and 0.45 < sum(waits) / 1000 < 0.55
