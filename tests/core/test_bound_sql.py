"""Values are passed to SQL as bound parameters only, checked on the syntax trees of the code.

A query may be put together from constants (capitals) and from the few names below, which this program makes up itself.
"""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RUNS = {"execute", "executemany", "executescript", "_execute", "_rows"}
OURS = {
    "bare": "an expression over columns",
    "columns_to_read": "a function of ours that names columns",
    "_test": "a function of ours that writes a condition from names of columns",
    "_source": "a function of ours that names columns and tables",
    "_triggers": "a function of ours that writes SQL from names of columns",
    "declared": "the type of a column",
    "sealed": "a function of ours that writes SQL from names of columns",
    "cases": "edges of a histogram, numbers of ours",
    "since": "an expression over a column",
    "column": "the name of a column",
    "columns": "names of columns",
    "key": "the name of a column",
    "made_by": "the schema of a file, as it is written in the code",
    "name": "the name of a table",
    "names": "names of columns",
    "queries": "queries of ours",
    "number": "the number of a file",
    "page_size": "a number of ours",
    "row": "names of columns, as they are written in the code",
    "schema": "the name of an attached file, by its number",
    "table": "the name of a table",
    "union": "names of tables",
    "wanted": "a condition over columns",
    "where": "a condition over columns",
    "which": "a condition over columns",
}
PASSED_ON = {"query", "schema"}  # the argument of a function whose callers are checked as well


def queries() -> list[tuple[str, ast.expr, dict[str, list[ast.expr]]]]:
    """Every first argument of a call that runs SQL: its place, the expression, and the assignments to local names."""
    found = []
    for path in sorted([*ROOT.glob("crawler/**/*.py"), *ROOT.glob("variants/**/*.py")]):
        for function in ast.walk(ast.parse(path.read_text())):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            local: dict[str, list[ast.expr]] = {}
            for node in ast.walk(function):
                if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                    local.setdefault(node.targets[0].id, []).append(node.value)
            calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
            found += [
                (f"{path.relative_to(ROOT)}:{call.lineno}", call.args[0], local)
                for call in calls
                if isinstance(call.func, ast.Attribute) and call.func.attr in RUNS
            ]
    return found


def strange(query: ast.expr, local: dict[str, list[ast.expr]]) -> list[str]:
    """The parts of a query that are neither literals nor known names."""
    match query:
        case ast.Constant():
            return []
        case ast.JoinedStr(values=values):
            return [part for value in values for part in strange(value, local)]
        case ast.FormattedValue(value=value):
            return strange(value, local)
        case ast.BinOp(op=ast.Add(), left=left, right=right):
            return strange(left, local) + strange(right, local)
        case ast.BinOp(op=ast.FloorDiv()) | ast.BinOp(op=ast.Mult(), left=ast.Constant()):
            return []
        case ast.Call(func=ast.Attribute(value=ast.Constant(), attr="join"), args=[names]):
            return strange(names, local)
        case ast.Call(func=ast.Attribute(value=pattern, attr="format"), args=parts):
            return [part for value in (pattern, *parts) for part in strange(value, local)]
        case ast.Call(func=ast.Attribute(value=ast.Call(func=ast.Name(id="str")), attr="replace")):
            return []  # a quoted name with its quotes doubled
        case ast.Subscript(value=ast.Name(id=name)) if name.isupper():
            return []
        case ast.Attribute(attr=name) if name.isupper():
            return []
        case ast.Attribute(value=ast.Name(id="self"), attr=name) if name.removeprefix("_") in OURS:
            return []
        case ast.IfExp(body=one, orelse=other):
            return strange(one, local) + strange(other, local)
        case ast.Call(func=ast.Name(id=name)) if name in OURS:
            return []
        case ast.Name(id=name) if name.isupper() or name in OURS:
            return []
        case ast.Name(id=name) if name in local:
            return [part for value in local[name] for part in strange(value, local)]
    return [ast.unparse(query)]


def test_no_value_is_formatted_into_a_query() -> None:
    bad = {where: parts for where, query, local in queries() if (parts := strange(query, local))}
    bad = {where: parts for where, parts in bad.items() if not set(parts) <= PASSED_ON}
    assert not bad


def test_the_check_finds_the_queries() -> None:
    assert len(queries()) > 40
