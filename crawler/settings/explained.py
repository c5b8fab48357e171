"""What each key means, and where its value comes from.

Rules:
- default.toml is the only place where a key is explained, so a reader of the file and of the command line see the same.
- Ranges come from the types of `Settings`, which are what is checked.
- The values of SECRET are never shown.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from crawler.errors import UsageError
from crawler.settings.keys import KEYS, RETIRED, SECRET, Settings
from crawler.settings.layers import merge_layers, profiles_folder, refuse_unknown

ASSIGNED = re.compile(r"(?:# )?([a-z_]+) = (.*)")
BOUNDS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
KINDS = {"integer": "a whole number", "number": "a number", "string": "text", "boolean": "true or false"}
DEFAULT = "default"
Layer = tuple[str, Mapping[str, Any]]
"""Where it comes from, and the keys that it sets."""


class Explained(NamedTuple):
    """A key: its comment in default.toml, its type with its range, and its default as TOML ("none": there is none)."""

    text: str
    kind: str
    default: str


def commented_default() -> str:
    """The text of default.toml: every key with its default and a comment."""
    return (profiles_folder() / "default.toml").read_text(encoding="utf-8")


def explain(key: str) -> Explained:
    """What default.toml and the type say of a key. Raises UsageError where there is no such key."""
    refuse_unknown({key: None}, "the command line")
    if key in RETIRED:
        raise UsageError(f"the key {key!r} has no effect any more; {RETIRED[key]!r} is in its place")
    text, default = texts(commented_default())[key]
    schema = msgspec.json.schema(Settings)["$defs"]["Settings"]["properties"][key]
    return Explained(text, kind(schema), default)


def texts(commented: str) -> dict[str, tuple[str, str]]:
    """Each key of a commented TOML file: the comment above it, and its value as it is written there. Keys that follow
    one another share a comment."""
    found: dict[str, tuple[str, str]] = {}
    comment: list[str] = []
    above = ""
    for line in commented.splitlines():
        if assigned := ASSIGNED.fullmatch(line):
            comment, above = [], "\n".join(comment) or above
            found[assigned[1]] = (above, assigned[2])
        elif line.startswith("#"):
            comment.append(line[1:].removeprefix(" "))
        else:
            comment = []
    return found


def kind(schema: Mapping[str, Any]) -> str:
    """The type of a JSON schema in words, with its range."""
    if "anyOf" in schema:
        return f"{kind(schema['anyOf'][0])}, or unset"
    if "enum" in schema:
        return "one of " + ", ".join(map(json.dumps, schema["enum"]))
    if schema["type"] == "array":
        among = schema["items"].get("enum")
        return "a list" if among is None else f"a list of {', '.join(map(json.dumps, among))}"
    if schema["type"] == "object":
        return "a table"
    bounds = [f"{sign} {schema[bound]:,.12g}" for bound, sign in BOUNDS.items() if bound in schema]
    return ", ".join([KINDS[schema["type"]], *bounds])


def with_origins(layers: Sequence[Layer]) -> Iterator[tuple[str, str, str]]:
    """Each key, its value after all layers as TOML, and the name of the layer that it comes from. Raises UsageError."""
    settings = merge_layers(*(layer for _, layer in layers))
    defaults = Settings()
    for key in KEYS:
        value = getattr(settings, key)
        origin = next((name for name, layer in reversed(layers) if key in layer), DEFAULT)
        if origin == DEFAULT and value != getattr(defaults, key):
            origin = "follows other keys"
        shown = f"({len(value)} set, not shown)" if key in SECRET and value else as_toml(msgspec.to_builtins(value))
        yield key, shown, origin


def as_toml(value: Any) -> str:
    """A value as TOML on one line; "none" for None."""
    if isinstance(value, dict):
        pairs = ", ".join(f"{json.dumps(key)} = {as_toml(one)}" for key, one in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    return "none" if value is None else json.dumps(value)
