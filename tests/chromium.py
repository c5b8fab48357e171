"""A real browser for the tests of pages: headless Chromium, controlled through a pipe and without network access.

One command line, JSON over two pipes (the DevTools protocol), no library. Names resolve to nothing and the emulated
network is off, so a page shows only its own content; every request that it tries is recorded.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--remote-debugging-pipe", "about:blank",
)  # fmt: skip
KEYS = {"Tab": (9, ""), "Enter": (13, "\r"), "Space": (32, " "), "Escape": (27, "")}
"""The number of a key, and the text that it types."""
PATIENCE = 60.0
"""Seconds that one command may take; a browser that needs more is taken to hang."""


def executable() -> str | None:
    """Path of the browser on this machine; None where none is installed."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


def axe() -> Path | None:
    """axe-core, which checks accessibility, where this machine has it."""
    named = os.environ.get("AXE_CORE")
    npm = shutil.which("npm")
    if named or not npm:
        return Path(named) if named else None
    asked = subprocess.run([npm, "root", "--global"], capture_output=True, text=True, timeout=60)
    found = Path(asked.stdout.strip(), "axe-core", "axe.min.js")
    return found if found.is_file() else None


@dataclass
class Seen:
    """What a page did while it was open: URLs it requested (except its own file), script errors and blocked actions."""

    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


class Tab:
    """One page in the browser."""

    def __init__(self, browser: Chromium, session: str) -> None:
        self._browser, self._session = browser, session

    def call(self, method: str, **params: object) -> dict[str, Any]:
        """Send one command of the protocol. Raises RuntimeError if the browser refuses it."""
        return self._browser.call(method, params, self._session)

    def evaluate(self, script: str) -> Any:
        """The value of a JavaScript expression (awaited if it is a promise). Raises RuntimeError if it throws."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"].get("exception", {}).get("description", "it threw"))
        return answer["result"].get("value")

    def go(self, url: str) -> None:
        """Open a page, and wait until it is loaded completely. Raises TimeoutError."""
        self._browser.own(self._session, url)
        self.call("Page.navigate", url=url)
        scheme = url.partition(":")[0]
        self.wait(f"document.readyState + location.protocol === 'complete{scheme}:'")

    def wait(self, script: str) -> None:
        """Wait until an expression is true; meanwhile the page may be replaced. Raises TimeoutError."""
        until = time.monotonic() + PATIENCE
        while True:
            with suppress(RuntimeError):  # the page is being replaced
                if self.evaluate(f"!!({script})"):
                    return
            if time.monotonic() > until:
                raise TimeoutError(f"never true: {script}")
            time.sleep(0.02)

    def press(self, *keys: str) -> None:
        """Press keys one after another: names such as Tab, Enter, Space, or a letter."""
        for key in keys:
            code, text = KEYS.get(key, (0, key))
            named = {"key": " " if key == "Space" else key, "code": key, "windowsVirtualKeyCode": code}
            self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **named)
            self.call("Input.dispatchKeyEvent", type="keyUp", **named)

    def write(self, text: str) -> None:
        """Type text where the focus is."""
        self.call("Input.insertText", text=text)

    def look(self, *, width: int = 1366, height: int = 900, dark: bool = False, media: str = "screen") -> None:
        """Set the window size (CSS pixels) and the medium."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=media, features=[scheme])

    def picture(self, *, whole: bool = False) -> bytes:
        """A PNG of the window, or of the whole page."""
        answer = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole, **self._clip(whole))
        return base64.b64decode(answer["data"])

    def violations(self, library: Path) -> list[list[Any]]:
        """What axe-core has to object to the page: rule, impact, number of elements, the first of them."""
        self.evaluate(library.read_text(encoding="utf-8") + "; 0")
        found: list[list[Any]] = self.evaluate(
            "axe.run().then(found => found.violations.map(one =>"
            " [one.id, one.impact, one.nodes.length, one.nodes[0].html.slice(0, 200)]))"
        )
        return found

    def _clip(self, whole: bool) -> dict[str, object]:
        if not whole:
            return {}
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        return {"clip": {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}}


