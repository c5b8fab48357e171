"""Formats numbers and untrusted text for a terminal, a log, a report or a CSV cell.

All text from a server, a URL, a path or a library passes `escape_unprintable`. Its result is one line that cannot move
a cursor, ring a bell, forge a record, reverse the direction of writing or hide a letter.
"""

from __future__ import annotations

from unicodedata import normalize


def escape_unprintable(text: str) -> str:
    """One line in which every unprintable character is a visible escape: C0, DEL and C1 controls, bidi and zero-width
    characters, line separators, lone surrogates, unassigned code points."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else _escaped(ord(letter)) for letter in text)


def _escaped(code: int) -> str:
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


FORMULA = ("=", "+", "-", "@")
DROPPED = " \"'"  # by some importers, before they look at a cell; tabs and line ends are escapes by then


def csv_safe(text: str) -> str:
    """Text for CSV that no spreadsheet takes for a formula (OWASP, "CSV Injection"): where it begins like one it is
    prefixed with '. Also after leading spaces or quotes, and for full-width forms of the sign."""
    shown = escape_unprintable(text)
    return f"'{shown}" if normalize("NFKC", shown.lstrip(DROPPED)[:1]).startswith(FORMULA) else shown


def format_bytes(count: float) -> str:
    """A number of bytes in decimal units, like "1.5 MB"."""
    if count < 1000:
        return f"{count:.0f} B"
    for unit in ("kB", "MB", "GB"):
        count /= 1000
        if count < 1000:
            return f"{count:.1f} {unit}"
    return f"{count / 1000:.1f} TB"


def duration(seconds: float) -> str:
    """Seconds for people, like "1.5 s", "2:05 min" or "1:02:05 h"."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d} h" if hours else f"{minutes}:{rest:02d} min"


def roughly(seconds: float) -> str:
    """Seconds as an estimate for people, like "40 s", "15 min" or "2 h 5 min"."""
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def counts(numbers: dict[str, int]) -> str:
    """Names with their counts, the most frequent first, like "200: 1,990, 404: 12"."""
    ordered = sorted(numbers.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{escape_unprintable(name)}: {count:,}" for name, count in ordered) or "none"
