"""A request handler for the small servers of these tests: it answers in one piece and logs nothing."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler


class Answers(BaseHTTPRequestHandler):
    """A handler with a method that sends a whole answer."""

    def _answer(self, status: int, body: bytes, kind: str = "text/html") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""
