"""A person at the dashboard, without a browser: logs in, looks at pages, sends forms."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html.parser import HTMLParser
from urllib.parse import urlencode

from tests.service.served import ADMIN, NOBODY, Answer, Served

CSRF = re.compile(r'name="csrf" value="([0-9a-f]+)"')
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Person:
    """A session that a token of this scope began."""

    def __init__(self, served: Served, scope: str = ADMIN) -> None:
        self._served = served
        answer = self._send("/ui/login", {"token": served.tokens[scope], "next": "/"}, {})
        assert answer.status == 303, answer.body
        self._cookie = {"Cookie": answer.headers["Set-Cookie"].partition(";")[0]}
        found = CSRF.search(self.look("/").body.decode())
        assert found
        self.csrf = found[1]

    def look(self, path: str) -> Answer:
        """A page."""
        return self._served.ask("GET", path, as_=NOBODY, headers=self._cookie)

    def text(self, path: str) -> str:
        """The HTML of a page that is there."""
        answer = self.look(path)
        assert answer.status == 200, answer.body
        return answer.body.decode()

    def send(self, path: str, **fields: str) -> Answer:
        """A form, with its CSRF token."""
        return self._send(path, {"csrf": self.csrf} | fields, self._cookie)

    def _send(self, path: str, fields: Mapping[str, str], cookie: Mapping[str, str]) -> Answer:
        raw = urlencode(fields).encode()
        return self._served.ask("POST", path, as_=NOBODY, headers={**FORM, **cookie}, raw=raw)


class Outline(HTMLParser):
    """What matters of a page's structure: ids, what labels and describes, headings, whether all that opens closes."""

    EMPTY = frozenset({"meta", "link", "input", "br", "img"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.named: list[str] = []
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.inline: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        given = {name: value or "" for name, value in attrs}
        if "id" in given:
            self.ids.append(given["id"])
        self.named += given.get("for", "").split() + given.get("aria-describedby", "").split()
        self.inline += [name for name in given if name == "style" or name.startswith("on")]
        if tag == "script" and "src" not in given:
            self.inline.append("script")
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element that closes itself, as those of SVG do."""
        self.handle_starttag(tag, attrs)
        if tag not in self.EMPTY:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        """Close an element."""
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)
