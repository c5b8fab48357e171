"""The result of a bench as one HTML page, with the cells of its table in the terminal. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from crawler.bench.present import UNEQUAL, BenchTable
from crawler.report.html import card, frame, listed, section, table
from crawler.report.page import STYLE
from crawler.report.svg import escape

TITLE = "Bench"


def page(shown: BenchTable, where: Mapping[str, str]) -> str:
    """The whole page. `where`: the conditions beside those of the table, by name."""
    head, *rows = zip(shown.names, shown.rows, strict=True)
    width = len(head[1])
    cells = [
        [escape(name), *map(escape, row if len(row) == width else (*[""] * (width - 1), *row))] for name, row in rows
    ]
    heads = [head[0] or "Entrant", *head[1][:-1], f":{head[1][-1] or 'verdict'}"]
    bad = "" if not shown.verdict.startswith(UNEQUAL) else " class=bad"
    lines = "<br>".join(map(escape, shown.conditions))
    top = f"<h1>{TITLE}</h1><p class=state>{lines}</p><p><b{bad}>{escape(shown.verdict)}</b></p>"
    conditions = listed([(name, escape(text)) for name, text in where.items()])
    main = [
        section("result", "Result", card(table(heads, cells, "Result")) + f"<p class=note>{shown.reading}</p>"),
        section("conditions", "Conditions", card(conditions)),
    ]
    return frame(STYLE, TITLE, top, "\n".join(main), "")
