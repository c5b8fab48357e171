"""Reads seed URLs from a file or from standard input.

Rules:
- One URL a line, in UTF-8. Blank lines, and lines that begin with "#", are left out; blanks around a URL too.
- The first line that is no URL to crawl is refused, with its number: a seed that is skipped silently is not missed.
- A crawl holds its seeds in memory and in its manifest, so there is a limit on their number; more of them, or a longer
  line, are refused, never cut off.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO

from crawler.errors import UsageError
from crawler.settings.checks import check_seed

MOST_SEEDS = 100_000
LONGEST_LINE = 65_536
"""Bytes of a line, its end included."""
STANDARD_INPUT = "-"


def read_seeds(file: str) -> tuple[str, ...]:
    """The canonical URLs of a file ("-": standard input), each once, in order. Raises UsageError."""
    name = "standard input" if file == STANDARD_INPUT else file
    found: dict[str, None] = {}
    try:
        with nullcontext(sys.stdin.buffer) if file == STANDARD_INPUT else Path(file).open("rb") as lines:
            for number, url in _urls(lines, name):
                try:
                    found[check_seed(url)] = None
                except UsageError as error:
                    raise UsageError(f"{name}, line {number}: {error}") from None
                if len(found) > MOST_SEEDS:
                    raise UsageError(f"{name} has more than {MOST_SEEDS:,} URLs: start several crawls")
    except OSError as error:
        raise UsageError(f"cannot read the seeds of {name}: {error.strerror or error}") from error
    if not found:
        raise UsageError(f"{name} has no URLs: write one a line")
    return tuple(found)


def _urls(lines: BinaryIO, name: str) -> Iterator[tuple[int, str]]:
    """Each line that has a URL, with its number. Raises UsageError."""
    number = 0
    while line := lines.readline(LONGEST_LINE):
        number += 1
        if len(line) == LONGEST_LINE:
            raise UsageError(f"{name}, line {number}: longer than {LONGEST_LINE:,} bytes")
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
        except UnicodeDecodeError:
            raise UsageError(f"{name}, line {number}: not UTF-8") from None
        if text and not text.startswith("#"):
            yield number, text
