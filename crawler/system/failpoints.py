"""Failpoints: places in the crawler where tests inject a fault, such as a crash or a failing disk.

    CRAWLER_FAILPOINTS="NAME=ACTION[~SECONDS][@WHEN] ... [log=FILE]"

- NAME is one of POINTS. ACTION is `kill` (SIGKILL of this process; with ~SECONDS that much later, while it goes on),
  `sleep` (for ~SECONDS) or the name of an error like ENOSPC, which is raised as an OSError; only the points in DISK
  take that.
- WHEN counts the passes of this process: `3` is the third, `3+` that and each later one, `0.01` a probability for each.
  Without it: each time.
- `log` gets a line for each that fires: monotonic time, process, NAME. With it a point fires once, in the first process
  that reaches it, so that the replacement of a killed process survives.

Without the variable, which is the normal case, passing a point costs one lookup in an empty dict.
"""

from __future__ import annotations

import errno
import math
import os
import random
import re
import signal
import threading
from difflib import get_close_matches
from itertools import count
from pathlib import Path
from time import monotonic, sleep

from crawler.errors import UsageError

VARIABLE = "CRAWLER_FAILPOINTS"
DISK = {
    "store.body": "a body is written, beside its name",
    "store.flush": "records are written, not committed",
    "store.close": "all is committed, the part is about to be closed, which writes its log back",
    "frontier.commit": "rows are written, not committed",
    "frontier.reopen": "settled rows are owed again, not committed",
    "frontier.close": "all is committed, the frontier is about to be closed, which writes its log back",
    "layout.copied": "rows are in two files, not yet deleted where they came from",
    "directory.made": "the folder is there, its manifest is not",
    "directory.removed": "what --fresh replaces is gone, its manifest is not",
    "manifest.replace": "the new manifest is written, beside the old one",
}
POINTS = {
    "fetch.done": "an answer is here, unread",
    "store.put": "a page is read, the store does not have it",
    "recorder.flushed": "pages are safe, the frontier does not name them",
    "recorder.committed": "all of a batch is safe, nobody has heard of it",
    "outbox.send": "links for other shards are safe, not sent",
    "outbox.sent": "links for other shards are sent, not acknowledged",
    "asking.reopened": "what is asked again is owed, its pages are not swept",
    **DISK,
}
"""Every point, with the state of the crawl there."""
RULE = re.compile(r"(?P<action>[a-zA-Z]+)(~(?P<seconds>[0-9.]+))?(@(?P<when>[0-9.]+)(?P<on>\+)?)?", re.ASCII)


class Failpoint:
    """The fault at one point, and when it fires. Raises UsageError for an invalid rule."""

    def __init__(self, name: str, rule: str, log: Path | None) -> None:
        match = RULE.fullmatch(rule)
        if match is None:
            raise UsageError(f"{VARIABLE}: {name}={rule}: expected ACTION[~SECONDS][@WHEN], as in {name}=kill@3")
        self._name = name
        self._log = log
        self._action = match["action"]
        if self._action not in ("kill", "sleep") and not (name in DISK and hasattr(errno, self._action)):
            actions = "kill, sleep or an error like ENOSPC" if name in DISK else "kill or sleep: no disk is near"
            raise UsageError(f"{VARIABLE}: {name}={rule}: the action must be {actions}")
        self._seconds = _number(name, match["seconds"] or "0")
        when = _number(name, match["when"] or "1")
        self._chance = when if "." in (match["when"] or "") else None
        self._first = 1 if self._chance is not None else int(when)
        self._last = math.inf if match["on"] or match["when"] is None or self._chance is not None else self._first
        self._passes = count(1)

    def pass_by(self) -> None:
        """Fire if it is due. Raises OSError where that is the action."""
        if not self._first <= next(self._passes) <= self._last:
            return
        if self._chance is not None and random.random() >= self._chance:
            return
        if self._log is None or self._claimed(self._log):
            self._act()

    def _claimed(self, log: Path) -> bool:
        """Log that it fires; False where it has fired before in any process."""
        try:
            os.close(os.open(f"{log}.{self._name}", os.O_CREAT | os.O_EXCL | os.O_CLOEXEC))
        except FileExistsError:
            return False
        with log.open("a") as file:
            file.write(f"{monotonic()} {os.getpid()} {self._name}\n")
        return True

    def _act(self) -> None:
        if self._action == "sleep":
            sleep(self._seconds)
        elif self._action != "kill":
            number = getattr(errno, self._action)
            raise OSError(number, os.strerror(number), self._name)
        elif self._seconds:
            threading.Thread(target=self._kill, daemon=True).start()
        else:
            self._kill()

    def _kill(self) -> None:
        sleep(self._seconds)
        os.kill(os.getpid(), signal.SIGKILL)


def parse(text: str) -> dict[str, Failpoint]:
    """The failpoints that a value of CRAWLER_FAILPOINTS sets, by name. Raises UsageError."""
    pairs = [word.partition("=") for word in text.split()]
    log = next((Path(rule) for name, _, rule in pairs if name == "log"), None)
    points: dict[str, Failpoint] = {}
    for name, _, rule in pairs:
        if name == "log":
            continue
        if name not in POINTS:
            close = get_close_matches(name, POINTS, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else f" (there are: {', '.join(POINTS)})"
            raise UsageError(f"{VARIABLE}: unknown point {name!r}{hint}")
        points[name] = Failpoint(name, rule, log)
    return points


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"{VARIABLE}: {name}: {text!r} is not a number") from None


def _set_in_environment() -> dict[str, Failpoint]:
    """The failpoints of the environment. Invalid values are reported where settings are read, not during the import."""
    try:
        return parse(os.environ.get(VARIABLE, ""))
    except UsageError:
        return {}


_set = _set_in_environment()


def passing(name: str) -> None:
    """Pass a point of the crawler, and fire what is set there. Raises OSError where that is the action."""
    if _set and name in _set:
        _set[name].pass_by()
