"""Tells another program that a run has ended: the key `on_end`, a command or the URL of a webhook.

Rules:
- It gets one JSON object, `{"summary": ..., "diff": ...}`, on its standard input or as the body of a POST. `diff` is
  that of a re-crawl with the generation before, else null.
- A run that was stopped calls nothing: the person who stopped it needs no notice.
- It is called once and has COMMAND_PATIENCE or WEBHOOK_PATIENCE seconds. What it does is no matter of the crawl: a
  failure is one line in the log. A webhook is not redirected, and no proxy is used.
- The value may be `env:NAME`: the URL of a webhook often is a secret. It is not kept in the crawl directory, so that
  nobody runs a command that came with a directory.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from http.client import HTTPException
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

from crawler.system.logs import open_log

COMMAND_PATIENCE = 300.0
WEBHOOK_PATIENCE = 15.0
REFERENCE = "env:"


class _NoRedirect(HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """Follow none: the redirect then is an error, with its status."""


def call_end_hook(hook: str, payload: bytes) -> None:
    """Call the hook with a JSON object. Does not raise."""
    try:
        target = os.environ[hook.removeprefix(REFERENCE)] if hook.startswith(REFERENCE) else hook
        if target.startswith(("http://", "https://")):
            _post(target, payload)
        else:
            _run(target, payload)
    except KeyError:
        open_log().warning("on_end failed", why=f"environment variable {hook.removeprefix(REFERENCE)} is not set")
    except (OSError, ValueError, HTTPException, subprocess.SubprocessError) as error:
        open_log().warning("on_end failed", why=f"{type(error).__name__}: {error}"[:300])


def _post(url: str, payload: bytes) -> None:
    """Send the object. Raises OSError for any status but 2xx, and where there is no answer."""
    request = Request(url, payload, {"Content-Type": "application/json", "User-Agent": "crawler"})
    with build_opener(ProxyHandler({}), _NoRedirect()).open(request, timeout=WEBHOOK_PATIENCE):
        pass


def _run(command: str, payload: bytes) -> None:
    """Run a command, without a shell. Its output goes to stderr: stdout is for the summary. Raises OSError,
    SubprocessError, ValueError for a command that cannot be split into words."""
    subprocess.run(shlex.split(command), input=payload, stdout=2, timeout=COMMAND_PATIENCE, check=True)
