"""The page of tokens, and the page to log in: a token is exchanged for a cookie."""

from __future__ import annotations

from typing import get_args

from crawler.service.errors import Conflict, Invalid
from crawler.service.records import NewToken, TokenScope
from crawler.service.web.visits import NOT_REFUSED, Answer, Moved, Refused, Shown, Visit

SCOPES = {
    "read": "look at everything, change nothing",
    "admin": "start, stop, change and remove, too",
}


async def tokens_page(visit: Visit) -> Answer:
    """All tokens; never their secrets."""
    return await _page(visit, NOT_REFUSED, 200)


async def _page(visit: Visit, refused: Refused, status: int, made: NewToken | None = None) -> Shown:
    context = {"tokens": await visit.service.tokens(), "scopes": SCOPES, "refused": refused, "made": made}
    return Shown("tokens.html", context, status)


async def add_token(visit: Visit) -> Answer:
    """A new token, whose secret this one answer shows."""
    name, wanted = visit.form.get("name", "").strip(), visit.form.get("scope", "")
    scope: TokenScope | None = next((one for one in get_args(TokenScope) if one == wanted), None)
    if not name or scope is None:
        problem = Refused("give it a name, by which you know it later", "name", visit.form)
        return await _page(visit, problem if not name else Refused("choose what it may do", "scope", visit.form), 422)
    try:
        made = await visit.service.add_token(name, scope)
    except (Conflict, Invalid) as error:
        return await _page(visit, Refused(str(error), "name", visit.form), 422)
    return await _page(visit, NOT_REFUSED, 201, made)


async def revoke_token(visit: Visit) -> Answer:
    """Revoke a token: from now on it opens nothing, and its sessions end."""
    await visit.service.revoke_token(visit.named("token"))
    return Moved("/tokens")


async def login_page(visit: Visit) -> Answer:
    """The form to log in."""
    return login_form(visit, NOT_REFUSED)


def login_form(visit: Visit, refused: Refused, status: int = 200) -> Shown:
    """The form to log in; afterwards the browser goes on to the page that `next` names."""
    wanted = visit.form.get("next") or visit.asked("next")
    return Shown("login.html", {"refused": refused, "next": wanted or "/"}, status)
