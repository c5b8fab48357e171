"""The options of the test web's commands that choose the web."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from crawler.errors import UsageError
from crawler.testweb.choice import PROFILE_NAMES, Choice, Profile
from crawler.testweb.flat import SIZE


def _chosen(*, numbers: tuple[str, ...], latency: float, scales: dict[str, float], **options: Any) -> Choice:
    """The web that the options describe. Raises UsageError."""
    given = dict(scales)
    for assignment in numbers:
        name, _, value = assignment.partition("=")
        try:
            given[name] = float(value)
        except ValueError as error:
            raise UsageError(f"--set {assignment}: expected NAME=NUMBER") from error
    return Choice(numbers=given, latency=latency / 1000, **options)


def web_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that choose the web; the command gets a `choice`."""

    @functools.wraps(command)
    def choosing(
        *,
        profile: Profile,
        seed: int,
        hosts: int | None,
        pages: int | None,
        flat: int | None,
        latency: float,
        spread: float,
        size: int,
        errors: float,
        latency_scale: float | None,
        size_scale: float | None,
        numbers: tuple[str, ...],
        sitemaps: bool,
        **rest: Any,
    ) -> Any:
        scales = {"latency_scale": latency_scale, "size_scale": size_scale}
        choice = _chosen(
            numbers=numbers,
            latency=latency,
            spread=spread,
            scales={name: scale for name, scale in scales.items() if scale is not None},
            profile=profile,
            seed=seed,
            hosts=hosts,
            pages=pages,
            flat=flat,
            size=size,
            errors=errors,
            sitemaps=sitemaps,
            tls=rest.get("tls") is not None or rest.get("certificate") is not None,
        )
        return command(choice=choice, **rest)

    wrapped: Callable[..., Any] = choosing
    for option in (
        click.option("--set", "numbers", multiple=True, metavar="NAME=NUMBER", help="Another parameter of a profile."),
        click.option("--size-scale", type=click.FloatRange(min=0), help="Scale of a profile's page sizes."),
        click.option("--latency-scale", type=click.FloatRange(min=0), help="Scale of a profile's times."),
        click.option("--errors", type=click.FloatRange(0, 1), default=0.0, help="Share of flat pages that fail once."),
        click.option(
            "--size", type=click.IntRange(min=0), default=SIZE, show_default=True, help="Bytes of a flat page."
        ),
        click.option(
            "--spread",
            type=click.FloatRange(0, 2),
            default=0.0,
            help="Sigma of the latencies of flat pages; 0: all alike.",
        ),
        click.option("--latency", type=click.FloatRange(min=0), default=0.0, help="Milliseconds per flat page."),
        click.option("--flat", type=click.IntRange(min=0), help="One host whose root lists so many pages, no more."),
        click.option("--pages", type=int, help="Pages.  [2000]"),
        click.option("--hosts", type=int, help="Hosts.  [demo: 40, else 200]"),
        click.option("--seed", type=int, default=1, show_default=True, help="Another seed is another web."),
        click.option(
            "--sitemaps", is_flag=True, help="Give the demo web sitemaps, with pages that nothing else names."
        ),
        click.option("--profile", type=click.Choice(PROFILE_NAMES), default="demo", show_default=True),
    ):
        wrapped = option(wrapped)
    return wrapped
