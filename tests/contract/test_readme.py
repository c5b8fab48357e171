"""What the README says is what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from crawler.metrics.summary import FIELDS, Summary
from tests.readme import BLOCKS, README, begin, end, written

LONGEST = 5
"""Lines of a paragraph."""


def test_what_is_generated_is_what_the_code_has() -> None:
    text = README.read_text()
    for name in BLOCKS:
        assert text.count(begin(name)) == text.count(end(name)) == 1, name
    assert text == written(text), "write it anew: python -m tests.readme"


def test_every_field_of_the_summary_is_explained() -> None:
    assert sorted(FIELDS) == sorted(Summary.__struct_fields__)


def test_every_link_leads_somewhere() -> None:
    text = README.read_text()
    titles = [
        re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    ]
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in titles, target
        elif "://" not in target:
            assert (README.parent / target).exists(), target


@pytest.mark.parametrize("path", [README, README.parent / "crawler" / "README.md"], ids=lambda path: path.parent.name)
def test_no_paragraph_is_longer_than_five_lines(path: Path) -> None:
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    for paragraph in re.split(r"\n\n+|\n(?=- |\d+\. )", text):
        lines = [line for line in paragraph.splitlines() if not line.startswith(("|", "#", "<!--"))]
        assert len(lines) <= LONGEST, paragraph
