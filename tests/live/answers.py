"""What the small servers of these tests have in common: they answer in one piece and say nothing."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler


class Answers(BaseHTTPRequestHandler):
    """A handler that knows how to answer."""

    def _answer(self, status: int, body: bytes, kind: str = "text/html") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""
