"""The laws of crawler/README.md, checked on the syntax trees of the code."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

from crawler.core import messages
from tests import house
from variants import pump

ROOT = Path(__file__).resolve().parents[2]
FORBIDDEN_IN_CORE = {
    *("time", "random", "socket", "ssl", "threading", "asyncio", "multiprocessing", "os", "io", "logging", "sqlite3"),
    *("pathlib", "subprocess", "datetime", "secrets", "uuid", "queue", "concurrent"),
}
CORES = ("crawler/core", "crawler/service/core")
FORBIDDEN_IN_HTTP1 = {"socket", "ssl", "select", "time", "asyncio", "threading", "os", "random"}
MAY_NAME_VARIANTS = ("crawler/cli/", "crawler/api.py", "crawler/run.py", "crawler/compare/", "crawler/service/")
PURE = {
    "crawler/core": {"crawler.core"},
    "crawler/service/core": {"crawler.service.core", "crawler.core", "crawler.errors"},
    "crawler/fetch": {"crawler.fetch", "crawler.core", "crawler.system", "crawler.errors"},
    "crawler/storage/pages": {
        "crawler.storage",
        "crawler.core",
        "crawler.system",
        "crawler.errors",
        "crawler.fetch.base",
    },
}
"""These rooms may import less than all rooms below them."""
COUNT = re.compile(r"(?<=\s)\d[\d,]*(?=  )")  # lines of code in the diagram
OVERRIDDEN = {"feed_data", "data_received", "unused_data"}  # methods whose names a library prescribes
BANNED_NAMES = re.compile(r"(^|_)(manager|helper|helpers|util|utils|handler|data|info|item|items)($|_)")


def core_sources() -> list[Path]:
    return [path for folder in CORES for path in sources(folder)]


def sources(folder: str) -> list[Path]:
    path = ROOT / folder
    return [path] if path.is_file() else sorted(path.rglob("*.py"))


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: imports are absolute here"
            names.add(node.module)
    return names


@pytest.mark.parametrize("path", sources("crawler/core"), ids=str)
def test_law_1_the_core_touches_nothing_outside(path: Path) -> None:
    assert not {name.partition(".")[0] for name in imported(path)} & FORBIDDEN_IN_CORE


@pytest.mark.parametrize("path", sources("crawler/service/core"), ids=str)
def test_law_10_nor_does_that_of_the_service_though_it_knows_calendars(path: Path) -> None:
    assert not {name.partition(".")[0] for name in imported(path)} & (FORBIDDEN_IN_CORE - {"datetime"})


def test_law_1_the_core_of_http_touches_nothing_outside() -> None:
    """Its modules, and all of ours that those import."""
    left, seen = [f"crawler.fetch.http1.{path.stem}" for path in sources("crawler/fetch/http1")], set[str]()
    while left:
        if (name := left.pop()) not in seen and (path := ROOT / f"{name.replace('.', '/')}.py").exists():
            seen.add(name)
            assert not {one.partition(".")[0] for one in imported(path)} & FORBIDDEN_IN_HTTP1, name
            left += imported(path)
    assert "crawler.fetch.base" in seen


def test_law_2_imports_between_rooms_lead_down() -> None:
    assert house.upward(house.imports()) == []


def test_law_2_there_are_no_import_cycles() -> None:
    assert house.circle(house.imports()) == []


def test_the_checks_find_an_upward_import_and_a_cycle() -> None:
    graph = {
        "crawler.core.a": {"crawler.cli.b"},
        "crawler.cli.b": {"crawler.core.a", "crawler.cli.c"},
        "crawler.cli.c": set(),
    }
    assert house.upward(graph) == [("crawler.core.a", "crawler.cli.b")]
    assert sorted(house.circle(graph)) == ["crawler.cli.b", "crawler.core.a"]
    assert house.circle({"crawler.cli.b": {"crawler.core.a"}, "crawler.core.a": set()}) == []


@pytest.mark.parametrize("room", PURE)
def test_law_2_some_rooms_may_import_less_than_all_rooms_below(room: str) -> None:
    for path in sources(room):
        ours = {name for name in imported(path) if name.split(".")[0] in ("crawler", "variants")}
        misplaced = {name for name in ours if not any(name == ok or name.startswith(ok + ".") for ok in PURE[room])}
        assert not misplaced, f"{path} imports {misplaced}"


def test_the_diagram_shows_the_top_of_the_package() -> None:
    top = {path.name for path in (ROOT / "crawler").iterdir() if not path.name.startswith("__pycache__")}
    assert len(top - {"README.md", "py.typed", "profiles", "REFERENCE.md", "CHANGELOG.md"}) <= 19, top
    drawn = (ROOT / "crawler" / "README.md").read_text().split("```\n")[1]
    assert COUNT.sub("", drawn).rstrip() == COUNT.sub("", house.drawing()), "draw it anew: python -m tests.house"
    for before, now in zip(COUNT.findall(drawn), COUNT.findall(house.drawing()), strict=True):
        before, now = int(before.replace(",", "")), int(now.replace(",", ""))
        assert abs(now - before) <= max(100, now // 10), "draw it anew: python -m tests.house"


def test_law_2_only_the_outermost_rooms_name_the_engines() -> None:
    for path in sources("crawler"):
        relative = str(path.relative_to(ROOT))
        if any(name.split(".")[0] == "variants" for name in imported(path)):
            assert relative.startswith(MAY_NAME_VARIANTS), f"{relative} names an engine"


def test_law_2_engines_are_imported_when_asked_for() -> None:
    for path in sources("crawler"):
        top = ast.parse(path.read_text()).body
        names = {node.module for node in top if isinstance(node, ast.ImportFrom)} | {
            alias.name for node in top if isinstance(node, ast.Import) for alias in node.names
        }
        assert not any((name or "").split(".")[0] == "variants" for name in names), path


def test_law_3_no_function_of_the_core_reads_a_clock() -> None:
    for path in core_sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute):
                assert node.attr not in {"monotonic", "time", "perf_counter", "now", "utcnow", "today"}, (
                    f"{path}:{node.lineno}"
                )


def test_law_4_everything_that_crosses_the_seam_is_a_frozen_message() -> None:
    crossing = [*messages.Event.__args__, messages.Fetch, messages.Settled, messages.Link, messages.HostNote]
    for kind in crossing:
        assert issubclass(kind, messages.Message)
        assert kind.__struct_config__.frozen and kind.__struct_config__.tag
        assert not {"body", "socket", "file"} & set(kind.__struct_fields__)


def test_law_5_the_two_pumps_differ_only_by_await() -> None:
    def lines(function: object) -> list[str]:
        text = inspect.getsource(function)  # type: ignore[arg-type]
        tree = ast.parse(text).body[0]
        assert isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef)
        return [ast.unparse(node).replace("await ", "") for node in tree.body[1:]]

    assert lines(pump.run) == lines(pump.arun)


def test_law_6_the_core_is_silent() -> None:
    for path in core_sources():
        called = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        assert "print" not in {function.id for function in called if isinstance(function, ast.Name)}


def test_law_9_names_are_specific() -> None:
    for path in [*sources("crawler"), *sources("variants")]:
        assert not BANNED_NAMES.search(path.stem), path
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", node.name).lower()
                assert name in OVERRIDDEN or not BANNED_NAMES.search(name), f"{path}:{node.lineno} {node.name}"


def public(tree: ast.Module) -> list[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    """The public classes and functions of a module, and the public methods of these classes."""
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = [node for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")]
    found += [node for one in found if isinstance(one, ast.ClassDef) for node in one.body if isinstance(node, kinds)]
    return [node for node in found if not node.name.startswith("_")]


def raised(function: ast.AST) -> set[str]:
    """The error classes that a function raises itself, not in a nested function."""
    names: set[str] = set()
    for node in ast.iter_child_nodes(function):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.Raise) and node.exc is not None:
            names.add(ast.unparse(node.exc.func if isinstance(node.exc, ast.Call) else node.exc).rpartition(".")[2])
        names |= raised(node)
    return {name for name in names if name[0].isupper()} - {"NotImplementedError", "Exit", "SystemExit"}


@pytest.mark.parametrize(
    "path", [*sources("crawler"), *sources("variants")], ids=lambda path: str(path.relative_to(ROOT))
)
def test_every_public_definition_has_a_docstring_with_what_it_raises(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert path.name == "__init__.py" or ast.get_docstring(tree), "the module does not start with a docstring"
    for node in public(tree):
        text = ast.get_docstring(node)
        assert text, f"line {node.lineno}: {node.name} says nothing"
        is_command = any("command" in ast.unparse(mark) for mark in node.decorator_list)  # its docstring is its help
        if not isinstance(node, ast.ClassDef) and not is_command and raised(node):
            assert "Raises" in text, f"line {node.lineno}: {node.name} raises {raised(node)}"
