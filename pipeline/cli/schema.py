"""`ryla schema`."""

import json as jsonlib
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli import output
from pipeline.cli.options import Json
from pipeline.contract.schemas import SCHEMAS, schema

HELP = """Print JSON Schemas: manifest, result, metrics, sheet, lease, event.

Examples:

    ryla schema manifest

    ryla schema --out schemas/
"""

Name = StrEnum("Name", {name: name for name in SCHEMAS})  # type: ignore[misc]


def register(app: typer.Typer) -> None:
    @app.command("schema", help=HELP)
    @output.command
    def command(
        name: Annotated[
            Name | None, typer.Argument(metavar="[NAME]", help=f"One of {', '.join(SCHEMAS)}.")
        ] = None,
        out: Annotated[
            Path | None,
            typer.Option("--out", metavar="DIR", help="Write `<name>.schema.json` files there."),
        ] = None,
        json: Json = False,
    ) -> None:
        names = list(SCHEMAS) if name is None else [str(name)]
        schemas = {each: schema(each) for each in names}
        if out is None:
            document = schemas if name is None else schemas[str(name)]
            output.print_text(jsonlib.dumps(document, indent=2))
            return
        out.mkdir(parents=True, exist_ok=True)
        files = {each: out / f"{each}.schema.json" for each in names}
        for each, file in files.items():
            file.write_text(jsonlib.dumps(schemas[each], indent=2) + "\n", encoding="utf-8")
        if json:
            output.print_json({each: str(file) for each, file in files.items()})
        else:
            for file in files.values():
                output.print_text(str(file))
