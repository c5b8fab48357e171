"""The part of `bench` for --tls: which options go together, what is measured, and what is printed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from crawler.errors import UsageError

if TYPE_CHECKING:
    from crawler.bench.present import BenchTable
    from crawler.bench.race import RacePlan, Result
    from crawler.bench.web import BenchSite


class BenchColumn(NamedTuple):
    """A result as it is shown, and the exit code that says whether all did what they had to."""

    fields: dict[str, Any]
    table: BenchTable
    exit_code: int


def check_tls(url: str | None, tls: bool, ca_file: str | None, budget: bool) -> None:
    """Raises UsageError where options do not go together, or the certificates cannot be used."""
    from crawler.fetch.net.tls import tls_context

    if tls and budget:
        raise UsageError("--tls and --budget measure different things: choose one")
    if tls and url and not url.lower().startswith("https://"):
        raise UsageError("--tls needs a --url of https")
    if ca_file and not (tls and url):
        raise UsageError("--ca-file is for --tls with --url")
    if ca_file:
        tls_context(ca_file)


def over_tls(site: BenchSite, plan: RacePlan) -> tuple[str, RacePlan]:
    """The version of TLS and the cipher of the site, and the plan with the loops over https. Raises UsageError."""
    from crawler.bench.tls import agreed_with, loops_on

    return agreed_with(site), plan._replace(entrants=loops_on(site, plan.in_flight))


def shown_tls(found: Result, agreed: str, counted: bool) -> BenchColumn:
    """The result over https. `counted`: the server counted, too."""
    from crawler.bench.tls import as_fields, as_table

    fields, table = as_fields(found, agreed, counted=counted), as_table(found, agreed, counted=counted)
    return BenchColumn(fields, table, 0 if all(score.equal for score in found.scores) else 1)
