"""Functions of the user, by name: "module:name", found where Python finds modules, and in the current directory.

Rules:
- A function that is given as an object gets the name by which another process could import it. That name is what a
  crawl keeps. For a function of the program itself it begins with the name of its file: "program:keep".
- A lambda or a nested function has a name, too, but no other process finds it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from difflib import get_close_matches
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from crawler.errors import UsageError

MOST_SHOWN = 10


def find_function(key: str, name: str) -> Callable[..., Any] | None:
    """The function that the value `name` of a key means, None for "". Raises UsageError."""
    if not name:
        return None
    where, colon, what = name.partition(":")
    if not (where and colon and what):
        raise UsageError(f"bad value for {key} = {name!r}: expected module:name")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)  # last, so that it hides nothing
    try:
        module = import_module(where)
    except Exception as error:  # whatever the module does when it is imported
        raise UsageError(f"{key}: cannot import {where} of {name!r}: {type(error).__name__}: {error}") from error
    found: Any = module
    for part in what.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        raise UsageError(f"{key}: {where} has no function {what!r}{_instead(what, module)}")
    return found  # type: ignore[no-any-return]


def function_name(function: Callable[..., object]) -> str:
    """The name of a function, "module:name"."""
    plain = function.func if isinstance(function, partial) else function
    where = getattr(plain, "__module__", None) or type(plain).__module__
    what = getattr(plain, "__qualname__", None) or type(plain).__qualname__
    if where == "__main__":
        main = sys.modules["__main__"]
        spec, path = getattr(main, "__spec__", None), getattr(main, "__file__", None)
        where = spec.name if spec else Path(path).stem if path else where
    return f"{where}:{what}"


def _instead(what: str, module: Any) -> str:
    """What a module has instead of a function of this name."""
    there = sorted(
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and callable(value) and getattr(value, "__module__", None) == module.__name__
    )
    if close := get_close_matches(what, there, n=1):
        return f"; did you mean {close[0]!r}?"
    return f" (it has: {', '.join(there[:MOST_SHOWN])})" if there else ", nor any other"
