"""The section that answers for the reader's own job: a form that computes in the page, and a table of usual jobs. Pure.

Rules, and why:
- The form is shown by its script. Where scripts are off, the table answers for jobs like the reader's.
- The fitted model is in the page as JSON, so nothing is loaded. The script is the same in every report: the page allows
  it by its hash, and no other.
- Engines without a fit are left out of the form: it could only say what no engine can exceed.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from crawler.compare.advise.answer import FACTORS, advice, forecasts, origin, rate_of, source
from crawler.compare.advise.fit import LEAST, fit_session
from crawler.compare.advise.fitted import SHARE, CostModel
from crawler.compare.advise.model import LIMITS, Work
from crawler.compare.html_report.book import Book, Figure, Table
from crawler.report.numbers import seconds, share
from crawler.report.svg import escape

SCRIPT = Path(__file__).with_name("calculator.js")
PAGES = 1000
FIELDS = (
    ("latency", "Latency of the servers, ms", 1e-3, "any", 0, 3_600_000),
    ("cpu", "Your own CPU a page, ms", 1e-3, "any", 0, 3_600_000),
    ("cores", "Cores", 1, "1", 1, 1024),
    ("hosts", "Hosts", 1, "1", 1, 10**9),
    ("delay", "Delay between two fetches of a host, s", 1, "any", 0, 3600),
    ("slots", "Fetches in flight", 1, "1", 1, 100_000),
    ("payload", "Size of a page, kB", 1e3, "any", 0, 10**6),
    ("pages", "Pages of the job", 1, "1", 1, 10**12),
)
"""The fields of the form: name, label, unit in SI, step, least, most."""


def calculator(book: Book) -> tuple[list[Figure], str]:
    """The calculator; with no figure, why there is none."""
    if book.session.site:
        return [], "a comparison on a real site varies nothing that a cost model could be fitted to"
    model = fit_session(book.session, book.trials)
    error = model.error
    if error is None:
        return [], f"a cost model takes {LEAST} conditions of flat webs"
    fitted = [engine for engine in model.engines if engine.fitted]
    model = msgspec.structs.replace(model, engines=tuple(fitted))
    figure = Figure(
        f"A cost model forecasts pages/s with a median error of {share(error)}",
        "How fast would each engine do a job that was not measured, and what would limit it?",
        (),
        f"Fitted to the trials of this report: {source(model)}. In brackets the {share(SHARE)} interval, from those "
        "errors. Engines whose interval overlaps that of the fastest are tied with it; the advice is the one of them "
        "that takes the least CPU a page. Cores beyond those of the machine are an extrapolation. All pages are taken "
        "to be spread evenly over the hosts.",
        _usual(model),
        f"{origin(model.measured)}. For a job of yours: {book.called} compare advise --from DIR --latency 80ms; "
        f"data {book.data[:12]}",
        form=_form(model, book),
    )
    return [figure], ""


def usual_jobs(model: CostModel) -> list[Work]:
    """Jobs that many readers have, on the cores of the machine."""
    base = Work(latency=0.08, payload=model.measured.payload, slots=model.measured.slots, cores=model.measured.cores)
    changes: tuple[dict[str, float], ...] = (
        {"latency": 0.01},
        {},
        {"latency": 0.5},
        {"cpu": 0.001},
        {"cpu": 0.01},
        {"hosts": 1, "delay": 1.0},
        {"hosts": 200, "delay": 1.0},
        {"hosts": 200, "delay": 1.0, "cpu": 0.01},
    )
    return [msgspec.structs.replace(base, **change) for change in changes]


def _usual(model: CostModel) -> Table:
    names = [engine.name for engine in model.engines]
    rows = []
    for work in usual_jobs(model):
        found = forecasts(model, work, PAGES)
        advised = advice(found)
        tied = f" (tied: {', '.join(advised.tied)})" if advised.tied else ""
        rows.append([_job(work), *map(rate_of, found), advised.chosen + tied])
    return Table([f"job, {model.measured.slots} in flight", *(f"{name}, pages/s" for name in names), ":advice"], rows)


def _job(work: Work) -> str:
    parts = [f"latency {seconds(work.latency)}"]
    parts += [f"{seconds(work.cpu)} CPU a page"] if work.cpu else []
    hosts = "1 host" if work.hosts == 1 else f"{work.hosts} hosts"
    parts += [f"{hosts}, delay {seconds(work.delay)}"] if work.delay else []
    return ", ".join(parts)


def _form(model: CostModel, book: Book) -> str:
    """The form, hidden until its script runs."""
    measured = model.measured
    latency = book.found.headline.condition.latency if book.found.headline else 0.08
    values = Work(latency=latency, payload=measured.payload, slots=measured.slots, cores=measured.cores)
    given = msgspec.structs.asdict(values) | {"pages": PAGES}
    inputs = "".join(
        f'<label>{escape(label)} <input type="number" name="{name}" value="{given[name] / unit:g}" step="{step}" '
        f'min="{least}" max="{most}" data-unit="{unit:g}"></label>'
        for name, label, unit, step, least, most in FIELDS
    )
    head = ("engine", f"pages/s [{share(SHARE)}]", "time")
    heads = (
        "".join(f'<th scope="col">{escape(name)}</th>' for name in head) + "<th scope=col class=text>limited by</th>"
    )
    return (
        f'<div class="calculator" hidden><fieldset><legend>Your job</legend>{inputs}</fieldset>'
        f'<output aria-live="polite"></output><div class="scroll" role="region" tabindex="0" aria-label="Forecasts">'
        f"<table><thead><tr>{heads}</tr></thead><tbody></tbody></table></div>"
        f'<script type="application/json">{embedded(model)}</script></div>'
    )


def embedded(model: CostModel) -> str:
    """What the script needs to know, as JSON that cannot end its element."""
    engines = [{"name": one.name, "costs": one.costs, "reach": one.reach} for one in model.engines]
    facts = {
        "engines": engines,
        "limits": LIMITS,
        "ranges": model.measured.factor_ranges,
        "names": {name: said for name, (said, _) in FACTORS.items()},
    }
    return msgspec.json.encode(facts).decode().replace("<", "\\u003c")
