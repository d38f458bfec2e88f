"""`ryla doctor`."""

import os
from dataclasses import asdict
from typing import Annotated

import typer

from config.errors import RylaError
from config.settings import Settings
from pipeline.cli import output
from pipeline.cli.options import Json, StateDir, bucket_settings
from pipeline.doctor import Health, Row, run_bucket_suite, run_checks
from pipeline.store.bucket_suite import Verdict

HELP = """Check everything that the pipeline needs, and say how to mend what is amiss.

The settings, the bucket and whether its conditional writes are really conditional, ComfyUI, face
models, PostHog and SeaweedFS. Starts nothing; writes and removes one object under checks/.

With --bucket-suite, the bucket alone, and every promise that the queue rests on: racing writers,
lost replies, listings, the clock. Some seconds, on R2 a minute. For a store that you have not used
before, and for any endpoint that says it speaks S3.

Example:

    ryla doctor --bucket-suite
"""

BucketSuite = Annotated[
    bool,
    typer.Option("--bucket-suite", help="Try every promise of the store that the queue rests on."),
]


def register(app: typer.Typer) -> None:
    @app.command("doctor", help=HELP)
    @output.command
    def command(
        state_dir: StateDir = None, bucket_suite: BucketSuite = False, json: Json = False
    ) -> None:
        if bucket_suite:
            _suite(bucket_settings(state_dir, log_level="error"), json)
            return
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


def _suite(settings: Settings, json: bool) -> None:
    findings = list(run_bucket_suite(settings))
    healthy = all(finding.health is not Verdict.FAILED for finding in findings)
    if json:
        output.print_json({"healthy": healthy, "checks": [asdict(each) for each in findings]})
    else:
        cells = [(each.check, each.health, each.found, each.carries) for each in findings]
        output.out().print(output.table(None, ("check", "", "found", "what rests on it"), cells))
    if not healthy:
        raise typer.Exit(1)
