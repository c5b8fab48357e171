"""The layers of the package by its imports: `python -m tests.house` prints the rooms, from the top layer down, and
writes them to `crawler/README.md`.

A room is a folder or a module at the top of `crawler/`, or `variants`. An arrow is an import, wherever it stands: in
functions and for type checkers, too. `FLOORS` is the order from the ground up; every arrow leads down.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FLOORS = (
    *("errors", "system", "core", "metrics", "fetch", "settings", "testweb", "storage", "pipeline", "runtime"),
    *("variants", "report", "run", "api", "compare", "bench", "service", "cli", "__main__"),
)
PURPOSE = {
    "__main__": "the command `python -m crawler`",
    "cli": "the commands",
    "service": "runs and schedules behind an HTTP API, with a dashboard",
    "bench": "this crawler against raw loops and other crawlers",
    "compare": "engines side by side, and the report of it",
    "api": "crawl() and acrawl() for programs",
    "run": "one run in one directory, from its lock to its summary",
    "report": "one crawl as a page of HTML",
    "variants": "the engines: async, threads, processes, prefork",
    "runtime": "what every engine is given: job, recorder, limits",
    "pipeline": "from a response to a stored page",
    "storage": "all that is durable: directory, frontier, pages, verify, repair",
    "testweb": "the demo web, its oracle and its referee",
    "settings": "every key of the configuration",
    "fetch": "one request, one response: the clients",
    "metrics": "numbers that add up: counters, histograms, the summary",
    "core": "every decision, pure: no clock, no I/O",
    "system": "what is asked of the operating system",
    "errors": "what may be raised",
}
Graph = dict[str, set[str]]


def modules() -> dict[str, Path]:
    """Every module by its dotted name."""
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for top in ("crawler", "variants")
        for path in sorted((ROOT / top).rglob("*.py"))
    }


def imports() -> Graph:
    """The modules of this project that each module imports."""
    known = modules()
    return {name: set(_imported(path, known)) - {name} for name, path in known.items()}


def _imported(path: Path, known: dict[str, Path]) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module in known:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in known else node.module for name in names)


def room(module: str) -> str:
    """The room of a module; "" for the package itself, which is in no layer."""
    parts = module.split(".")
    return "variants" if parts[0] == "variants" else parts[1] if len(parts) > 1 else ""


def upward(graph: Graph) -> list[tuple[str, str]]:
    """The imports between rooms that do not lead down. Raises KeyError for a room that is in no layer."""
    floor = {name: number for number, name in enumerate(FLOORS)}
    return [
        (name, other)
        for name, others in graph.items()
        for other in sorted(others)
        if room(name) != room(other) and room(name) and room(other) and floor[room(name)] <= floor[room(other)]
    ]


def circle(graph: Graph) -> list[str]:
    """The modules in import cycles: modules that import none of the remaining ones are removed one after another; those
    that remain import themselves indirectly."""
    left = {name: set(others) for name, others in graph.items()}
    while leaves := [name for name, others in left.items() if not others & left.keys()]:
        for name in leaves:
            del left[name]
    path = [min(left)] if left else []
    while path and (following := min(left[path[-1]] & left.keys())) not in path:
        path.append(following)
    return path[path.index(following) :] if path else []


def drawing() -> str:
    """The layers from the top down: lines of code, purpose, and the rooms that each one imports."""
    graph, sizes = imports(), dict.fromkeys(FLOORS, 0)
    below: dict[str, set[str]] = {name: set() for name in FLOORS}
    for name, path in modules().items():
        if room(name):
            sizes[room(name)] += len(path.read_text().splitlines())
            below[room(name)] |= {room(other) for other in graph[name]} - {room(name), ""}
    lines = []
    for name in reversed(FLOORS):
        rooms = " ".join(other for other in reversed(FLOORS) if other in below[name])
        lines.append(f"{name:<10}{round(sizes[name], -2) or 100:>7,}  {PURPOSE[name]}")
        lines.append(f"{'':<19}-> {rooms}" if rooms else "")
    return "\n".join(line for line in lines if line)


def main() -> None:
    """Print the diagram and write it to crawler/README.md."""
    readme = ROOT / "crawler" / "README.md"
    before, fence, rest = readme.read_text().partition("```\n")
    _, end, after = rest.partition("\n```")
    readme.write_text(before + fence + drawing() + end + after)
    print(drawing())


if __name__ == "__main__":
    main()
