"""What lies in the database of the service and what its API tells: frozen records.

Rules:
- Times are Unix seconds, durations seconds, sizes bytes; None where a thing has not happened yet or has no limit.
- What a client sends (JobSpec, ScheduleSpec, RunLimits) has no unknown keys, and a bound on every value; what the
  service tells is built from rows and needs none.
- A command that is run when a run ends stands in the configuration of the service only: whoever may use the API must
  not be able to start programs.
"""

from __future__ import annotations

from typing import Annotated, Any, Generic, Literal, TypeVar

import msgspec
from msgspec import Meta

from crawler.service.core.states import RunReason, RunState

T = TypeVar("T")
TokenScope = Literal["read", "admin"]
Overlap = Literal["skip", "queue", "cancel", "allow"]
JobName = Annotated[str, Meta(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*\Z")]
Tag = Annotated[str, Meta(min_length=1, max_length=50)]
Share = Annotated[float, Meta(ge=0, le=1)]
MONTH = 31 * 86_400


class Sent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The base of what clients send."""


class Expect(Sent, frozen=True):
    """What a run has to bring. `max_error_share` is of the URLs asked for, `max_drop` how much fewer pages than the run
    before (0.2: a fifth). An unmet one makes a success degraded, with `fail` a failure."""

    min_pages: Annotated[int, Meta(ge=0)] | None = None
    max_error_share: Share | None = None
    max_drop: Share | None = None
    fail: bool = False


class Retry(Sent, frozen=True):
    """How often a failed run is tried again. The first wait doubles from attempt to attempt, up to an hour."""

    attempts: Annotated[int, Meta(ge=0, le=20)] = 0
    first_wait: Annotated[float, Meta(ge=1, le=3600)] = 60.0


class OnEnd(Sent, frozen=True):
    """Who is told that a run has ended: `url` gets a POST with the run as JSON, and `diff`: what a run that
    crawled again has changed."""

    url: Annotated[str, Meta(max_length=2000, pattern=r"^https?://\S+\Z")] | None = None


class JobSpec(Sent, frozen=True):
    """A job as it is sent. `settings`: the keys of the TOML configuration, and `profile`. `recrawl`: each run asks what
    the run before has again, instead of beginning with nothing."""

    name: JobName
    settings: dict[str, Any] = {}
    tags: Annotated[tuple[Tag, ...], Meta(max_length=20)] = ()
    expect: Expect = Expect()
    retry: Retry = Retry()
    recrawl: bool = False
    on_end: OnEnd = OnEnd()


class JobRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A job: what is crawled, under which settings."""

    id: str
    name: str
    settings: dict[str, Any]
    tags: tuple[str, ...]
    expect: Expect
    retry: Retry
    recrawl: bool
    on_end: OnEnd
    created_at: float
    updated_at: float


class RunLimits(Sent, frozen=True):
    """Limits of a run while it runs; None: as its settings have it. `delay` can only grow beyond what settings and
    robots.txt demand; `concurrency` and `per_host` can only fall below the settings."""

    delay: Annotated[float, Meta(ge=0, le=86_400)] | None = None
    concurrency: Annotated[int, Meta(ge=1, le=100_000)] | None = None
    per_host: Annotated[int, Meta(ge=1, le=100_000)] | None = None


class RunRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a job, and the crawl directory it works in.

    `job` and `job_name` of its job, which may be gone; `settings` of this run, those of its job with its own on top;
    `schedule` and `due` of the tick it comes from; `attempt` counts from 1, `retry_of` is the run that it tries again;
    `not_before` is when a retry may start; `directory` is relative to the data folder and may be shared by the runs of
    a job; `starts` counts processes, `crashes` those in a row that died without a page; `limits` were set while it ran;
    `exit_code` and `signal` are those of the last process, `stderr` its last lines; `unmet` tells each expectation that
    is not met; `removed`: the directory is gone, or the generation was dropped. `generation` of the directory that it
    works on, None until it first starts, see core/recrawls.py.
    """

    id: str
    job: str
    job_name: str
    state: RunState
    directory: str
    created_at: float
    reason: RunReason | None = None
    mode: str = ""
    settings: dict[str, Any] = {}
    recrawl: bool = False
    generation: int | None = None
    schedule: str | None = None
    due: float | None = None
    attempt: int = 1
    retry_of: str | None = None
    not_before: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    starts: int = 0
    crashes: int = 0
    limits: RunLimits = RunLimits()
    summary: dict[str, Any] | None = None
    exit_code: int | None = None
    signal: int | None = None
    stderr: str = ""
    unmet: tuple[str, ...] = ()
    removed: bool = False


class Transition(msgspec.Struct, frozen=True):
    """A run came into `state`, at this time, for this reason."""

    run: str
    state: RunState
    reason: RunReason | None
    at: float


class ScheduleSpec(Sent, frozen=True):
    """A schedule as it is sent. `job`: an id or a name; `cron` in the `zone`, a name of the IANA database; `overlap`:
    what happens where the run before has not ended; `catchup`: how late a tick may still start; `jitter`: by how much
    each tick is put off at most."""

    job: Annotated[str, Meta(min_length=1, max_length=100)]
    cron: Annotated[str, Meta(min_length=1, max_length=200)]
    zone: Annotated[str, Meta(min_length=1, max_length=64)] = "UTC"
    overlap: Overlap = "skip"
    catchup: Annotated[float, Meta(ge=0, le=MONTH)] = 3600.0
    jitter: Annotated[float, Meta(ge=0, le=86_400)] = 0.0
    paused: bool = False


class ScheduleRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule: when a job is run. `job` is an id; `next_due`: None where it is paused or never due again;
    every tick up to `decided` has become a run or a row that says why not."""

    id: str
    job: str
    cron: str
    zone: str
    overlap: Overlap
    catchup: float
    jitter: float
    paused: bool
    created_at: float
    updated_at: float
    next_due: float | None = None
    decided: int = 0


class TickRecord(msgspec.Struct, frozen=True):
    """What became of a tick: a `run`, or the `reason` why there is none. `missed` counts the ticks that it stands
    for."""

    schedule: str
    due: float
    run: str | None
    reason: RunReason | None
    missed: int = 1


class HostLoad(msgspec.Struct, frozen=True):
    """What one host was asked in a run; `seconds` sums the durations of its fetches."""

    host: str
    fetched: int
    failed: int
    seconds: float


class RunProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a run is, at a time. `rate` is in URLs per second over the last ten, `eta` in seconds; `paused` is why no
    fetch starts, "" where fetches do; `fetch_seconds` sums the durations of the fetches that settled a URL; `reasons`
    counts the URLs that ended otherwise than well, `responses` those that were answered, by the class of the status
    ("2xx"); `top_hosts` are those with most fetches."""

    at: float
    urls: int = 0
    pages: int = 0
    bytes: int = 0
    rate: float = 0.0
    queue: int = 0
    in_flight: int = 0
    hosts_in_flight: int = 0
    errors: int = 0
    eta: float | None = None
    paused: str = ""
    settled: int = 0
    hosts: int = 0
    fetch_seconds: float = 0.0
    reasons: dict[str, int] = {}
    responses: dict[str, int] = {}
    top_hosts: tuple[HostLoad, ...] = ()


class ServiceEvent(msgspec.Struct, frozen=True):
    """What the stream of events sends: `data` is the record that has changed, as builtins."""

    type: Literal["run", "progress", "schedule", "tick", "job", "disk", "notice"]
    at: float
    data: dict[str, Any]


class Listing(msgspec.Struct, Generic[T], frozen=True):
    """One page of a list; `next` is the cursor of the following one, None on the last."""

    items: list[T]
    next: str | None = None


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """What runs, what waits, what is due and what went wrong lately."""

    running: list[RunRecord]
    queued: list[RunRecord]
    due: list[ScheduleRecord]
    troubles: list[RunRecord]
    disk_free: int
    disk_full: bool


class StoredRun(msgspec.Struct, frozen=True):
    """What the directory of a run keeps. Runs that share a `directory` (below the data folder) share its bytes and
    files, too. `removed_next`: retention removes it at the next occasion."""

    run: str
    directory: str
    bytes: int
    files: int
    removed_next: bool = False


class TokenRecord(msgspec.Struct, frozen=True):
    """A token of the API; of its secret only a hash is stored."""

    id: str
    name: str
    scope: TokenScope
    created_at: float


class StoredToken(TokenRecord, frozen=True):
    """A token as it is stored: with the SHA-256 of its secret, in hexadecimal."""

    hash: str = ""


class NewToken(msgspec.Struct, frozen=True):
    """A token that was just made: the only time that its `secret` is shown."""

    token: TokenRecord
    secret: str
