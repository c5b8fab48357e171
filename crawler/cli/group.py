"""The commands. `crawl` is the default: it gets every command line that does not begin with a command's name.

A command is imported only when it is used, so its one-line help is in this module.
"""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING

import click

from crawler.cli.signals import Signals

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

HELP = ("-h", "--help")
COMMANDS = {
    "crawl": ("crawler.cli.crawl", "Crawl; without a URL the built-in test web. The default command."),
    "resume": ("crawler.cli.resume", "Continue a crawl, in any mode."),
    "recrawl": ("crawler.cli.recrawl", "Crawl again, as the next generation: what did not change is not sent again."),
    "diff": ("crawler.cli.diff", "Show what changed between two generations of a crawl."),
    "status": ("crawler.cli.status", "Show how far a crawl is, also while it runs."),
    "list": ("crawler.cli.listing", "List the crawls in a folder: state, pages, when, size."),
    "verify": ("crawler.cli.verify", "Read everything back and check it."),
    "repair": ("crawler.cli.repair", "Rebuild a damaged crawl from what is left of it."),
    "export": ("crawler.cli.export", "Write one row per settled URL, with its content if wanted."),
    "cat": ("crawler.cli.cat", "Print the body of a stored page."),
    "report": ("crawler.cli.report", "Write a crawl's report.html, or several crawls side by side."),
    "compare": ("crawler.cli.compare", "Compare the modes on the same work; writes a report."),
    "bench": ("crawler.cli.bench", "Measure against the raw client loops and other crawlers, in ratios."),
    "serve": ("crawler.cli.serve", "Run jobs as a service: API, schedules, dashboard."),
    "job": ("crawler.cli.job", "Add, list, start and stop the jobs of a service."),
    "schedule": ("crawler.cli.schedule", "Say when the jobs of a service are run."),
    "config": ("crawler.cli.config", "Write, show and explain the configuration."),
    "completion": ("crawler.cli.completion", "Print what a shell needs to complete commands and options."),
    "testweb": ("crawler.testweb.commands", "Serve or describe the built-in test web."),
}
HIDDEN = {"supervised": "crawler.cli.supervised"}
"""Commands that only the service calls."""
EXAMPLES = (
    ("", "crawl the built-in test web"),
    ("https://example.org/ --out crawls/mine", "politely: one connection, 1 s between fetches"),
    ("--profile fast http://localhost:8000/", "a server of your own"),
    ("resume crawls/mine --mode processes", "go on after Ctrl-C or a limit, in any mode"),
    ("recrawl crawls/mine", "the same pages tomorrow; `diff crawls/mine` shows what changed"),
    ("export crawls/mine --format csv -o urls.csv", "one row per URL"),
    ("config explain delay", "what a key means, and where it is set"),
    ("serve", "jobs and schedules, with an API and a dashboard"),
)
STOPPED_IN_ORDER = ("crawl", "resume", "recrawl", "compare", "bench", "serve", "supervised")
"""Commands that shut down in an orderly way on a signal. All others exit at once."""


class DefaultGroup(click.Group):
    """A group with a default command and lazily imported commands."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `crawl` before arguments that do not begin with a command."""
        first = args[0] if args else ""
        if ctx.resilient_parsing and not args:  # a shell completes the first word
            return super().parse_args(ctx, args)
        if first not in COMMANDS and first not in HIDDEN and first not in HELP:
            if not ctx.resilient_parsing:
                _refuse_words(first)
            args = ["crawl", *args]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; None where there is none of that name."""
        if cmd_name not in COMMANDS and cmd_name not in HIDDEN:
            return None
        if cmd_name not in STOPPED_IN_ORDER and (signals := ctx.find_object(Signals)) is not None:
            signals.release()
        command: click.Command = getattr(import_module(HIDDEN.get(cmd_name) or COMMANDS[cmd_name][0]), cmd_name)
        if ctx.resilient_parsing:
            from crawler.cli.completion import offer_values

            offer_values(command)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        """The commands, and the options of the default command."""
        crawl = self.get_command(ctx, "crawl")
        assert crawl is not None
        return [*super().shell_complete(ctx, incomplete), *crawl.shell_complete(ctx, incomplete)]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, then the options of `crawl`."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])
        crawl = self.get_command(ctx, "crawl")
        assert crawl is not None
        crawl.format_options(click.Context(crawl, parent=ctx), formatter)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The examples, with the command as it was called."""
        with formatter.section("Examples"):
            formatter.write_dl([(f"{ctx.command_path} {words}".rstrip(), meaning) for words, meaning in EXAMPLES])


def _refuse_words(first: str) -> None:
    """Raises click.UsageError for a bare word, neither URL nor option: most likely a misspelled command."""
    if first and not first.startswith("-") and not set(first) & set(".:/["):
        close = get_close_matches(first, COMMANDS, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise click.UsageError(f"{first!r} is neither a command nor a URL{hint}")


@click.group(
    cls=DefaultGroup,
    subcommand_metavar="[crawl] [OPTIONS] [URL]... | COMMAND ...",
    options_metavar="",
    context_settings={"help_option_names": HELP},
)
def cli() -> None:
    """Crawl web sites: fast, politely, without losing a URL.

    The first use needs no network: without a URL the built-in test web is crawled.
    """
