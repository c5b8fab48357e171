"""What the service refuses, and why.

CrawlerError
├── UsageError
│   └── ServiceError      the base of these
│       ├── NotFound      no job, run, schedule or token has this name
│       ├── Conflict      the state of a thing forbids what was asked
│       ├── QueueFull     as many runs wait as may
│       └── Invalid       a value that cannot be used, with its key
└── StorageError          service.sqlite, its lock or the data folder (crawler/errors.py)

Messages are one line and say what to do.
"""

from __future__ import annotations

from crawler.errors import UsageError


class ServiceError(UsageError):
    """The base of what a request can be refused for."""


class NotFound(ServiceError):
    """There is no such job, run, schedule or token. `kind` is one of these words, `ref` what was asked for."""

    def __init__(self, kind: str, ref: str) -> None:
        super().__init__(f"there is no {kind} {ref!r}")
        self.kind = kind
        self.ref = ref


class Conflict(ServiceError):
    """The state of a job, run or schedule forbids this; `state` is that state."""

    def __init__(self, text: str, state: str) -> None:
        super().__init__(text)
        self.state = state


class QueueFull(ServiceError):
    """As many runs wait as `max_queued` allows."""

    def __init__(self, most: int) -> None:
        super().__init__(f"{most} runs wait already; try again later, or raise max_queued")
        self.most = most


class Invalid(ServiceError):
    """A value cannot be used. `key` is its dotted name ("settings.delay"), `nearest` a key that may have been meant."""

    def __init__(self, key: str, text: str, nearest: str | None = None) -> None:
        super().__init__(text)
        self.key = key
        self.nearest = nearest
