"""The routes of the API, by what they are about."""

from __future__ import annotations

from crawler.service.routes import jobs, results, runs, schedules, system
from crawler.service.routing import Route

ROUTES: tuple[Route, ...] = (*system.ROUTES, *jobs.ROUTES, *runs.ROUTES, *results.ROUTES, *schedules.ROUTES)
