"""`ryla doctor`."""

import os
from dataclasses import asdict

import typer

from config.errors import RylaError
from pipeline.cli import output
from pipeline.cli.options import Json, StateDir, bucket_settings
from pipeline.doctor import Health, Row, run_checks

HELP = """Check everything that the pipeline needs, and say how to mend what is amiss.

The settings, the bucket and whether its conditional writes are really conditional, ComfyUI, face
models, PostHog and SeaweedFS. Starts nothing; writes and removes one object under checks/.

Example:

    ryla doctor
"""


def register(app: typer.Typer) -> None:
    @app.command("doctor", help=HELP)
    @output.command
    def command(state_dir: StateDir = None, json: Json = False) -> None:
        rows: list[Row] = []
        try:
            settings = bucket_settings(state_dir, log_level="error")
        except RylaError as error:
            rows.append(
                Row("settings", Health.FAILED, f"{error.code}: {error.message}", error.hint)
            )
        else:
            rows.append(Row("settings", Health.OK, f"environment {settings.environment}"))
            rows += run_checks(settings, dict(os.environ))
        healthy = all(row.health is not Health.FAILED for row in rows)
        if json:
            output.print_json({"healthy": healthy, "checks": [asdict(row) for row in rows]})
        else:
            cells = [
                (row.check, row.health, output.found_and_fix(row.found, row.fix)) for row in rows
            ]
            output.out().print(output.table(None, ("check", "", "found"), cells))
        if not healthy:
            raise typer.Exit(1)
