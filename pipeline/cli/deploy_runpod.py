"""`ryla deploy runpod`: the workers' image, and whether the endpoints answer."""

import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import typer

from config.errors import DeployFailed, InvalidSetting
from config.gpus import load_gpus
from config.settings import Settings, load_settings
from pipeline.cli import output
from pipeline.cli.options import names_bucket
from pipeline.doctor import Health, Row, bucket_rows
from pipeline.engines.runpod import EndpointApi
from pipeline.runpod_app import runpod_check
from pipeline.runpod_app.image import dockerfile, write_context
from pipeline.runtime import routes_of_kinds


def run(root: Path, *, check: bool, context: Path | None, json: bool) -> None:
    """`root` is the project's folder. Without a flag the Dockerfile is printed."""
    settings = load_settings(os.environ)
    if check:
        _check(settings, json=json)
        return
    made = dockerfile(root, settings, os.environ)
    if context is None:
        output.print_text(made.text().rstrip())
        return
    try:
        write_context(made, context)
    except FileExistsError:
        raise DeployFailed(
            f"{context} is not empty", hint="Name a folder that is not there yet."
        ) from None
    if json:
        output.print_json({"context": str(context), "files": len(made.files)})
    else:
        output.print_text(
            f"{len(made.files)} files are in {context}.\n"
            f"docker build --platform linux/amd64 --tag REGISTRY/ryla-worker {context}"
        )


def _check(settings: Settings, *, json: bool) -> None:
    rows = list(_rows(settings))
    ready = all(row.health is not Health.FAILED for row in rows)
    if json:
        output.print_json({"ready": ready, "checks": [asdict(row) for row in rows]})
    else:
        cells = [(row.check, row.health, output.found_and_fix(row.found, row.fix)) for row in rows]
        output.out().print(output.table(None, ("check", "", "found"), cells))
    if not ready:
        raise typer.Exit(1)


def _rows(settings: Settings) -> Iterator[Row]:
    gpus = load_gpus(settings.gpus_file)
    routes = routes_of_kinds(settings, gpus)
    try:
        with closing(EndpointApi(settings)) as account:
            yield from runpod_check.of_endpoints(account, settings, routes)
    except InvalidSetting as error:
        yield Row("key", Health.FAILED, error.message, error.hint)
    yield runpod_check.of_prices(routes, gpus)
    if names_bucket(os.environ):
        yield from bucket_rows(settings)
    else:
        yield Row(
            "bucket",
            Health.WARNING,
            "not asked: no RYLA_* settings name one here",
            "Set here what the endpoints' environments hold, and check again.",
        )
