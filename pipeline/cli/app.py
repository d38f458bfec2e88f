"""The app: every command, and what stands around them."""

from typing import Annotated

import typer

from config.settings import Settings
from pipeline.cli import (
    accept,
    cancel,
    comfyui,
    demo,
    deploy,
    dispatch,
    doctor,
    events,
    faces,
    keys,
    loras,
    models,
    report,
    results,
    schema,
    serve,
    status,
    submit,
    up,
    watch,
)

HELP = """Image generation driven by object storage: manifests in, pictures and results out.

Settings are RYLA_* variables (docs/settings.md). While `ryla up` runs here, the commands use its
bucket unless RYLA_* variables name another.

Exit codes: 0 done, 1 something failed, 2 wrong usage, 130 Ctrl-C.
"""

app = typer.Typer(
    name="ryla",
    help=HELP,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ryla {Settings().app_version}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show it and exit."),
    ] = False,
) -> None:
    pass


for group in (
    demo,
    up,
    submit,
    status,
    watch,
    cancel,
    report,
    results,
    dispatch,
    serve,
    keys,
    events,
    faces,
    loras,
    models,
    comfyui,
    schema,
    doctor,
    deploy,
    accept,
):
    group.register(app)
