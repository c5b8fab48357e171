"""JSON Merge Patch (RFC 7396): what a client sends to change a record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from crawler.service.errors import Invalid

T = TypeVar("T", bound=msgspec.Struct)


def merge_patch(target: Any, patch: Any) -> Any:
    """`target` with a patch applied: objects are merged, null removes, anything else replaces."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def patch_between(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """The patch that makes `after` of `before`."""
    patch: dict[str, Any] = {key: None for key in before if key not in after}
    for key, value in after.items():
        old = before.get(key)
        nested = isinstance(old, Mapping) and isinstance(value, Mapping)
        patch[key] = patch_between(old or {}, value) if nested else value
    return patch


def patched(record: T, patch: Mapping[str, Any]) -> T:
    """A record with a patch applied. Raises Invalid where the result is none."""
    merged = merge_patch(msgspec.to_builtins(record), patch)
    try:
        return msgspec.convert(merged, type(record))
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `$.")
        raise Invalid(path.rstrip("`") or next(iter(patch), ""), text[:1].lower() + text[1:]) from error
