"""The page that tells what changed between two generations: all of it is there, and no remote text becomes HTML."""

from __future__ import annotations

import pytest

from crawler.report.diff_page import MOST, diff_page
from crawler.storage.diff import ChangedPage, GenerationDiff, GonePage, MovedPage, UncertainPage, Unchanged
from tests.contract.test_report import HOSTILE
from tests.contract.written import Elements, check_page

A = "http://a.test"


def changes(text: str = "page") -> GenerationDiff:
    """A diff with one of each kind, whose URLs hold some text."""
    url = f"{A}/{text}"
    return GenerationDiff(
        older=3,
        newer=4,
        new=[url],
        gone=[GonePage(url, "404"), GonePage(url, "unlinked"), GonePage(url, "410"), GonePage(url, "robots")],
        changed=[ChangedPage(url, ("main_text", "outlinks"))],
        moved=[MovedPage(url, f"{A}/to/{text}")],
        uncertain=[UncertainPage(url, "server_error")],
        unchanged=Unchanged(1200, 30, 4),
        urls=1240,
        bytes_saved=5_000_000,
        complete=True,
        seeds=(url,),
        ended_at=(1_700_000_000.0, 1_700_086_400.0),
    )


def test_every_kind_of_change_is_on_the_page() -> None:
    told = Elements(diff_page(changes(), "crawls/mine")).text
    for words in (
        *("New (1)", "Gone (4)", "Changed (1)", "Moved (1)", "Uncertain (1)"),
        *(
            "404: not found",
            "nothing links to it any more",
            "main text, links",
            "server_error",
            "http://a.test/to/page",
        ),
        *("1,234", "1,200", "2023-11-14 22:13:20 UTC", "2023-11-15 22:13:20 UTC", "--from 3 --to 4"),
    ):
        assert words in told, words


def test_a_diff_without_changes_says_so() -> None:
    nothing = GenerationDiff(older=0, newer=1, unchanged=Unchanged(5), complete=True)
    page = diff_page(nothing, "c")
    assert "Nothing changed." in page and page.count("<section") == 1
    partly = diff_page(GenerationDiff(older=0, newer=1), "c")
    assert "what it did not reach is uncertain" in partly


def test_long_lists_end_and_say_how_many_more_there_are() -> None:
    many = GenerationDiff(older=0, newer=1, new=[f"{A}/{number}" for number in range(MOST + 7)])
    told = Elements(diff_page(many, "c")).text
    assert f"{A}/{MOST - 1}" in told and f"{A}/{MOST}" not in told and "7 more" in told


@pytest.mark.parametrize("text", HOSTILE)
def test_remote_text_stays_text(text: str) -> None:
    check_page(diff_page(changes(text), text))
