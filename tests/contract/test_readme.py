"""What the README and the reference say is what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from crawler.metrics.summary import FIELDS, Summary
from tests.readme import BLOCKS, README, REFERENCE, begin, end, written

LONGEST = 5
"""Lines of a paragraph."""

WORDS = 4000
"""Of the README: what is longer is not read."""

TEXTS = pytest.mark.parametrize(
    "path", [README, REFERENCE, README.parent / "crawler" / "README.md"], ids=lambda path: path.name
)


def test_what_is_generated_is_what_the_code_has() -> None:
    text = REFERENCE.read_text()
    for name in BLOCKS:
        assert text.count(begin(name)) == text.count(end(name)) == 1, name
    assert text == written(text), "write it anew: python -m tests.readme"


def test_every_field_of_the_summary_is_explained() -> None:
    assert sorted(FIELDS) == sorted(Summary.__struct_fields__)


def titles(path: Path) -> set[str]:
    """The anchors of a text's headings, as GitHub makes them."""
    found = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in found}


@TEXTS
def test_every_link_leads_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", path.read_text()):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file) if file else path
        assert there.exists(), target
        assert not anchor or anchor in titles(there), target


def test_the_readme_is_read_in_a_quarter_of_an_hour() -> None:
    assert len(README.read_text().split()) <= WORDS


@TEXTS
def test_no_paragraph_is_longer_than_five_lines(path: Path) -> None:
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    for paragraph in re.split(r"\n\n+|\n(?=- |\d+\. )", text):
        lines = [line for line in paragraph.splitlines() if not line.startswith(("|", "#", "<!--"))]
        assert len(lines) <= LONGEST, paragraph
