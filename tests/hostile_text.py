"""Strings that attack a terminal, a log, a report, a spreadsheet or a database."""

from __future__ import annotations

from tests.corpus import cases

OWN = (
    "=1+1",
    "@SUM(A1)",
    "\t=1+1",
    " \"'=1+1",
    "\uff1d1+1",
    "\ufe631+1",
    "\x1b]0;owned\x07",
    "\x1b[6n\x9b2J",
    "\x7f\x00end",
    "one\ntwo\r\nthree",
    "a\u202eb\u2066c\u200fd\u061ce",
    "line\u2028paragraph\u2029next\x85",
    "\ud800 lone \udfff",
    "\ufeff\u00ad\u2060hidden",
    "</style></title><img src=x onerror=alert(1)>",
    "'><a href=javascript:alert(1)>",
    "--></script><script>alert(1)</script>",
    "${top} $$ {{7*7}} %s",
    "'); DROP TABLE url; --",
)


def corpus() -> list[str]:
    """The strings of the corpus."""
    return [case["value"] for case in cases("inject/strings")]


def all_of_them() -> list[str]:
    """The strings above and those of the corpus, each once."""
    return list(dict.fromkeys([*OWN, *corpus()]))
