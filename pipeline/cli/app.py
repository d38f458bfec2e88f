"""The app: what stands around the commands."""

from typing import Annotated

import typer

from config.version import package_version
from pipeline.cli.commands import CommandGroup

HELP = """Image generation driven by object storage: manifests in, pictures and results out.

Settings are RYLA_* variables (docs/settings.md). While `ryla up` runs here, the commands use its
bucket unless RYLA_* variables name another.

Exit codes: 0 done, 1 something failed, 2 wrong usage, 130 Ctrl-C. A command that has others says
so.
"""

app = typer.Typer(
    name="ryla",
    cls=CommandGroup,
    help=HELP,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ryla {package_version()}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show it and exit."),
    ] = False,
) -> None:
    pass
