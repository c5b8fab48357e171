"""The routes of the API, by what they are about."""

from __future__ import annotations

from crawler.service.routing import Route

ROUTES: tuple[Route, ...] = ()
