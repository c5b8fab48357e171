"""A small site on loopback: a page that links to PAGES others, one missing, one that answers only when it is let."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from typing import NamedTuple

from tests.live.answers import Answers

PAGES = 12
PATIENCE = 60.0


class Site(NamedTuple):
    """Its URL, without a slash at its end. `let_go`: lets what waits be answered."""

    url: str
    let_go: threading.Event


@contextmanager
def site() -> Iterator[Site]:
    """Context manager: a running site."""
    let_go = threading.Event()

    class Pages(Answers):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path == "/":
                self._answer(200, "".join(f"<a href='/page/{number}'>n</a>" for number in range(PAGES)).encode())
            elif self.path == "/hang":
                let_go.wait(PATIENCE)
                self._answer(200, b"at last")
            elif self.path.startswith("/page/") and self.path != "/page/3":
                self._answer(200, f"<title>{self.path}</title>".encode())
            else:
                self._answer(404, b"missing")

    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield Site(f"http://127.0.0.1:{server.server_port}", let_go)
    finally:
        let_go.set()
        server.shutdown()
        server.server_close()
        thread.join()
