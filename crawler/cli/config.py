"""`config`: write a commented configuration, show the effective one, explain a key."""

from __future__ import annotations

import click

from crawler.cli.options import CONFIGURATION, with_options

FILE = "crawler.toml"


@click.group()
def config() -> None:
    """Write, show and explain the configuration."""


@config.command()
@click.option("-o", "--output", metavar="FILE", default=FILE, show_default=True, help="Write here; - for stdout.")
def init(output: str) -> int:
    """Write every key with its default and what it means, to edit and pass as --config FILE."""
    from pathlib import Path

    from crawler.errors import StorageError, UsageError
    from crawler.settings.explained import commented_default
    from crawler.system.invocation import called
    from crawler.system.text import escape_unprintable

    if output == "-":
        click.echo(commented_default(), nl=False)
        return 0
    try:
        with Path(output).open("x", encoding="utf-8") as file:
            file.write(commented_default())
    except FileExistsError:
        raise UsageError(f"{output} exists; choose another file with -o, or remove it") from None
    except OSError as error:
        raise StorageError(f"cannot write {output}: {error.strerror}; choose another file with -o") from error
    click.echo(escape_unprintable(f"wrote {output}; edit it, then: {called()} --config {output} URL"))
    return 0


@config.command()
@with_options(CONFIGURATION)
def show(config: str | None, profile: str | None) -> int:
    """Show each key's value and where it comes from, as TOML: default, profile, file or environment."""
    from pathlib import Path

    from crawler.settings import ENVIRONMENT, read_environment, read_file
    from crawler.settings import profile as read_profile
    from crawler.settings.explained import Layer, with_origins
    from crawler.system.text import escape_unprintable

    layers: list[Layer] = []
    if profile:
        layers.append((f"--profile {profile}", read_profile(profile)))
    if config:
        layers.append((config, read_file(Path(config))))
    layers += [(f"{ENVIRONMENT}{key.upper()}", {key: value}) for key, value in read_environment().items()]
    for key, value, origin in with_origins(layers):
        unset = "" if value != "none" and not value.startswith("(") else "# "
        click.echo(escape_unprintable(f"{f'{unset}{key} = {value}':<44} # {origin}"))
    return 0


@config.command()
@click.argument("key", metavar="KEY")
def explain(key: str) -> int:
    """Explain one key: what it does, type, range, default, and where it can be set."""
    from crawler.settings import ENVIRONMENT, SECRET, explained
    from crawler.system.invocation import called

    name = key.lower().lstrip("-").replace("-", "_")
    found = explained.explain(name)
    places = ["a --config file"]
    if name not in SECRET:
        places += [f"the environment ({ENVIRONMENT}{name.upper()})"]
    if flag := _flag(name):
        places.append(flag)
    click.echo(f"{name}: {found.kind}; default {found.default}\n\n{found.text}\n\nSet in {', '.join(places)}.")
    click.echo(f"The value in effect: {called()} config show")
    return 0


def _flag(name: str) -> str:
    """The option of `crawl` that sets the key; "" where there is none."""
    from crawler.cli.crawl import crawl

    return next((one.opts[0] for one in crawl.params if one.name == name and isinstance(one, click.Option)), "")
