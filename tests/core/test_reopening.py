"""Which settled URLs a resume fetches again."""

from __future__ import annotations

import msgspec
import pytest

from crawler.core.endings import REASONS, TROUBLES, Meaning
from crawler.core.messages import Budget
from crawler.core.reasons import Ending, ParseSkipped, Reason
from crawler.core.reopening import MISSED, NAMES, SEEDS, pick, relieved, selection
from crawler.core.settling import not_taken, read_back
from crawler.core.traps.detector import DOUBT, WHOLE


class Row(msgspec.Struct):
    reason: Reason = Reason.OK
    status: int = 200
    depth: int = 1
    truncated: str = ""
    detail: str = ""


def test_a_crawl_that_missed_urls_retries_them_by_default() -> None:
    assert selection(Ending.INCOMPLETE) == MISSED
    assert selection(Ending.FAILED) == MISSED | {SEEDS}
    for ending in (Ending.COMPLETE, Ending.LIMIT, Ending.STOPPED):
        assert selection(ending) == frozenset()
        assert selection(ending, failed=True) == MISSED


def test_given_reasons_select_exactly_their_urls() -> None:
    assert selection(Ending.INCOMPLETE, ["robots"]) == {"robots"}
    assert selection(Ending.FAILED, ["robots"]) == {"robots", SEEDS}
    assert selection(Ending.LIMIT, ["robots"], failed=True) == MISSED | {"robots"}


def test_every_reason_except_success_may_be_given() -> None:
    assert set(NAMES) == (set(Reason) - {"ok", "redirect"}) | {"truncated", "unread", "links_cut"}
    for reason in set(Reason) - {Reason.OK, Reason.REDIRECT}:
        assert pick(frozenset([reason.value]), Row(reason)) == reason.value


@pytest.mark.parametrize("reason", Reason)
def test_urls_retried_by_default_are_those_that_ended_with_a_failure(reason: Reason) -> None:
    assert (pick(MISSED, Row(reason, 0)) == reason.value) == (REASONS[reason].meaning is Meaning.TROUBLE)
    assert (reason in TROUBLES) == (pick(MISSED, Row(reason, 0)) is not None)


@pytest.mark.parametrize(
    ("row", "by_itself"),
    [
        (Row(truncated="time"), "truncated"),
        (Row(truncated="disconnect"), "truncated"),
        (Row(truncated="length"), None),
        (Row(detail=not_taken(ParseSkipped.LOST, 0)), "unread"),
        (Row(detail=not_taken(ParseSkipped.MEMORY, 7)), "unread"),
        (Row(detail=not_taken(ParseSkipped.CPU_LIMIT, 0)), None),
        (Row(detail=not_taken(None, 7)), None),
        (Row(status=0, detail=not_taken(ParseSkipped.LOST, 0)), None),
        (Row(), None),
    ],
)
def test_truncated_pages(row: Row, by_itself: str | None) -> None:
    assert pick(MISSED, row) == by_itself


def test_pages_cut_by_our_limits_are_retried_on_request() -> None:
    assert pick(frozenset(["truncated"]), Row(truncated="length")) == "truncated"
    assert pick(frozenset(["unread"]), Row(detail=not_taken(ParseSkipped.CPU_LIMIT, 0))) == "unread"
    assert pick(frozenset(["links_cut"]), Row(detail=not_taken(None, 3))) == "links_cut"
    assert pick(frozenset(["links_cut"]), Row()) is None


def test_seeds_are_retried_whatever_they_answered() -> None:
    words = selection(Ending.FAILED)
    assert pick(words, Row(Reason.CLIENT_ERROR, 404, depth=0)) == "client_error"
    assert pick(words, Row(Reason.CLIENT_ERROR, 404, depth=1)) is None


@pytest.mark.parametrize("unread", [None, *ParseSkipped])
@pytest.mark.parametrize("cut", [0, 1, 70_000])
def test_the_cut_parts_can_be_read_from_the_detail(unread: ParseSkipped | None, cut: int) -> None:
    assert read_back(200, not_taken(unread, cut)) == (unread, cut)


@pytest.mark.parametrize("detail", ["links not read: x", "links not taken: many", "[Errno 111] links not taken: 3"])
def test_other_details_name_no_cut_parts(detail: str) -> None:
    assert read_back(200, detail) == (None, 0)


def test_retried_pages_are_returned_to_the_budget_of_their_host() -> None:
    whole = Budget("http://a.test", WHOLE, 10)
    assert relieved(whole, 3, restart=False) == Budget("http://a.test", WHOLE, 7)
    assert relieved(whole, 30, restart=True) == Budget("http://a.test", WHOLE, 0)


def test_a_stopped_pattern_starts_again_where_its_pages_are_retried() -> None:
    stopped = Budget("http://a.test", 5, 300, stopped="all alike")
    assert relieved(stopped, 3, restart=False) == stopped
    assert relieved(stopped, 3, restart=True) is None
    assert relieved(Budget("http://a.test", 6, 300), 3, restart=True) == Budget("http://a.test", 6, 300)
    whole = Budget("http://a.test", WHOLE, 900, stopped="endless", evidence=(0, 0, 0, 0, 0, 0, 0, 3))
    assert relieved(whole, 3, restart=True) == Budget("http://a.test", WHOLE, 897)
    for learnt in (Budget("http://a.test", 7, 9, rule=("order", "/", "")), Budget("http://a.test", DOUBT, 60)):
        assert relieved(learnt, 3, restart=False) == learnt
        assert relieved(learnt, 3, restart=True) is None
