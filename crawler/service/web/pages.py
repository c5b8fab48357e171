"""The pages of the dashboard."""

from __future__ import annotations

from html import escape

from aiohttp import web

from crawler.service.problems import Refusal
from crawler.service.routing import Route

ROUTES: tuple[Route, ...] = ()


async def refusal_page(request: web.Request, refusal: Refusal) -> web.Response:
    """What a person sees of a refusal."""
    problem = refusal.problem
    return web.Response(
        status=problem.status,
        text=f"<!doctype html><title>{escape(problem.title)}</title><p>{escape(problem.detail)}</p>",
        content_type="text/html",
        headers=refusal.headers,
    )
