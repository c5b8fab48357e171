"""Servers of Python for the tests with real servers: http.server, hypercorn, and the application that gunicorn runs.

    python -m tests.live.origins http.server|hypercorn FOLDER PORT [CERTIFICATE 1.2|1.3]

All serve the files of FOLDER, the first part of the path names how:
- /plain/ with a length, /chunked/ in chunks, /gzip/ compressed where the client takes it, /close/ with
  "Connection: close", /open/ until the connection closes (http.server only).

Every answer names the port of the client (X-Peer) and the names of the headers that came (X-Got).
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import os
import socket
import ssl
import sys
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
PIECE = 7001


class Answer(NamedTuple):
    """A status, headers, and the body in pieces."""

    status: int
    headers: list[tuple[str, str]]
    pieces: list[bytes]


def answer(folder: Path, target: str, sent: Mapping[str, str], peer: object) -> Answer:
    """What to answer to a GET. `sent`: the headers that came, names in lower case."""
    path = target.partition("?")[0]
    common = [("X-Peer", str(peer)), ("X-Got", " ".join(sorted(sent)))]
    file = folder / path.lstrip("/")
    if not file.is_file():
        body = b"there is no such page"
        return Answer(404, [*common, ("Content-Length", str(len(body)))], [body])
    body = file.read_bytes()
    etag = f'"{hashlib.sha1(body).hexdigest()[:16]}"'
    changed = formatdate(file.stat().st_mtime, usegmt=True)
    common += [("ETag", etag), ("Last-Modified", changed)]
    if sent.get("if-none-match") == etag or sent.get("if-modified-since") == changed:
        return Answer(304, common, [])
    common.append(("Content-Type", "text/html" if file.suffix == ".html" else "application/octet-stream"))
    kind = path.split("/")[1]
    if kind in ("close", "open"):
        common.append(("Connection", "close"))
    if kind == "gzip" and "gzip" in sent.get("accept-encoding", ""):
        body = gzip.compress(body)
        common.append(("Content-Encoding", "gzip"))
    if kind in ("chunked", "open"):
        return Answer(200, common, [body[start : start + PIECE] for start in range(0, len(body), PIECE)])
    return Answer(200, [*common, ("Content-Length", str(len(body)))], [body])


# ---- http.server -----------------------------------------------------------------------------------------------------


class Handler(BaseHTTPRequestHandler):
    """Keeps connections, and logs nothing."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    folder: Path

    def do_GET(self) -> None:
        """Answer one request."""
        sent = {name.lower(): value for name, value in self.headers.items()}
        status, headers, pieces = answer(self.folder, self.path, sent, self.client_address[1])
        names = {name for name, _ in headers}
        in_chunks = status == 200 and not names & {"Content-Length", "Connection"}
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        if in_chunks:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in pieces:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if in_chunks else piece)
        if in_chunks:
            self.wfile.write(b"0\r\n\r\n")

    def finish(self) -> None:
        """Under TLS, say that this was the end: without it a body until the end of the connection is truncated."""
        super().finish()
        if isinstance(self.connection, ssl.SSLSocket):
            self.connection.settimeout(1)
            with suppress(OSError):
                self.connection.unwrap()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


class _OfIPv6(ThreadingHTTPServer):
    address_family = socket.AF_INET6


def serve_http_server(folder: Path, port: int, context: ssl.SSLContext | None) -> None:
    """Serve at both addresses of loopback: a proxy that is asked for "localhost" may choose."""
    Handler.folder = folder
    with suppress(OSError):
        other = _OfIPv6(("::1", port), Handler)
        _secure(other, context)
        threading.Thread(target=other.serve_forever, daemon=True).start()
    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    _secure(server, context)
    server.serve_forever()


def _secure(server: ThreadingHTTPServer, context: ssl.SSLContext | None) -> None:
    if context is not None:  # the handshake is for the thread of the connection, at its first read
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)


def tls_of(certificate: str, version: str) -> ssl.SSLContext:
    """TLS of exactly one version."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = VERSIONS[version]
    context.load_cert_chain(certificate)
    return context


# ---- gunicorn --------------------------------------------------------------------------------------------------------


def wsgi(environ: dict[str, Any], start_response: Callable[[str, list[tuple[str, str]]], object]) -> Iterable[bytes]:
    """The application of a WSGI server; SITE names the folder."""
    sent = {name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name.startswith("HTTP_")}
    folder = Path(os.environ["SITE"])
    status, headers, pieces = answer(folder, environ["PATH_INFO"], sent, environ["REMOTE_PORT"])
    start_response(f"{status} Told", [(name, value) for name, value in headers if name != "Connection"])
    return iter(pieces)


# ---- hypercorn -------------------------------------------------------------------------------------------------------

Message = dict[str, Any]


async def asgi(
    folder: Path, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """The application of an ASGI server."""
    if scope["type"] != "http":
        return
    sent = {name.decode(): value.decode() for name, value in scope["headers"]}
    status, headers, pieces = answer(folder, scope["path"], sent, scope["client"][1])
    raw = [(name.lower().encode(), value.encode()) for name, value in headers]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    for piece in pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body"})


def serve_hypercorn(folder: Path, port: int, certificate: str, version: str) -> None:
    """Serve `asgi` until the process is ended."""
    settings: Any = import_module("hypercorn.config").Config()
    settings.bind = [f"127.0.0.1:{port}"]
    if certificate:
        context = tls_of(certificate, version)
        context.set_alpn_protocols(["h2", "http/1.1"])
        settings.certfile = settings.keyfile = certificate
        settings.create_ssl_context = lambda: context
    serve: Any = import_module("hypercorn.asyncio").serve

    async def application(scope: Message, receive: Any, send: Any) -> None:
        await asgi(folder, scope, receive, send)

    asyncio.run(serve(application, settings))


def _arguments() -> Iterator[str]:
    yield from sys.argv[1:]
    while True:
        yield ""


def main() -> None:
    """Serve as the command line says."""
    given = _arguments()
    kind, folder, port, certificate, version = (next(given) for _ in range(5))
    if kind == "hypercorn":
        serve_hypercorn(Path(folder), int(port), certificate, version)
    else:
        serve_http_server(Path(folder), int(port), tls_of(certificate, version) if certificate else None)


if __name__ == "__main__":
    main()
