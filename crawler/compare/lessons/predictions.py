"""What is predicted for each figure of each lesson, by build and version of Python: `predictions.toml`.

Rules, and why:
- The file's SHA-256 is shown before anything is measured and again with the results, so a prediction cannot be fitted
  to its result.
- A prediction is text: a word, a range, or both ("faster, > 1.3"; "0.9 to 1.1"); of a fact "held" or "did not hold".
- Where builds differ it is a table of conditions, and the first that applies counts. A condition is `gil`,
  `free-threaded`, `3.14` (that version), `3.14+` (that and later ones), `else` (any), or several of them, which must
  all apply.
- Not every figure is predicted: some are only shown.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from math import inf
from pathlib import Path
from typing import NamedTuple, get_args

from crawler.compare.analysis import Word
from crawler.compare.lessons.interpreter import Build
from crawler.compare.lessons.lesson import Expected, ExpectedRange

FILE = Path(__file__).with_name("predictions.toml")
FACTS = {"held": True, "did not hold": False}


class Predictions(NamedTuple):
    """All predictions as written, and the hash of the file."""

    sha256: str
    texts: Mapping[str, Mapping[str, str | Mapping[str, str]]]

    def of(self, lesson: str, build: Build) -> dict[str, Expected]:
        """The predictions of a lesson's figures on a build. Raises ValueError for text that is no prediction."""
        chosen = {name: choose(text, build) for name, text in self.texts.get(lesson, {}).items()}
        return {name: parse(text) for name, text in chosen.items() if text}


def read(path: Path = FILE) -> Predictions:
    """The predictions of a file. Raises OSError, tomllib.TOMLDecodeError."""
    data = path.read_bytes()
    return Predictions(hashlib.sha256(data).hexdigest(), tomllib.loads(data.decode()))


def choose(text: str | Mapping[str, str], build: Build) -> str:
    """The text whose condition applies first; "" where none does."""
    if isinstance(text, str):
        return text
    return next((one for condition, one in text.items() if applies(condition, build)), "")


def applies(condition: str, build: Build) -> bool:
    """Whether every word of a condition is true of a build. Raises ValueError for an unknown word."""
    return all(_is(word, build) for word in condition.split())


def _is(word: str, build: Build) -> bool:
    match word:
        case "else":
            return True
        case "gil" | "free-threaded":
            return build.gil is (word == "gil")
    major, minor = map(int, word.removesuffix("+").split("."))
    return build.version >= (major, minor) if word.endswith("+") else build.version == (major, minor)


def parse(text: str) -> Expected:
    """A prediction from its text. Raises ValueError."""
    if text in FACTS:
        return FACTS[text]
    word, comma, bounds = text.partition(", ")
    if word in get_args(Word):
        return ExpectedRange(*_range(bounds), word=word) if comma else ExpectedRange(word=word)
    return ExpectedRange(*_range(text))


def _range(text: str) -> tuple[float, float]:
    match text.split():
        case [">", low]:
            return float(low), inf
        case ["<", high]:
            return -inf, float(high)
        case [low, "to", high]:
            return float(low), float(high)
    raise ValueError(f"{text!r} is no range; write '> 1.3', '< 0.9' or '0.9 to 1.1'")
