"""Names in the code: each public class name is unique, and abandoned names are not used again."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

from tests.house import ROOT, modules

GIVEN_UP = frozenset(
    re.findall(
        r"\w+",
        """
        Crew Farewell births birth bind_to_crawler Born Talk be_about Switchboard Mail Foreign Reach SPREAD
        GATHERED Reborn Noted Granted Received Neighbourly Hungry Offered doubtful Judged Search Trouble LOOKUP
        Landing Unread EFFORT patient sketch Passage IN_DOUBT NEVER_HAPPENED testify witnesses Turns enlist
        rested Strays speller Refusal Ledger Account exam end_of in_short Orders is_heavy listed_at meet
        newcomer leaves_out shifted Reachable put_brakes weigh Tap object_to look_back mend tidy unbound
        keep_trying reveal bind provide threads_or_a_line collected_seldom Pulse beating speak_plainly
        printable Elsewhere Reader burn Charter Ways no_way special reached_by Names Slow IN_A_CROWD Flight
        Sweeper keeps check_cut unfit REUSED_FOR BLIND Dice crew strays passage talk switchboard lay_out put_off
        untold
        """,
    )
)
COINED = re.compile(r"\b(Strays|Crew|Switchboard|Farewell|be_about|bind_to_crawler|threads_or_a_line|speak_plainly)\b")
"""Coined words that no text may use either, because a reader cannot look them up."""


def defined(tree: ast.AST) -> set[str]:
    """Every name of a class, function, field or attribute that a module defines."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name.lstrip("_"))
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            names.add(node.attr.lstrip("_"))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id.lstrip("_"))
    return names


def test_abandoned_names_are_not_used() -> None:
    for module, path in modules().items():
        assert not GIVEN_UP & set(module.split(".")), module
        assert sorted(GIVEN_UP & defined(ast.parse(path.read_text()))) == [], path


def test_every_public_class_name_is_unique() -> None:
    names = Counter(
        node.name
        for path in modules().values()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert [name for name, count in names.items() if count > 1] == []


def test_no_text_uses_a_coined_word() -> None:
    texts: list[Path] = [
        ROOT / "README.md",
        ROOT / "crawler" / "README.md",
        ROOT / "crawler" / "REFERENCE.md",
        *modules().values(),
    ]
    texts += [path for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__)]
    for path in texts:
        assert not (found := COINED.search(path.read_text())), f"{path}: {found}"
