"""The configuration of the service: the table `[service]` of a TOML file.

Rules:
- Sizes are written as "200M" or "2G", times are seconds.
- The command of `on_end` stands here and nowhere else: a user of the API must not be able to start programs.
"""

from __future__ import annotations

import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from crawler.errors import UsageError
from crawler.service.records import OnEnd
from crawler.system.memory import parse_size

Timeout = Annotated[float, Meta(ge=0, le=86_400)]


class OnEndOfAll(OnEnd, frozen=True):
    """Who is told of the end of every run: a `url`, as for a job, and a `command` with its arguments."""

    command: tuple[str, ...] = ()


class ServiceConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the service runs.

    At most `max_running` runs crawl, `max_queued` wait. Below `disk_floor` of free space all runs pause. `keep_runs`
    newest directories are kept, those younger than `keep_days`, and `keep_bytes` in all; None: no such bound. The log
    of a run keeps its last `log_bytes`. A stopped run may drain for `stop_timeout`, then it gets SIGTERM, and SIGKILL
    after another `kill_timeout`. Secrets of jobs lie in `secrets_dir`. `allowed_hosts`: names besides localhost under
    which the service answers.
    """

    max_running: Annotated[int, Meta(ge=1, le=1000)] = 2
    max_queued: Annotated[int, Meta(ge=1, le=100_000)] = 100
    disk_floor: str = "1G"
    keep_runs: Annotated[int, Meta(ge=1)] | None = None
    keep_days: Annotated[float, Meta(gt=0)] | None = None
    keep_bytes: str | None = None
    log_bytes: str = "10M"
    stop_timeout: Timeout = 30.0
    kill_timeout: Timeout = 10.0
    secrets_dir: str | None = None
    allowed_hosts: tuple[str, ...] = ()
    on_end: OnEndOfAll = OnEndOfAll()

    @property
    def floor(self) -> int:
        """`disk_floor` in bytes."""
        return parse_size(self.disk_floor)

    @property
    def most_kept(self) -> int | None:
        """`keep_bytes` in bytes."""
        return None if self.keep_bytes is None else parse_size(self.keep_bytes)

    @property
    def most_log(self) -> int:
        """`log_bytes` in bytes."""
        return parse_size(self.log_bytes)


def read_config(path: Path | None) -> ServiceConfig:
    """The configuration in a file, or the default. Raises UsageError."""
    if path is None:
        return ServiceConfig()
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read configuration {path}: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from error
    if strange := sorted(tables.keys() - {"service"}):
        raise UsageError(f"unknown table {strange[0]!r} in {path}; the keys of the service stand in [service]")
    return parse_config(tables.get("service", {}), str(path))


def parse_config(table: dict[str, object], where: str) -> ServiceConfig:
    """The configuration in a table of `where`. Raises UsageError."""
    known = ServiceConfig.__struct_fields__
    for key in table:
        if key not in known:
            close = get_close_matches(key, known, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else f" (there are: {', '.join(known)})"
            raise UsageError(f"unknown key {key!r} in [service] of {where}{hint}")
    try:
        config = msgspec.convert(table, ServiceConfig)
    except msgspec.ValidationError as error:
        raise UsageError(f"bad value in [service] of {where}: {error}") from error
    for key in ("disk_floor", "keep_bytes", "log_bytes"):
        size = getattr(config, key)
        try:
            parse_size(size or "0")
        except ValueError as error:
            raise UsageError(f"bad value for {key} = {size!r} in {where}: {error}") from None
    return config
