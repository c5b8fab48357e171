"""The manifest `crawl.json` of a crawl directory: format, checksum, and how a lost one is rebuilt.

Rules:
- The last key is the checksum of all bytes before it. A file that does not match it was edited or damaged: that is
  reported in one line, and `repair` rewrites it. (Settings that may change are set on the command line of `resume`.)
- It is replaced atomically (written beside, synced, renamed), and exists before anything it names.
- Format 3 had no checksum.
- Each frontier has a copy in its table `meta`, made when a run begins. A lost manifest is rebuilt from the newest valid
  copy. Its `layout` is not trusted: the next run checks every row.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace
from xxhash import xxh3_64_hexdigest

from crawler.errors import Corrupt, StorageError, UsageError
from crawler.settings import NOT_KEPT, Settings
from crawler.storage.database import row_checksum, storage_errors
from crawler.storage.frontier.meta import MANIFEST as COPY
from crawler.storage.recovery import first_rows
from crawler.system.failpoints import passing
from crawler.system.invocation import called

MANIFEST = "crawl.json"
FORMAT = 4
OLDEST = 3
"""The oldest format that is still read; a run that writes to such a crawl upgrades it to FORMAT."""
WITHOUT_CHECKSUM = 3
ALWAYS_KEPT = ("lease", "scope")
"""Keys that are stored even where they have their default."""
OLD_SCOPE = "host"
"""The scope of a manifest that has none: the default before it was "site"."""
MARK = b',\n  "checksum": "'
END = b'"\n}\n'
BESIDE = f".{MANIFEST}"
MOST_COSTS = 20
"""Number of last runs whose cost is kept."""


def rebuild_hint(path: Path) -> str:
    """The command that rebuilds the crawl in `path`."""
    return f"rebuild it: {called()} repair {path}"


class RunCost(msgspec.Struct, frozen=True):
    """The cost of one run with all its processes: seconds of CPU, and the peak of their memory in bytes."""

    run: int
    mode: str
    client: str
    cpu_seconds: float
    peak_memory: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The content of `crawl.json`. `settings` are the keys of the last run that differ from the defaults, without
    secrets: of those only the origins are kept, `secret_origins`. `to_unix` is the offset (seconds) from its monotonic
    clock, of that `boot`, to Unix time. `ending` is that of the last run, "" while it runs and where it was killed;
    `again` names what is being reopened, see crawler/storage/reopening.py; `adding`: a run was given more seeds than
    the runs before it, and none has completed since. `chosen_at`: the Unix time for which a re-crawl has chosen what is
    due, 0.0 where it asks for everything. `costs` are those of the last runs that ended by themselves."""

    format: int
    seed: int
    runs: int
    demo: bool
    settings: dict[str, Any]
    shards: int = 1
    layout: str = ""
    moves: int = 0
    boot: str = ""
    to_unix: float = 0.0
    secret_origins: tuple[str, ...] = ()
    ending: str = ""
    again: tuple[str, ...] = ()
    adding: bool = False
    chosen_at: float = 0.0
    costs: tuple[RunCost, ...] = ()


def encode(manifest: Manifest) -> bytes:
    """The bytes of the file, with the checksum."""
    head = msgspec.json.format(msgspec.json.encode(manifest)).removesuffix(b"\n}")
    return head + MARK + xxh3_64_hexdigest(head).encode() + END


def read(path: Path) -> Manifest:
    """The manifest of a directory. Raises UsageError where it is no crawl, Corrupt where the manifest is damaged or
    missing, StorageError for an unknown format."""
    file = path / MANIFEST
    try:
        content = file.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        if is_lost(path):
            raise Corrupt(f"{file} is missing; {rebuild_hint(path)}") from None
        raise UsageError(f"{path} is not a crawl (no {MANIFEST} in it)") from None
    except OSError as error:
        raise StorageError(f"cannot read {file}: {error.strerror}") from error
    head, mark, rest = content.rpartition(MARK)
    if mark and rest != xxh3_64_hexdigest(head).encode() + END:
        raise Corrupt(f"{file} is damaged, or was edited; {rebuild_hint(path)}")
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise Corrupt(f"{file} is damaged ({error}); {rebuild_hint(path)}") from error
    if not OLDEST <= manifest.format <= FORMAT:
        age = "a newer" if manifest.format > FORMAT else "an older"
        raise StorageError(
            f"{path} has format {manifest.format}, this version reads formats {OLDEST} to {FORMAT}; "
            f"use {age} version of the crawler"
        )
    if not mark and manifest.format > WITHOUT_CHECKSUM:
        raise Corrupt(f"{file} is damaged, or was edited; {rebuild_hint(path)}")
    manifest.settings.setdefault("scope", OLD_SCOPE)
    return manifest


def write(path: Path, manifest: Manifest) -> None:
    """Replace the manifest of a directory atomically. Raises StorageError."""
    file, beside = path / MANIFEST, path / BESIDE
    with storage_errors(file):
        with beside.open("wb") as written:
            written.write(encode(manifest))
            written.flush()
            os.fsync(written.fileno())
        passing("manifest.replace")
        beside.replace(file)


def differing(settings: Settings) -> dict[str, Any]:
    """The keys that differ from the defaults, but for those in NOT_KEPT, as plain values."""
    mine, defaults = msgspec.to_builtins(settings), msgspec.to_builtins(Settings())
    told = (key for key in mine if key not in NOT_KEPT)
    return {key: mine[key] for key in told if mine[key] != defaults[key] or key in ALWAYS_KEPT}


def is_lost(path: Path) -> bool:
    """Whether a directory has frontiers but no manifest."""
    return not (path / MANIFEST).is_file() and any(path.glob("shard-*/frontier.sqlite"))


def rebuilt(path: Path) -> Manifest:
    """The manifest rebuilt from the copies in the frontiers. Raises Corrupt where there is no valid copy."""
    copies = [copy for file in sorted(path.glob("shard-*/frontier.sqlite*")) for copy in _copies(file)]
    if not copies:
        raise Corrupt(
            f"{path / MANIFEST} cannot be rebuilt: no frontier has a copy of it (those of format 3 never do); "
            "restore it from a backup, or start a new crawl in another directory"
        )
    newest = max(copies, key=lambda copy: copy.runs)
    return replace(newest, layout="", moves=max(copy.moves for copy in copies) + 1)


def _copies(file: Path) -> list[Manifest]:
    if file.name.endswith(("-wal", "-shm")):
        return []
    found = []
    for value, checksum in first_rows(file, f"SELECT value, checksum FROM meta WHERE key = '{COPY}'"):
        if row_checksum(COPY, value) == checksum:
            found.append(msgspec.json.decode(str(value), type=Manifest))
    return found
