"""`compare advise`: pages/s of each mode for a job that was not measured, from a cost model fitted to a comparison."""

from __future__ import annotations

import re
from typing import Any

import click

from crawler.cli.options import with_options

UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0}
DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(us|ms|s|min)?", re.ASCII)
LONGEST = 3600.0


class DurationType(click.ParamType[float]):
    """A time like 80ms or 0.08s, in seconds; a bare number only where the option is in seconds everywhere else."""

    name = "duration"

    def __init__(self, bare: bool = False) -> None:
        self._bare = bare

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds, at most an hour."""
        if isinstance(value, float):
            return value
        found = DURATION.fullmatch(value.strip())
        if not found or not (found[2] or self._bare or float(found[1]) == 0):
            self.fail(f"{value!r} is not a time with its unit, like 80ms or 0.08s", param, ctx)
        amount = float(found[1]) * UNITS[found[2] or "s"]
        if amount > LONGEST:
            self.fail(f"{value!r} is more than an hour", param, ctx)
        return amount


class SizeType(click.ParamType[int]):
    """A size like 16K, in bytes."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Bytes."""
        from crawler.system.memory import parse_size

        try:
            return parse_size(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


JOB = (
    click.option("--latency", type=DurationType(), required=True, metavar="TIME", help="The server's, like 80ms."),
    click.option("--page-cpu", type=DurationType(), default=0.0, metavar="TIME", help="Your own CPU for a page.  [0]"),
    click.option("--cores", type=click.IntRange(1, 1024), metavar="N", help="Cores of the machine.  [all]"),
    click.option("--hosts", type=click.IntRange(1, 10**9), default=1, metavar="N", help="Hosts to crawl.  [1]"),
    click.option(
        "--delay",
        type=DurationType(bare=True),
        default=0.0,
        metavar="S",
        help="Between two fetches of a host.  [0: no limit for a host]",
    ),
    click.option(
        "--concurrency", type=click.IntRange(1, 100_000), metavar="N", help="Fetches in flight.  [as in the comparison]"
    ),
    click.option("--page-size", type=SizeType(), metavar="SIZE", help="Of a page, like 16K.  [as in the comparison]"),
    click.option("--pages", type=click.IntRange(1, 10**12), default=1000, metavar="N", help="Of the job.  [1000]"),
)


@click.command(name="advise")
@click.option("--from", "origin", metavar="DIR", help="A comparison of yours, or a saved model.  [that in the package]")
@click.option("--save", metavar="FILE", help="Keep the model that was fitted, for --from.")
@with_options(JOB)
@click.option("--json", "as_json", is_flag=True, help="Print the answer as one JSON object.")
def advise(origin: str | None, save: str | None, as_json: bool, **asked: Any) -> int:
    """Tell which mode suits a job that was not measured, and how fast each one would be.

    A cost model of each mode is fitted to the trials of a comparison. The interval of a forecast holds the errors that
    the model makes on conditions left out of the fit.
    """
    from pathlib import Path

    import msgspec

    from crawler.compare.advise import answer, shipped
    from crawler.compare.advise.model import Work
    from crawler.runtime.job import cores
    from crawler.system.text import escape_unprintable

    model = shipped.model_of(Path(origin)) if origin else shipped.shipped()
    if save:
        shipped.write_model(model, Path(save))
    work = Work(
        latency=asked["latency"],
        cpu=asked["page_cpu"],
        payload=asked["page_size"] or model.measured.payload,
        slots=asked["concurrency"] or model.measured.slots,
        cores=asked["cores"] or cores(),
        hosts=asked["hosts"],
        delay=asked["delay"],
    )
    if as_json:
        click.echo(msgspec.json.encode(answer.as_fields(model, work, asked["pages"])).decode())
        return 0
    for line in answer.lines(model, work, asked["pages"]):
        click.echo(escape_unprintable(line))
    return 0
