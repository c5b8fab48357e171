"""One request for a page or from a form, and what answers it.

Rules:
- Who may ask is decided before (crawler/service/auth.py): host, origin, token, scope and the CSRF token of a form.
- A page is a template with what it needs. A form answers with the next page to ask for (303), so that loading again
  does not send it again.
- What the service refuses becomes a page with the status that the API has for it, unless the view shows the form again
  with what was typed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from crawler.service.auth import is_own_path
from crawler.service.web.crawl_facts import DiffRead, FactsRead, readings_of
from crawler.service.web.kept_readings import KeptReadings

if TYPE_CHECKING:
    from multidict import MultiMapping

    from crawler.service.routing import Call
    from crawler.service.service import Service

LONGEST_QUERY = 200
Form = Mapping[str, str]
Context = dict[str, Any]
NOTHING_TYPED: Form = MappingProxyType({})


class Shown(NamedTuple):
    """A page: its template, and what that needs."""

    template: str
    context: Context
    status: int = 200


class Moved(NamedTuple):
    """Done; the browser asks for this page next."""

    path: str


class Refused(NamedTuple):
    """Why a form was not accepted, and what was typed into it. `field` is the name of the field at fault, or ""."""

    text: str
    field: str = ""
    typed: Form = NOTHING_TYPED


NOT_REFUSED = Refused("")


class Visit:
    """A request with all that a view may use; `form` is empty unless a form was sent."""

    def __init__(self, call: Call, form: Form) -> None:
        self.call = call
        self.form = form

    @property
    def service(self) -> Service:
        """The service."""
        return self.call.service

    @property
    def facts(self) -> KeptReadings[FactsRead]:
        """The facts of its runs."""
        return readings_of(self.call.service).facts

    @property
    def diffs(self) -> KeptReadings[DiffRead]:
        """What its runs have changed."""
        return readings_of(self.call.service).diffs

    def named(self, part: str) -> str:
        """A part of the path."""
        return self.call.path[part]

    def asked(self, key: str) -> str:
        """A value of the query, "" where it is not there."""
        return self.call.request.query.get(key, "")[:LONGEST_QUERY]

    @property
    def fragment(self) -> str:
        """The part of the page that the script asks for, "" where a whole page is."""
        return self.asked("fragment")


Answer = Shown | Moved
View = Callable[[Visit], Awaitable[Answer]]


def flat(form: MultiMapping[Any]) -> Form:
    """The fields of a form; several values of one name are joined by line ends, files are left out."""
    return {key: "\n".join(one for one in form.getall(key) if isinstance(one, str)) for key in form}


def onward(form: Form, path: str) -> Moved:
    """To the page that a form names in `next`, if it is one of ours, else to `path`."""
    wanted = form.get("next", "")
    return Moved(wanted if wanted.isprintable() and is_own_path(wanted) else path)
