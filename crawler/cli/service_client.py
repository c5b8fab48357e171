"""Asks a running service over its API, for the commands `job` and `schedule`.

Rules:
- A service is found by the address that it writes into its data folder, or by --url.
- A problem becomes one line with its `detail`; exit code 2, or 3 where the service itself is in trouble.
- The standard library does: it is imported fast, and these are single requests.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from crawler.errors import StorageError, UsageError
from crawler.service.address import TOKEN, read_address
from crawler.system.invocation import called

API = "/api/v1"
TIMEOUT = 60.0
"""Seconds without a byte after which an answer is given up."""
CHUNK = 64 * 1024


class ServiceClient:
    """One service. Every method raises UsageError for what it refuses, and StorageError where it is in trouble."""

    def __init__(self, url: str, token: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(f"bad value for --url = {url!r}: expected http://HOST:PORT")
        self._url = url.rstrip("/")
        self._secure = parts.scheme == "https"
        self._place = (parts.hostname, parts.port)
        self._headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}

    def ask(self, method: str, path: str, body: object = None, **query: object) -> Any:
        """What the API answers, decoded; None for an empty answer."""
        with closing(self._connection()) as connection, self._asked(connection, method, path, body, query) as answer:
            text = answer.read()
            return json.loads(text) if text else None

    def every(self, path: str, **query: object) -> Iterator[Any]:
        """Everything in a list, page by page."""
        cursor: str | None = None
        while True:
            page = self.ask("GET", path, cursor=cursor, limit=1000, **query)
            yield from page["items"]
            cursor = page["next"]
            if cursor is None:
                return

    def stream(self, path: str, **query: object) -> Iterator[bytes]:
        """An answer piece by piece, as it comes."""
        with closing(self._connection()) as connection, self._asked(connection, "GET", path, None, query) as answer:
            if connection.sock is not None:
                connection.sock.settimeout(None)  # a log may be silent for hours
            while piece := answer.read1(CHUNK):
                yield piece

    def _connection(self) -> HTTPConnection:
        kind = HTTPSConnection if self._secure else HTTPConnection
        return kind(*self._place, timeout=TIMEOUT)

    def _asked(
        self, connection: HTTPConnection, method: str, path: str, body: object, query: Mapping[str, object]
    ) -> HTTPResponse:
        given = {name: value for name, value in query.items() if value is not None}
        target = f"{API}{path}" + (f"?{urlencode(given)}" if given else "")
        headers = self._headers | ({} if body is None else {"Content-Type": "application/json"})
        try:
            connection.request(method, target, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
        except (OSError, HTTPException) as error:
            why = getattr(error, "strerror", None) or error or type(error).__name__
            raise UsageError(f"no service answers at {self._url} ({why}); start it: {called()} serve") from error
        if answer.status >= 400:
            raise _refused(answer)
        return answer


def connect(data: str, url: str | None, token_file: str | None) -> ServiceClient:
    """The service of a data folder, or of a URL. Raises UsageError."""
    folder = Path(data)
    where = read_address(folder).url if url is None else url
    path = Path(token_file) if token_file is not None else folder / TOKEN
    try:
        token = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the token in {path}; name its file with --token-file") from error
    return ServiceClient(where, token)


def quoted(name: str) -> str:
    """A name as one part of a path."""
    return quote(name, safe="")


def _refused(answer: HTTPResponse) -> Exception:
    try:
        problem = json.loads(answer.read(CHUNK))
        text = str(problem["detail"])
    except (ValueError, KeyError, TypeError):
        text = f"the service answered {answer.status} {answer.reason}"
    return StorageError(text) if answer.status >= 500 else UsageError(text)
