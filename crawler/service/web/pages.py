"""The table of pages and forms, and how their answers are made.

Rules:
- Pages are at the paths that people see, forms at /ui/: a form is a POST, so a link can change nothing.
- Forms work without scripts. The script asks for parts of the same pages (`?fragment=`) when something has changed.
- The style sheet and the script are named by their content, so a browser keeps them until they change.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal
from urllib.parse import quote

from aiohttp import web

from crawler.service.auth import Caller, is_own_path, log_in, log_out
from crawler.service.problems import RefusedRequest
from crawler.service.records import TokenScope
from crawler.service.routing import CALLER, Call, Route
from crawler.service.web import diffs, hosts, jobs, modes, overview, runs, schedules, storage, tokens
from crawler.service.web.static_files import static_files
from crawler.service.web.templating import render
from crawler.service.web.visits import NOT_REFUSED, Moved, Refused, Shown, View, Visit, flat

HTML = "text/html"
Method = Literal["GET", "POST"]
FOREVER = "private, max-age=31536000, immutable"


def _responding(view: View) -> Callable[[Call], Awaitable[web.Response]]:
    async def respond(call: Call) -> web.Response:
        form = flat(await call.request.post()) if call.request.method == "POST" else {}
        answer = await view(Visit(call, form))
        if isinstance(answer, Moved):
            return _moved(answer.path)
        return page(call.request, call.caller, answer)

    return respond


def _moved(path: str) -> web.Response:
    return web.Response(status=303, headers={"Location": quote(path, safe="/?&=#%:+,;@~!$'()*[]")})


def page(request: web.Request, caller: Caller | None, shown: Shown) -> web.Response:
    """A page of HTML."""
    text = render(
        shown.template,
        csrf=caller.csrf if caller else "",
        may_change=caller is not None and caller.scope == "admin",
        logged_in=caller is not None,
        path=request.path,
        **shown.context,
    )
    return web.Response(status=shown.status, text=text, content_type=HTML)


async def refusal_page(request: web.Request, refusal: RefusedRequest) -> web.Response:
    """What a request for a page is told when it is refused: the form to log in where a token is missing."""
    status = refusal.problem.status
    if status == 401:
        wanted = request.path_qs if request.method == "GET" and "fragment" not in request.query else "/"
        shown = Shown("login.html", {"refused": NOT_REFUSED, "next": wanted}, 401)
    else:
        shown = Shown("refused.html", {"problem": refusal.problem}, status)
    answer = page(request, request.get(CALLER), shown)
    answer.headers.update(refusal.headers)
    return answer


async def _log_in(call: Call) -> web.Response:
    form = flat(await call.request.post())
    wanted = form.get("next", "/")
    answer = _moved(wanted if is_own_path(wanted) else "/")
    if await log_in(call.request, answer, form.get("token", ""), call.service, call.sessions):
        return answer
    problem = Refused("This is not a token of this service, or it was revoked.", "token")
    return page(call.request, None, tokens.login_form(Visit(call, form), problem, 401))


async def _log_out(call: Call) -> web.Response:
    answer = _moved("/login")
    log_out(call.request, answer)
    return answer


async def _static(call: Call) -> web.Response:
    found = static_files().get(call.path["name"])
    if found is None:
        raise RefusedRequest(404, "there is no such file")
    return web.Response(body=found.body, content_type=found.kind, headers={"Cache-Control": FOREVER})


def _page(path: str, view: View, summary: str, scope: TokenScope | None = "read") -> Route:
    return Route("GET", path, _responding(view), summary, scope, media=HTML, is_page=True)


def _form(path: str, view: View, summary: str) -> Route:
    return Route("POST", f"/ui/{path}", _responding(view), summary, "admin", status=303, media=HTML, is_page=True)


ROUTES = (
    _page("/", overview.overview, "What runs, what is due, what went wrong lately"),
    _page("/jobs", jobs.jobs_page, "All jobs"),
    _page("/jobs/new", jobs.new_job, "The form of a new job"),
    _page("/jobs/{job}", jobs.job_page, "A job"),
    _page("/runs", runs.runs_page, "All runs"),
    _page("/runs/{run}", runs.run_page, "A run"),
    _page("/runs/{run}/diff", diffs.diff_page, "What a run has changed"),
    _page("/schedules", schedules.schedules_page, "All schedules"),
    _page("/schedules/{schedule}", schedules.schedule_page, "A schedule"),
    _page("/hosts", hosts.hosts_page, "Hosts over all runs"),
    _page("/compare", modes.compare_page, "Modes side by side"),
    _page("/storage", storage.storage_page, "What keeps how much"),
    _page("/tokens", tokens.tokens_page, "All tokens", "admin"),
    _page("/login", tokens.login_page, "The form to log in", None),
    _form("jobs", jobs.add_job, "Add a job"),
    _form("jobs/{job}/change", jobs.change_job, "Change a job"),
    _form("jobs/{job}/start", jobs.start_job, "Start a run"),
    _form("jobs/{job}/remove", jobs.remove_job, "Remove a job"),
    _form("runs/{run}/limits", runs.change_limits, "Change the limits of a run"),
    _form("runs/{run}/{action}", runs.act, "Pause, resume, stop, cancel or retry a run"),
    _form("schedules", schedules.add_schedule, "Add a schedule"),
    _form("schedules/{schedule}/change", schedules.change_schedule, "Change a schedule"),
    _form("schedules/{schedule}/{action}", schedules.act, "Pause, resume, run or remove a schedule"),
    _form("compare", modes.start_modes, "Start a job in several modes"),
    _form("tokens", tokens.add_token, "Add a token"),
    _form("tokens/{token}/revoke", tokens.revoke_token, "Revoke a token"),
    Route("POST", "/ui/login", _log_in, "Log in", None, status=303, media=HTML, is_page=True),
    Route("POST", "/ui/logout", _log_out, "Log out", None, status=303, media=HTML, is_page=True),
    Route("GET", "/static/{name}", _static, "A style sheet or script", None, media="*/*", is_page=True),
)
