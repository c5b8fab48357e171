"""The files that pages load: style sheets, script, icon. All are small and held in memory."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import xxhash

from crawler.report.html import FRAME
from crawler.report.page import STYLE

FOLDER = Path(__file__).parent / "static"
KINDS = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
REPORT = "report.css"


class StaticFile(NamedTuple):
    """A file: its bytes, media type, and a name for its content."""

    body: bytes
    kind: str
    version: str


@lru_cache(maxsize=1)
def static_files() -> dict[str, StaticFile]:
    """Every file by its name. The style of the reports comes from their frame: it is written once."""
    frame = FRAME.read_text(encoding="utf-8")
    shared = frame.partition("<style>")[2].partition("$style")[0] + STYLE.read_text(encoding="utf-8")
    bodies = {REPORT: shared.encode()} | {path.name: path.read_bytes() for path in sorted(FOLDER.iterdir())}
    return {
        name: StaticFile(body, KINDS[Path(name).suffix], xxhash.xxh3_64_hexdigest(body))
        for name, body in bodies.items()
        if Path(name).suffix in KINDS
    }


def static_url(name: str) -> str:
    """The path of a file, with its version."""
    return f"/static/{name}?v={static_files()[name].version}"
