"""The commands of the built-in web: serve it, describe it, list what a crawl must find, judge a crawl by the log."""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import click
import msgspec

from crawler.errors import CrawlerError
from crawler.system.text import escape_unprintable
from crawler.testweb.choice import Choice
from crawler.testweb.options import web_options
from crawler.testweb.profile_web import ProfileWeb
from crawler.testweb.settings import Listening, to_toml
from crawler.testweb.sitemap_web import sitemaps_of
from crawler.testweb.web import Web


class _Group(click.Group):
    """Reports an error in one line with an exit code; exits silently where the reader of stdout is gone."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so the interpreter cannot fail at exit
            raise SystemExit(128 + signal.SIGPIPE) from None
        except (CrawlerError, OSError, msgspec.DecodeError) as error:
            click.echo(f"error: {escape_unprintable(_in_words(error))}", err=True)
            raise SystemExit(getattr(error, "exit_code", 2)) from error


def _in_words(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"cannot use {error.filename}: {error.strerror}; choose another file"
    return str(error)


@click.group(cls=_Group, invoke_without_command=True)
@click.pass_context
def testweb(context: click.Context) -> None:
    """A small web on loopback: a pure function of (seed, URL, attempt)."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@testweb.command()
@web_options
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port of all hosts; 0 takes a free one.")
@click.option(
    "--log", type=click.Path(dir_okay=False, path_type=Path), help="Append one JSON line per request to this file."
)
@click.option(
    "--settings", type=click.Path(dir_okay=False, path_type=Path), help="Write the crawler's configuration here."
)
@click.option("--until-eof", is_flag=True, help="End when standard input does.")
@click.option("--processes", type=click.IntRange(min=1), default=1, show_default=True, help="Processes that serve.")
@click.option(
    "--tls",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Serve https, and write the certificate to trust here.",
)
@click.option("--share", hidden=True)
@click.option("--certificate", type=click.Path(path_type=Path), hidden=True)
def serve(
    choice: Choice,
    port: int,
    log: Path | None,
    settings: Path | None,
    until_eof: bool,
    processes: int,
    tls: Path | None,
    share: str | None,
    certificate: Path | None,
) -> None:
    """Serve until interrupted. One line of JSON on stdout says where."""
    import uvloop

    from crawler.testweb.process import Share
    from crawler.testweb.process import serve as serve_web

    def listening(where: Listening) -> None:
        if settings:
            settings.write_text(to_toml(where.settings), encoding="utf-8")
        click.echo(msgspec.json.encode(where))

    part, _, parts = (share or "").partition("/")
    uvloop.run(
        serve_web(
            choice,
            port=port,
            log=log,
            until_eof=until_eof,
            listening=listening,
            processes=processes,
            authority=tls.resolve() if tls else None,
            share=Share(int(part), int(parts), certificate) if share else None,
        )
    )


@testweb.command()
@web_options
@click.option(
    "--delay", type=click.FloatRange(min=0), default=0.02, show_default=True, help="Seconds of rest per host."
)
def describe(choice: Choice, delay: float) -> None:
    """Print what a crawl of the web must come to, host by host."""
    from crawler.testweb.oracle import crawl_digest, expected, least_seconds, split

    web = choice.make()
    ends = expected(web, sitemaps=sitemaps_of(web))
    urls, least = Counter(split(url)[0] for url in ends), least_seconds(web, ends, delay)
    if isinstance(web, ProfileWeb):
        from crawler.testweb.statistics import table

        click.echo("\n".join(table(web, ends)))
    else:
        for name in web.names:
            part = web.hosts[name].part if isinstance(web, Web) else "flat"
            click.echo(f"{name}  {part:8}  {urls[name]:6} URLs  at least {least[name]:6.2f} s")
    reasons = Counter(end.reason.value for end in ends.values())
    click.echo(f"\nURLs     {len(ends)}: " + ", ".join(f"{count} {reason}" for reason, count in reasons.most_common()))
    click.echo(
        f"pages    {sum(end.html for end in ends.values())} HTML, {sum(end.size for end in ends.values())} bytes"
    )
    click.echo(f"digest   {crawl_digest(ends)}")
    click.echo(f"seconds  at least {max(least.values()):.2f} with {delay} s of rest per host")


@testweb.command()
@web_options
def oracle(choice: Choice) -> None:
    """Print one JSON line per URL that a crawl must settle: reason, status, attempts, size, digest."""
    from crawler.testweb.oracle import expected

    encode, web = msgspec.json.Encoder().encode, choice.make()
    for url, end in expected(web, sitemaps=sitemaps_of(web)).items():
        line = {"url": url, **msgspec.structs.asdict(end), "digest": end.digest.hex()}
        sys.stdout.write(encode(line).decode() + "\n")


@testweb.command()
@web_options
@click.argument("log", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--delay", type=click.FloatRange(min=0), required=True, help="Seconds of rest per host that were promised."
)
@click.option(
    "--per-host", type=click.IntRange(min=1), default=1, show_default=True, help="Most pages of a host at once."
)
@click.option("--kill", "kills", type=float, multiple=True, help="Monotonic second at which a process was killed.")
def judge(choice: Choice, log: Path, delay: float, per_host: int, kills: tuple[float, ...]) -> None:
    """Judge a crawl by the server's LOG; exit code 1 if it is not clean."""
    from crawler.testweb.referee import judge as judge_log

    verdict = judge_log(log, choice.make(), delay, per_host, kills=kills)
    click.echo(msgspec.json.format(msgspec.json.encode(verdict)))
    if not verdict.clean:
        sys.exit(1)
