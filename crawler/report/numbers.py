"""Formats numbers for a report: three significant digits, a unit. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

Show = Callable[[float], str]
MINUS = "\N{MINUS SIGN}"


def number(value: float) -> str:
    """Three significant digits, thousands separated."""
    if not math.isfinite(value):
        return "∞" if value > 0 else MINUS + "∞"
    if value == 0:
        return "0"
    digits = 2 - math.floor(math.log10(abs(value)))
    rounded = round(value, digits)
    text = f"{rounded:,.{max(0, min(digits, 6))}f}"
    return text.replace("-", MINUS)


def short(value: float) -> str:
    """As on a tick: 1,024 or 0.05, without trailing zeros."""
    return f"{value:,.6g}" if value < 1e6 else f"{value:,.0f}"


def seconds(value: float) -> str:
    """A time in its natural unit."""
    return f"{short(value * 1000)} ms" if 0 < value < 1 else f"{short(value)} s"


def lasting(value: float) -> str:
    """A measured time: three digits, in ms or s."""
    return f"{number(value * 1000)} ms" if abs(value) < 1 else f"{number(value)} s"


def milliseconds(value: float) -> str:
    """A time given in milliseconds."""
    return f"{number(value)} ms"


def share(value: float) -> str:
    """A share as per cent."""
    return f"{100 * value:.0f} %"


def percent(ratio: float) -> str:
    """A ratio as a change."""
    change = round(100 * (ratio - 1), 1)
    return f"{change:+.1f} %".replace("-", MINUS) if change else "0.0 %"


def counted(count: int, what: str) -> str:
    """1 block, 2 blocks."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def trimmed(text: str) -> str:
    """Drops trailing zeros after the decimal point, for axes: 50.0 MB becomes 50 MB."""
    return re.sub(r"(?<=\d)(\.\d*?)0+(?!\d)", lambda found: found[1].rstrip("."), text)