class Chromium:
    """A running browser."""

    def __init__(self, to: int, back: int) -> None:
        self._to, self._back = to, os.fdopen(back, "rb", buffering=0)
        self._count, self._rest = 0, b""
        self._seen: dict[str, Seen] = {}
        self._own: dict[str, str] = {}

    @contextmanager
    def tab(self, page: Path, *, scripts: bool = True) -> Iterator[tuple[Tab, Seen]]:
        """A page loaded completely from a file, with the network off."""
        with self._opened(scripts) as (tab, seen):
            off = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
            tab.call("Network.emulateNetworkConditions", **off)
            tab.go(page.resolve().as_uri())
            yield tab, seen

    @contextmanager
    def visit(self, url: str, *, scripts: bool = True) -> Iterator[tuple[Tab, Seen]]:
        """A page loaded completely from a server on 127.0.0.1; nothing else has an address."""
        with self._opened(scripts) as (tab, seen):
            tab.go(url)
            yield tab, seen

    @contextmanager
    def _opened(self, scripts: bool) -> Iterator[tuple[Tab, Seen]]:
        target = self.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = self.call("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        tab, seen = Tab(self, session), Seen()
        self._seen[session] = seen
        for domain in ("Page", "Runtime", "Log", "Network"):
            tab.call(f"{domain}.enable")
        tab.call("Emulation.setScriptExecutionDisabled", value=not scripts)
        tab.look()
        yield tab, seen
        self.call("Target.closeTarget", {"targetId": target})

    def own(self, session: str, url: str) -> None:
        """The page of a session: its request is not recorded."""
        self._own[session] = url

    def call(self, method: str, params: Mapping[str, object], session: str = "") -> dict[str, Any]:
        """Send one command and return its answer; events that arrive meanwhile are recorded."""
        self._count += 1
        asked = {"id": self._count, "method": method, "params": params} | ({"sessionId": session} if session else {})
        sent = json.dumps(asked).encode() + b"\0"
        while sent:
            sent = sent[os.write(self._to, sent) :]
        while True:
            answer = self._next()
            if answer.get("id") == self._count:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return dict(answer["result"])
            self._note(answer)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            read = self._back.read(1 << 16)
            if not read:
                raise EOFError("the browser is gone")
            self._rest += read
        line, _, self._rest = self._rest.partition(b"\0")
        return dict(json.loads(line))

    def _note(self, event: dict[str, Any]) -> None:
        session, params = event.get("sessionId", ""), event.get("params", {})
        seen = self._seen.get(session)
        if seen is None:
            return
        if event["method"] == "Network.requestWillBeSent":
            url = str(params["request"]["url"])
            if url.partition("#")[0] != self._own.get(session):
                seen.requests.append(url)
        elif event["method"] == "Runtime.exceptionThrown":
            seen.errors.append(str(params["exceptionDetails"]))
        elif event["method"] == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            seen.errors.append(str(params["entry"]["text"]))


@contextmanager
def chromium() -> Iterator[Chromium]:
    """The browser with a new profile; it is terminated at the end of the block."""
    path = executable()
    assert path, "no Chromium here"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        (theirs_in, to), (back, theirs_out) = os.pipe(), os.pipe()
        low = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in (theirs_in, theirs_out)]
        actions = [
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_DUP2, low[0], 3),
            (os.POSIX_SPAWN_DUP2, low[1], 4),
        ]
        argv = [path, f"--user-data-dir={profile}", *FLAGS]
        pid = os.posix_spawn(path, argv, os.environ, file_actions=actions, setsid=True)
        for fd in (theirs_in, theirs_out, *low):
            os.close(fd)
        browser = Chromium(to, back)
        try:
            yield browser
        finally:
            with suppress(RuntimeError, EOFError, OSError):
                browser.call("Browser.close", {})
            os.close(to)
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
