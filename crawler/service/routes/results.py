"""What a run has brought: URLs, errors, hosts, changes, log, files, report and export, from its crawl directory."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from aiohttp import web
from msgspec import Meta

from crawler.report.facts import TroubleFacts
from crawler.service import crawl_reader, diff_reader
from crawler.service.core.states import FINAL
from crawler.service.crawl_reader import HostOfRun, StoredFile, UrlListing
from crawler.service.diff_reader import RunDiff
from crawler.service.log_reader import RunLog, between, follow, requested_range
from crawler.service.records import Listing
from crawler.service.routes.queries import PageQuery
from crawler.service.routes.runs import RUN
from crawler.service.routing import Call, Query, Route
from crawler.service.streaming import MOST_EXPORTS, MOST_FOLLOWERS, StreamLimit, from_thread, stream

TEXT = "text/plain; charset=utf-8"
EXPORTS = {"jsonl": "application/jsonl; charset=utf-8", "csv": "text/csv; charset=utf-8"}
REPORT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox; frame-ancestors 'none'"
"""A report is one file with its styles in it, and has no scripts."""
Condition = Annotated[str, Meta(max_length=500)]
following, exporting = StreamLimit(MOST_FOLLOWERS), StreamLimit(MOST_EXPORTS)


class PagesQuery(PageQuery, frozen=True, kw_only=True):
    """`where`: conditions such as reason=ok or status>=400, as in the command export; several must all hold."""

    where: tuple[Condition, ...] = ()


class LogQuery(Query, frozen=True, kw_only=True):
    """`tail`: the last lines only; `follow`: go on while the run does."""

    tail: Annotated[int, Meta(ge=0, le=100_000)] | None = None
    follow: bool = False


class ExportQuery(Query, frozen=True, kw_only=True):
    """`fields`: url,title,... ; `where` as in the list of pages."""

    format: Literal["jsonl", "csv"] = "jsonl"
    fields: Annotated[str, Meta(max_length=500)] | None = None
    where: tuple[Condition, ...] = ()


class DiffQuery(Query, frozen=True, kw_only=True):
    """`limit`: of each list; `text`: a URL, of whose main text the unified diff is the answer instead."""

    limit: Annotated[int, Meta(ge=1, le=10_000)] = 1000
    text: Annotated[str, Meta(min_length=1, max_length=4000)] | None = None


async def directory_of(call: Call) -> Path:
    """The crawl directory of the run that a call names. Raises NotFound."""
    run = await call.service.run(call.path["run"])
    return call.service.directory(run.id)


async def pages(call: Call) -> UrlListing:
    """The settled URLs."""
    query = call.query
    return await call.read(crawl_reader.urls, await directory_of(call), query.where, query.cursor, query.limit)


async def errors(call: Call) -> Listing[TroubleFacts]:
    """The kinds of errors."""
    return await call.read(crawl_reader.causes, await directory_of(call))


async def hosts(call: Call) -> Listing[HostOfRun]:
    """The hosts."""
    return await call.read(crawl_reader.hosts, await directory_of(call), call.query.cursor, call.query.limit)


async def diff(call: Call) -> RunDiff | web.Response:
    """The changes, or those in the text of one page."""
    path = await directory_of(call)
    if call.query.text is None:
        return await call.read(diff_reader.run_diff, path, call.query.limit)
    lines = await call.read(diff_reader.text_diff, path, call.query.text)
    return web.Response(text="".join(f"{line}\n" for line in lines), headers={"Content-Type": TEXT})


async def files(call: Call) -> Listing[StoredFile]:
    """The files."""
    return await call.read(crawl_reader.files, await directory_of(call))


async def report(call: Call) -> web.Response:
    """The report."""
    text = await call.read(crawl_reader.report, await directory_of(call))
    return web.Response(text=text, content_type="text/html", headers={"Content-Security-Policy": REPORT_POLICY})


async def export(call: Call) -> web.StreamResponse:
    """The export."""
    query = call.query
    with exporting.one():
        lines = await call.read(
            crawl_reader.export_lines, await directory_of(call), query.format, query.fields, query.where
        )
        name = f'attachment; filename="{call.path["run"]}.{query.format}"'
        headers = {"Content-Type": EXPORTS[query.format], "Content-Disposition": name}
        return await stream(call.request, from_thread(lines), headers)


async def log(call: Call) -> web.StreamResponse:
    """The log."""
    run = await call.service.run(call.path["run"])
    path = call.service.log_file(run.id)
    tail = call.query.tail
    if call.query.follow:
        with following.one():
            return await stream(call.request, follow(path, tail, partial(_is_over, call)), {"Content-Type": TEXT})
    opened = await call.read(RunLog, path)
    try:
        asked = requested_range(call.request.headers.get("Range"), opened.size) if tail is None else None
        start, end = asked or (0 if tail is None else await call.read(opened.tail, tail), opened.size)
        headers = {"Content-Type": TEXT, "Content-Length": str(end - start), "Accept-Ranges": "bytes"}
        if asked is not None:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{opened.size}"
        status = 200 if asked is None else 206
        return await stream(call.request, between(opened, start, end), headers, status)
    finally:
        opened.close()


async def _is_over(call: Call) -> bool:
    """Whether nothing is added to the log any more, the caller may not see it any more, or the service stops."""
    run = await call.service.run(call.path["run"])
    return run.state in FINAL or call.service.events.closed or not await call.is_valid()


ROUTES = (
    Route(
        "GET",
        f"{RUN}/pages",
        pages,
        "List the settled URLs of a run, with the fields of the command export",
        query=PagesQuery,
        answer=UrlListing,
        refusals=(409,),
    ),
    Route(
        "GET",
        f"{RUN}/errors",
        errors,
        "List the kinds of errors with an example each, the most frequent first",
        answer=Listing[TroubleFacts],
        refusals=(409,),
    ),
    Route(
        "GET",
        f"{RUN}/hosts",
        hosts,
        "List the hosts of a run, those with most URLs first",
        query=PageQuery,
        answer=Listing[HostOfRun],
        refusals=(409,),
    ),
    Route(
        "GET",
        f"{RUN}/diff",
        diff,
        "Show what changed since the generation before; with `text` in the text of one page",
        query=DiffQuery,
        answer=RunDiff,
        other_media="text/plain",
        refusals=(409,),
    ),
    Route("GET", f"{RUN}/files", files, "List the files of a run", answer=Listing[StoredFile], refusals=(409,)),
    Route("GET", f"{RUN}/report", report, "Show the report of a run", media="text/html", refusals=(409,)),
    Route(
        "GET",
        f"{RUN}/export",
        export,
        "Export the settled URLs of a run, one a line; an answer that is cut is not whole",
        query=ExportQuery,
        media="application/jsonl",
        refusals=(409, 429),
        streams=True,
    ),
    Route(
        "GET",
        f"{RUN}/log",
        log,
        "Show the log of a run: all (with Range), its tail, or what is added",
        query=LogQuery,
        media="text/plain",
        refusals=(206, 416, 429),
        headers=("Range",),
        streams=True,
    ),
)
