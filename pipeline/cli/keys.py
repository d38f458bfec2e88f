"""`ryla keys`: keys of the HTTP API."""

from typing import Annotated

import typer

from config.errors import InvalidSetting
from pipeline.api.auth import hashed, new_key
from pipeline.cli import output
from pipeline.cli.options import Json
from pipeline.contract.keys import NAME_PATTERN, is_name

HELP = "Keys of the HTTP API."
NEW_HELP = """Make a key for a tenant. It is shown once and kept nowhere.

RYLA_API_KEYS holds its hash: put what is printed there, with a comma between several. A tenant may
have several keys; taking one out ends it.

Example:

    ryla keys new acme
"""


def register(app: typer.Typer) -> None:
    group = typer.Typer(help=HELP, no_args_is_help=True, rich_markup_mode="markdown")
    group.callback()(lambda: None)  # or a group of one command would be that command

    @group.command("new", help=NEW_HELP)
    @output.command
    def new(
        tenant: Annotated[str, typer.Argument(metavar="TENANT", help="Whose jobs it sends.")],
        json: Json = False,
    ) -> None:
        if not is_name(tenant):
            raise InvalidSetting(
                f"{tenant!r} cannot be a tenant", value=tenant, hint=f"It matches {NAME_PATTERN}."
            )
        key = new_key()
        setting = f"{tenant}:{hashed(key)}"
        if json:
            output.print_json({"tenant": tenant, "key": key, "setting": setting})
            return
        output.print_text(f"key            {key}")
        output.print_text(f"RYLA_API_KEYS  {setting}")

    app.add_typer(group, name="keys")
