"""`completion SHELL`: prints what a shell sources to complete commands, options and their values.

Rules:
- The shell asks by Click's protocol: it starts `crawler` with the words so far in the environment variable VARIABLE.
- Values are offered by the name of a parameter, in every command. The commands check values themselves, with better
  errors than a type of Click has, so the types that offer values are set only while a shell asks.
"""

from __future__ import annotations

from collections.abc import Iterable

import click

VARIABLE = "_CRAWLER_COMPLETE"
PROGRAM = "crawler"
SHELLS = ("bash", "zsh", "fish")
FILES = ("config", "output", "ca_file", "predictions", "save", "token_file")
FOLDERS = ("directory", "directories", "out", "origin", "folder", "data")


@click.command()
@click.argument("shell", metavar="SHELL", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> int:
    """Print the completion script for bash, zsh or fish.

    \b
    bash   eval "$(crawler completion bash)"           # in ~/.bashrc
    zsh    eval "$(crawler completion zsh)"            # in ~/.zshrc, after compinit
    fish   crawler completion fish | source            # in ~/.config/fish/config.fish
    """
    from click.shell_completion import get_completion_class

    script = get_completion_class(shell)
    assert script is not None
    click.echo(script(context.find_root().command, {}, PROGRAM, VARIABLE).source())
    return 0


def answer(cli: click.Command, instruction: str) -> int:
    """Answer a shell whose `instruction` is like `bash_complete`; returns the exit code. Raises UsageError."""
    from click.shell_completion import shell_complete

    from crawler.errors import UsageError

    shell, _, what = instruction.partition("_")
    if shell not in SHELLS or what not in ("source", "complete"):
        raise UsageError(f"bad value for {VARIABLE} = {instruction!r}: see `{PROGRAM} completion --help`")
    return shell_complete(cli, {}, PROGRAM, VARIABLE, instruction)


def offer_values(command: click.Command) -> None:
    """Make the parameters of a command, and of its subcommands, offer their values to a shell."""
    for parameter in command.params:
        name = parameter.name or ""
        if name in FILES:
            parameter.type = click.Path()
        elif name in FOLDERS:
            parameter.type = click.Path(file_okay=False)
        elif values := tuple(_values(name)):
            parameter.type = click.Choice(values)
    for below in getattr(command, "commands", {}).values():
        offer_values(below)


def _values(name: str) -> Iterable[str]:
    """The values of the parameter; none where they are free."""
    import variants
    from crawler.core.reopening import NAMES
    from crawler.fetch import ASYNC_CLIENTS, SYNC_CLIENTS
    from crawler.settings import KEYS, PROFILES

    choices: dict[str, Iterable[str]] = {
        "mode": variants.names(),
        "modes": variants.names(),
        "client": dict.fromkeys((*SYNC_CLIENTS, *ASYNC_CLIENTS)),
        "clients": dict.fromkeys((*SYNC_CLIENTS, *ASYNC_CLIENTS)),
        "loop": ("uvloop", "asyncio"),
        "loops": ("uvloop", "asyncio"),
        "scope": ("site", "host", "domain", "any"),
        "store": ("sqlite", "files"),
        "profile": PROFILES,
        "retry_reason": sorted(NAMES),
        "fail_on": ("incomplete", "limit", "stopped", "failed"),
        "preset": ("smoke", "quick", "standard"),
        "track": ("same", "idiomatic", "all"),
        "peers": ("scrapy", "crawlee", "wget2", "none"),
        "key": KEYS,
    }
    return choices.get(name, ())
