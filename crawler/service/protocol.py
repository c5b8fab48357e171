"""What the service and the process of a run say to each other: one JSON object a line, in both directions.

Rules:
- Orders go to the standard input of the child, its messages come from its standard output. What it or a library prints
  goes to standard error, so that nothing else is on the line.
- An order sets a state (`limits` sets all three of them), so an order that comes twice changes nothing.
- A line that is too long or no message is a fault of the child: it is recorded and left out.
"""

from __future__ import annotations

from typing import Any

import msgspec

from crawler.service.records import RunProgress

LONGEST_LINE = 1 << 20


class RunOrder(msgspec.Struct, frozen=True, tag_field="op"):
    """The base of what a child is told to do."""


class PauseRun(RunOrder, frozen=True, tag="pause"):
    """Start no fetch."""


class ResumeRun(RunOrder, frozen=True, tag="resume"):
    """Start fetches again."""


class StopRun(RunOrder, frozen=True, tag="stop"):
    """Drain, then end."""


class LimitRun(RunOrder, frozen=True, tag="limits"):
    """Obey these limits, None: those of the settings; see crawler.core.messages.LiveLimits."""

    delay: float | None = None
    concurrency: int | None = None
    per_host: int | None = None


class ChildMessage(msgspec.Struct, frozen=True, tag_field="type"):
    """The base of what a child tells."""


class ChildStarted(ChildMessage, frozen=True, tag="started"):
    """The crawl begins, or goes on, in this mode."""

    pid: int
    mode: str


class ChildProgress(ChildMessage, frozen=True, tag="progress"):
    """How far it is; told every second."""

    progress: RunProgress


class ChildEnded(ChildMessage, frozen=True, tag="ended"):
    """The crawl has ended; `summary` has the keys of `--json`."""

    exit_code: int
    summary: dict[str, Any]


AnyOrder = PauseRun | ResumeRun | StopRun | LimitRun
AnyMessage = ChildStarted | ChildProgress | ChildEnded

encode_line = msgspec.json.Encoder().encode
"""An order or a message without the line end: JSON escapes those inside."""
decode_order = msgspec.json.Decoder(AnyOrder).decode
decode_message = msgspec.json.Decoder(AnyMessage).decode
