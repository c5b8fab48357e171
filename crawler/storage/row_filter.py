"""Conditions on the rows of an export: `reason=ok`, `status>=400`, `detail!=`. Pure.

Rules:
- Numbers are compared as numbers, everything else as text; times of ISO 8601 are then in order.
- An empty value stands for null: `truncated=` selects what is whole. Null is neither less nor more than anything.
- Whatever cannot be understood is refused, with what there is: a condition that silently selects nothing is a trap.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection, Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple

from crawler.errors import UsageError

SIGNS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_CONDITION = re.compile(r"\s*(\w+)\s*(!=|<=|>=|=|<|>)\s*(.*?)\s*", re.DOTALL)


class RowCondition(NamedTuple):
    """One condition: the value of `field` compared with `value` (None: null)."""

    field: str
    sign: str
    value: str | float | None

    def holds(self, cells: Mapping[str, object]) -> bool:
        """Whether a row, by the names of its fields, meets it."""
        cell = cells[self.field]
        if cell is None or self.value is None:
            return self.sign in ("=", "!=") and SIGNS[self.sign](cell, self.value)
        return SIGNS[self.sign](cell, self.value)


def condition(text: str, fields: Collection[str], numbers: Collection[str]) -> RowCondition:
    """The condition that a text states on one of `fields`, of which `numbers` are numeric. Raises UsageError."""
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise UsageError(f"--where {text!r} is no condition; write FIELD=VALUE, with = != < <= > or >=")
    field, sign, value = match.groups()
    check_name(field, fields, "--where")
    if field not in numbers or not value:
        return RowCondition(field, sign, value or None)
    try:
        return RowCondition(field, sign, float(value))
    except ValueError:
        raise UsageError(f"--where {text!r}: {field} is a number") from None


def check_name(name: str, fields: Collection[str], option: str) -> None:
    """Raises UsageError where there is no such field, with the nearest one and all there are."""
    if name not in fields:
        close = get_close_matches(name, fields, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise UsageError(f"{option}: there is no field {name!r}{hint} (fields: {', '.join(fields)})")
