"""What the README says is what the code does."""

from __future__ import annotations

from tests.readme import BEGIN, END, README, written


def test_all_that_makes_a_crawl_incomplete_is_listed() -> None:
    text = README.read_text()
    assert text.count(BEGIN) == text.count(END) == 1
    assert text == written(text), "write it anew: python -m tests.readme"
