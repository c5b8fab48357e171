"""How a crawl ends: the table of reasons is complete, and the texts follow from the counts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from crawler.core.endings import (
    ANSWERS,
    COUNTS,
    NOT_ASKED,
    REASONS,
    TROUBLES,
    Meaning,
    answered,
    asked,
    conclude,
    errors,
    in_words,
    missed,
    table,
)
from crawler.core.reasons import Ending, Reason

COUNT = st.integers(0, 1000)
ENDED = st.fixed_dictionaries({}, optional={reason.value: COUNT for reason in Reason})
COUNTED = st.fixed_dictionaries(dict.fromkeys(COUNTS, COUNT))


def test_every_reason_is_classified_and_explained() -> None:
    assert set(REASONS) == set(Reason)
    entries = [*REASONS.values(), *COUNTS.values()]
    assert all(entry.sentence.endswith(".") and len(entry.sentence) > 10 for entry in entries)


def test_reasons_that_are_answers_of_the_site() -> None:
    assert sorted(ANSWERS) == [
        *("blocked", "client_error", "ok", "other_status", "redirect", "redirect_invalid", "redirect_loop", "robots"),
    ]


def test_reasons_that_may_go_away() -> None:
    words = "dns connect tls timeout disconnect protocol encoding starved internal poison server_error rate_limited"
    assert {reason.value for reason in TROUBLES} == {*words.split(), "held", "host_down", "robots_unavailable"}


@given(st.sampled_from(Ending), ENDED, COUNTED, COUNT, COUNT, COUNT)
def test_the_ending_follows_from_the_counts(
    ran: Ending, reasons: dict[str, int], counts: dict[str, int], owed: int, pages: int, answers: int
) -> None:
    ending, because = conclude(ran, owed=owed, pages=pages, seeds_answered=answers, reasons=reasons, counts=counts)
    troubled = {name for name, count in reasons.items() if count and REASONS[Reason(name)].meaning != Meaning.ANSWER}
    assert set(because) == troubled | {name for name, count in counts.items() if count}
    assert list(because.values()) == sorted(because.values(), reverse=True)
    if owed:
        assert ending is (Ending.LIMIT if ran is Ending.LIMIT else Ending.STOPPED)
    else:
        assert (ending is Ending.FAILED) == (not pages and not answers)
        assert ending is Ending.FAILED or (ending is Ending.COMPLETE) == (not because)
        assert ending in (Ending.FAILED, Ending.COMPLETE, Ending.INCOMPLETE)


def test_a_reason_of_a_newer_version_counts_as_missed() -> None:
    assert missed({"ok": 3, "eaten": 1}, {}) == {"eaten": 1}


def test_the_error_rate_is_a_share_of_the_urls_that_were_or_should_have_been_fetched() -> None:
    reasons = {"ok": 6, "robots": 50, "host_limit": 40, "redirect_limit": 1, "connect": 2, "host_down": 1}
    assert (errors(reasons), asked(reasons)) == (3, 10)
    assert {Reason.ROBOTS, Reason.HOST_LIMIT} <= NOT_ASKED and Reason.REDIRECT_LIMIT not in NOT_ASKED


def test_a_seed_answers_with_2xx_and_3xx() -> None:
    assert [status for status in (0, 199, 200, 299, 304, 399, 400, 503) if answered(status)] == [200, 299, 304, 399]


def test_counts_as_text() -> None:
    because = {"connect": 1200, "tls": 3, "dns": 1}
    assert in_words(because) == "connect 1,200, tls 3, dns 1"
    assert in_words(because, 2) == "connect 1,200, tls 3 and 1 more"


def test_the_text_table_has_all_missed_reasons() -> None:
    lines = table().splitlines()[2:]
    assert len(lines) == len(REASONS) - len(ANSWERS) + len(COUNTS)
    assert "| `connect` | No connection could be made. | `resume` |" in lines
    assert any(line.startswith("| `truncated`") and "`--retry-reason truncated`" in line for line in lines)
    assert any(line.startswith("| `host_limit`") and line.endswith("`--retry-reason host_limit` |") for line in lines)
