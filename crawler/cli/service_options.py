"""The options by which commands find a service."""

from __future__ import annotations

import click

FOLDER = "crawler-data"
DATA = click.option("--data", metavar="DIR", default=FOLDER, show_default=True, help="The folder of the service.")
SERVICE = (
    DATA,
    click.option("--url", metavar="URL", help="A service elsewhere, instead of the one with this folder."),
    click.option("--token-file", metavar="FILE", help="The file of its token.  [DIR/token]"),
)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print what the API answers.")
