"""Every key of the configuration, with its type, its bounds and its default.

Rules:
- `Settings` extends the core's `Rules`, so a key is declared in exactly one place.
- Bounds that a type can express stand here; the others are in crawler/settings/checks.py.
- The keys of SECRET hold logins: they appear in no error, no log and no manifest.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from crawler.core.rules import AtLeastOne, Count, Rules, Seconds
from crawler.fetch.base import ClientPlan, Limits
from crawler.fetch.secrets import Login
from crawler.system.memory import parse_size

RETIRED = {"robots_asks": "host_patience", "breaker_rests": "host_patience"}
"""Keys of earlier versions -> the key that replaces each. They are accepted, ignored and reported."""
Sockets = Annotated[int, Meta(ge=1, le=10_000)]  # each is a file descriptor, and a host may get them all
Workers = Annotated[int, Meta(ge=1, le=1024)]
Timeout = Annotated[float, Meta(gt=0, le=86_400)]
Rate = Annotated[float, Meta(ge=0, le=1e9)]
ACCEPT = "text/html,application/xhtml+xml,*/*;q=0.5"


class Settings(Rules, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole configuration of a run. The fields beyond Rules concern engines, clients and stores only."""

    # engine
    mode: str = "async"
    client: str | None = None
    loop: Literal["auto", "uvloop", "asyncio"] = "auto"
    concurrency: Sockets | None = None
    processes: Workers | None = None
    threads_per_process: Sockets | None = None
    shards: Workers | None = None
    ray_address: str = "local"
    heartbeat: Seconds = 0.0
    spin: Seconds = 0.0
    arrivals: Rate = 0.0
    max_memory: str | None = None

    # what and where
    seeds: tuple[str, ...] = ()
    out: str | None = None
    frontier: str = "sqlite"
    frontier_password: str = ""
    store: str = "sqlite"
    store_endpoint: str = ""
    store_region: str = "us-east-1"
    store_key: str = ""
    store_secret: str = ""
    disk_wait: Seconds = 0.0
    disk_reserve: Count | None = None
    report: bool = True
    fail_on: tuple[str, ...] = ()
    on_end: str = ""

    # re-crawls
    revalidate_every: AtLeastOne = 10
    keep_generations: AtLeastOne | None = None
    revisit: Literal["all", "adaptive"] = "all"
    revisit_budget: AtLeastOne | None = None
    revisit_longest: Seconds = 30 * 86_400.0

    # functions of the user, "module:name"
    filter: str = ""
    on_page: str = ""
    on_error: str = ""
    on_progress: str = ""

    # fetch
    connect_timeout: Timeout = 10.0
    first_byte_timeout: Timeout = 20.0
    idle_timeout: Timeout = 15.0
    timeout: Timeout = 60.0
    min_rate: Rate = 100.0
    max_body: AtLeastOne = 10 * 1024 * 1024
    attempt_header: str = ""
    ca_file: str = ""
    resolve: dict[str, str] = msgspec.field(default_factory=dict)
    allow_networks: tuple[str, ...] = ()
    trust_seeds: bool = True
    headers: dict[str, dict[str, str]] = msgspec.field(default_factory=dict)
    credentials: dict[str, Login] = msgspec.field(default_factory=dict)
    proxy: str = ""
    proxies: dict[str, str] = msgspec.field(default_factory=dict)
    proxy_credentials: dict[str, Login] = msgspec.field(default_factory=dict)

    def __repr__(self) -> str:
        shown = (f"{key}={getattr(self, key)!r}" for key in KEYS if key not in SECRET)
        return f"Settings({', '.join(shown)})"

    @property
    def secret_origins(self) -> tuple[str, ...]:
        """The origins and proxies that headers or credentials are configured for, sorted."""
        return tuple(sorted({*self.headers, *self.credentials, *self.proxy_credentials}))

    @property
    def has_proxies(self) -> bool:
        """Whether some host is fetched through a proxy."""
        return bool(self.proxy or self.proxies)

    @property
    def memory(self) -> int | None:
        """Bytes that the process tree of a run may use; None: crawler/runtime/memory_plan.py decides."""
        return None if self.max_memory is None else parse_size(self.max_memory)

    def client_plan(self, connections: int) -> ClientPlan:
        """The parameters of an HTTP client with this many connections."""
        from crawler.fetch.base import ACCEPT_ENCODING
        from crawler.fetch.net.guard import naming

        return ClientPlan(
            limits=Limits(
                connect=min(self.connect_timeout, self.timeout),
                first_byte=min(self.first_byte_timeout, self.timeout),
                idle=min(self.idle_timeout, self.timeout),
                total=self.timeout,
                min_rate=self.min_rate,
                max_body=max(self.max_body, self.robots_size + 1),
            ),
            headers=(("User-Agent", self.user_agent), ("Accept", ACCEPT), ("Accept-Encoding", ACCEPT_ENCODING)),
            resolve=self.resolve,
            connections=connections,
            ca_file=self.ca_file,
            seeds=naming(self.seeds, self.resolve) if self.trust_seeds else (),
            networks=self.allow_networks,
            proxy=self.proxy,
            proxies=self.proxies,
            proxy_logins={url: f"{login.user}:{login.password}" for url, login in self.proxy_credentials.items()},
        )


KEYS = Settings.__struct_fields__
SECRET = ("headers", "credentials", "proxy_credentials")
NOT_KEPT = (*SECRET, "on_end")
"""What no crawl directory has: logins, and a command that would run when the directory is crawled again."""
