"""The metrics of the service in Prometheus' text format.

Rules:
- Names are those of Prometheus' conventions: one prefix, base units (seconds, bytes), `_total` for counters.
- Labels have few values: states, outcomes, reasons and modes are closed lists. No URL, host, job or run is a label.
  Only the time of the last success has one per schedule, and never more than MOST_SCHEDULES.
- Counters come from event_counters.py. Everything else is read when it is asked for.

https://prometheus.io/docs/practices/naming/
"""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from time import time
from typing import TYPE_CHECKING, NamedTuple

from crawler.service.core.states import ACTIVE, RunState
from crawler.service.event_counters import LASTING, EventCounters
from crawler.service.records import Overview, RunProgress, ScheduleRecord

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

    from crawler.service.service import Service

MEDIA = "text/plain; version=0.0.4; charset=utf-8"
MOST_SCHEDULES = 1000
LATELY = 500


class ServiceNow(NamedTuple):
    """What the service is at one moment."""

    at: float
    overview: Overview
    active: Mapping[str, int]
    progress: list[RunProgress]
    schedules: list[ScheduleRecord]
    queue_capacity: int


class ServiceMetrics:
    """The metrics of one service; it counts from the moment that it is made."""

    def __init__(self, service: Service, queue_capacity: int) -> None:
        self.counters = EventCounters()
        self._service = service
        self._queue_capacity = queue_capacity
        self._remembered = False
        service.events.watch(self.counters.see)

    async def exposition(self) -> bytes:
        """All metrics as text."""
        from prometheus_client import CollectorRegistry, generate_latest
        from prometheus_client.registry import Collector

        if not self._remembered:
            await self._remember()
        now = await self._now()
        counters = self.counters

        class ServiceCollector(Collector):
            """What this one answer tells."""

            def collect(self) -> Iterator[Metric]:
                """Every metric family."""
                yield from families(now, counters)

        registry = CollectorRegistry(auto_describe=False)
        registry.register(ServiceCollector())
        return generate_latest(registry)

    async def _remember(self) -> None:
        """The last successes from before the service was started."""
        self._remembered = True
        for run in (await self._service.runs(state=RunState.SUCCEEDED, limit=LATELY)).items:
            if run.schedule and run.ended_at is not None:
                self.counters.successes.setdefault(run.schedule, run.ended_at)

    async def _now(self) -> ServiceNow:
        service = self._service
        overview = await service.overview()
        live = [*overview.running, *overview.queued]
        progress = [await service.progress(run.id) for run in overview.running]
        active = Counter({str(state): 0 for state in ACTIVE}) + Counter(str(run.state) for run in live)
        return ServiceNow(
            at=time(),
            overview=overview,
            active={str(state): active[str(state)] for state in ACTIVE},
            progress=[one for one in progress if one is not None],
            schedules=(await service.schedules(limit=MOST_SCHEDULES)).items,
            queue_capacity=self._queue_capacity,
        )


def families(now: ServiceNow, counters: EventCounters) -> Iterator[Metric]:
    """Every metric family."""
    yield from _of_the_service(now, counters)
    yield from _of_runs(now, counters)
    yield from _of_fetches(now, counters)
    yield from _of_schedules(now, counters)


def _of_the_service(now: ServiceNow, counters: EventCounters) -> Iterator[Metric]:
    from prometheus_client.metrics_core import GaugeMetricFamily

    try:
        ours = version("crawler-engines")
    except PackageNotFoundError:  # a checkout that is not installed
        ours = "unknown"
    built = GaugeMetricFamily("crawler_build_info", "Always 1; versions are labels", labels=("version", "python"))
    built.add_metric((ours, platform.python_version()), 1)
    yield built
    yield GaugeMetricFamily("crawler_disk_free_bytes", "Room on the disk of the data folder", now.overview.disk_free)
    yield GaugeMetricFamily(
        "crawler_disk_full", "Whether runs pause because room is below disk_floor", float(now.overview.disk_full)
    )
    yield GaugeMetricFamily("crawler_queue_capacity", "Runs that may wait at most (max_queued)", now.queue_capacity)


def _of_runs(now: ServiceNow, counters: EventCounters) -> Iterator[Metric]:
    from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    active = GaugeMetricFamily("crawler_active_runs", "Runs that have not ended, by state", labels=("state",))
    for state, count in now.active.items():
        active.add_metric((state,), count)
    yield active
    ended = CounterMetricFamily("crawler_runs", "Runs that ended, by their last state", labels=("outcome",))
    for outcome, count in counters.ended.items():
        ended.add_metric((outcome,), count)
    yield ended
    so_far, buckets = 0, []
    for edge, count in zip((*map(str, LASTING), "+Inf"), counters.lasting, strict=True):
        so_far += count
        buckets.append((edge, so_far))
    yield HistogramMetricFamily(
        "crawler_run_duration_seconds", "From the start of a run to its end", buckets, counters.lasting_sum
    )
    yield CounterMetricFamily(
        "crawler_child_restarts", "Processes of runs that were started in place of another", counters.restarts
    )


def _of_fetches(now: ServiceNow, counters: EventCounters) -> Iterator[Metric]:
    from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, SummaryMetricFamily

    fetched = CounterMetricFamily("crawler_pages_fetched", "URLs that settled after a fetch", labels=("mode",))
    size = CounterMetricFamily("crawler_response_bytes", "Bytes of stored bodies, decoded", labels=("mode",))
    for mode, count in counters.urls.items():
        fetched.add_metric((mode,), count)
        size.add_metric((mode,), counters.bytes[mode])
    yield from (fetched, size)
    responses = CounterMetricFamily(
        "crawler_responses", "URLs that settled with a response, by the class of its status", labels=("status_class",)
    )
    for kind, count in counters.responses.items():
        responses.add_metric((kind,), count)
    yield responses
    errors = CounterMetricFamily(
        "crawler_fetch_errors", "URLs that ended otherwise than ok or as a redirect", labels=("reason",)
    )
    for reason, count in sorted(counters.errors.items()):
        errors.add_metric((reason,), count)
    yield errors
    yield SummaryMetricFamily(
        "crawler_fetch_duration_seconds",
        "The last fetch of each URL, from its start to its last byte",
        counters.fetches,
        counters.fetch_seconds,
    )
    urls = GaugeMetricFamily("crawler_frontier_urls", "URLs of the runs that have not ended", labels=("state",))
    urls.add_metric(("queued",), sum(max(0, one.queue - one.in_flight) for one in now.progress))
    urls.add_metric(("in_flight",), sum(one.in_flight for one in now.progress))
    urls.add_metric(("settled",), sum(one.settled for one in now.progress))
    yield urls


def _of_schedules(now: ServiceNow, counters: EventCounters) -> Iterator[Metric]:
    from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily

    late = [now.at - one.next_due for one in now.schedules if one.next_due is not None and not one.paused]
    yield GaugeMetricFamily(
        "crawler_schedule_lag_seconds", "How long the most overdue tick is overdue now", max([0.0, *late])
    )
    skips = CounterMetricFamily("crawler_schedule_skipped", "Ticks without a run, by reason", labels=("reason",))
    for reason, count in counters.skips.items():
        skips.add_metric((reason,), count)
    yield skips
    success = GaugeMetricFamily(
        "crawler_last_success_timestamp_seconds", "When a run of a schedule last succeeded", labels=("schedule",)
    )
    for one in now.schedules:
        if one.id in counters.successes:
            success.add_metric((one.id,), counters.successes[one.id])
    yield success
