"""Loads the conformance and hostile-input corpora in `tests/corpora`; see the README there."""

from __future__ import annotations

import json
import lzma
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "corpora"


def load(name: str) -> Any:
    """The content of a JSON file, given its path below FOLDER without suffix. The file may be compressed."""
    compressed = FOLDER / f"{name}.json.xz"
    if compressed.exists():
        return json.loads(lzma.decompress(compressed.read_bytes()))
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def cases(name: str) -> list[dict[str, Any]]:
    """The cases of a JSON file."""
    found: list[dict[str, Any]] = load(name)["cases"]
    return found
