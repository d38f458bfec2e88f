"""`ryla deploy`."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

import pipeline
from config.errors import DeployFailed, ModelError
from config.gpus import load_gpus
from pipeline.cli import deploy_runpod, output
from pipeline.cli.options import Json, names_bucket
from pipeline.doctor import Health, Row, bucket_rows
from pipeline.modal_app import modal_check, modal_deployment, resources
from pipeline.modal_app.container_files import APP_FILE
from pipeline.modal_app.idle_cost import IdleBill, KeptContainers, idle_bill, kept_containers
from pipeline.modal_app.modal_deployment import Deployment
from pipeline.models.hub import Hub, HuggingFace

HELP = """Deploy the app on Modal; with --check, say what is missing for that and deploy nothing.

The check looks for the token, the named secrets and their keys, volumes, weights and gated models,
and the bucket if RYLA_* settings name one here. It prints the command that makes each missing
thing, and what the deployment costs in a month in which nobody uses it. Exit code 1 if something
is missing.

RunPod builds no image and takes no code: `ryla deploy runpod` prints the Dockerfile of its workers,
or writes it to a folder with all files that `docker build` needs; with --check it asks the
endpoints of RYLA_RUNPOD_ENDPOINTS how they are.

Examples:

    ryla deploy --check

    ryla deploy

    ryla deploy runpod --dockerfile

    ryla deploy runpod --context image
"""
NOT_INSTALLED = (
    "pip install --require-hashes --no-deps -r requirements/modal.txt -r requirements/models.txt"
)


class Platform(StrEnum):
    MODAL = "modal"
    RUNPOD = "runpod"


def register(app: typer.Typer) -> None:
    @app.command("deploy", help=HELP)
    @output.command
    def command(
        platform: Annotated[Platform, typer.Argument(help="Where to.")] = Platform.MODAL,
        check: Annotated[
            bool, typer.Option("--check", help="Deploy nothing; say what is missing.")
        ] = False,
        dockerfile: Annotated[
            bool, typer.Option("--dockerfile", help="Print it; of RunPod.")
        ] = False,
        context: Annotated[
            Path | None,
            typer.Option("--context", metavar="DIR", help="Write what is built from; of RunPod."),
        ] = None,
        json: Json = False,
    ) -> None:
        if platform is Platform.RUNPOD:
            deploy_runpod.run(_root(), check=check, context=context, json=json)
        elif dockerfile or context is not None:
            raise typer.BadParameter("Modal builds its images itself; this is of RunPod")
        elif check:
            _check(_root(), json=json)
        else:
            _deploy(Deployment.of(_root(), os.environ), json=json)


def _root() -> Path:
    """The folder with the app's file: this one, or that of the project's source."""
    for folder in (Path.cwd(), Path(pipeline.__path__[0]).parent):
        if (folder / APP_FILE).is_file():
            return folder
    raise DeployFailed(
        f"there is no {APP_FILE} here",
        hint="Run it in the folder of the project's source: an installed package lacks it.",
    )


def _deploy(deployed: Deployment, *, json: bool) -> None:
    if find_spec("modal") is None:
        raise DeployFailed("modal is not installed", hint=f"Run `{NOT_INSTALLED}`.")
    from pipeline.engines.modal import ModalAccount

    environment = deployed.settings.modal_environment
    account = ModalAccount(environment)
    account.reach()
    _require_all(deployed, account)
    named = ("--env", environment) if environment else ()
    file = deployed.root.absolute() / APP_FILE
    command = (sys.executable, "-m", "modal", "deploy", *named, str(file))
    # What it says belongs to people; stdout is for the answer.
    done = subprocess.run(command, stdout=sys.stderr, check=False)
    if done.returncode != 0:
        raise DeployFailed(
            f"`modal deploy` ended with {done.returncode}",
            hint="Its own lines above tell why; `ryla deploy --check` says what is missing.",
        )
    if json:
        output.print_json({"app": deployed.settings.modal_app, "version": deployed.version})
    else:
        output.print_text(f"{deployed.settings.modal_app} {deployed.version} is deployed")


def _require_all(deployed: Deployment, account: modal_check.Account) -> None:
    """Raises DeployFailed with all that is missing: the platform names one thing at a time."""
    rows = modal_check.of_account(account, deployed.models, deployed.settings.modal_app)
    lacking = [row for row in rows if row.health is Health.FAILED]
    if lacking:
        raise DeployFailed(
            "; ".join(f"{row.check}: {row.found}" for row in lacking),
            hint="; ".join(f"`{row.fix}`" for row in lacking if row.fix),
        )


def _check(root: Path, *, json: bool) -> None:
    half = modal_check.of_settings(os.environ)
    given = {name: value for name, value in os.environ.items() if name not in modal_check.KEY_PAIR}
    deployed = Deployment.of(root, given if half else os.environ)
    rows = [*([half] if half else []), *_rows(deployed)]
    bill, kept = _idle_costs(deployed)
    ready = all(row.health is not Health.FAILED for row in rows)
    if json:
        output.print_json(
            {
                "ready": ready,
                "version": deployed.version,
                "checks": [asdict(row) for row in rows],
                "idle_month": {**asdict(bill), "usd": bill.usd},
                "kept_month": [asdict(each) for each in kept],
            }
        )
    else:
        cells = [(row.check, row.health, output.found_and_fix(row.found, row.fix)) for row in rows]
        output.out().print(output.table(None, ("check", "", "found"), cells))
        output.print_text(_told(bill))
        if kept:
            output.print_text(_told_kept(kept))
    if not ready:
        raise typer.Exit(1)


def _idle_costs(deployed: Deployment) -> tuple[IdleBill, list[KeptContainers]]:
    """Of a month in which nothing is asked for, and of what is kept ready all the same."""
    prices = load_gpus(deployed.settings.gpus_file)
    kept = list(
        kept_containers(
            *(deployed.settings, deployed.routes, prices),
            api_cores=modal_deployment.API_CORES,
            api_mib=modal_deployment.API_MIB,
        )
    )
    bill = idle_bill(
        deployed.settings,
        prices,
        run_s=modal_deployment.RUN_S,
        cpu_cores=modal_deployment.DISPATCHER_CORES,
        memory_mib=modal_deployment.DISPATCHER_MIB,
        weights_gib=modal_check.weights_gib(deployed.models),
    )
    return bill, kept


def _rows(deployed: Deployment) -> Iterator[Row]:
    yield modal_check.of_routes(deployed.routes)
    yield Row("version", Health.OK, deployed.version)
    if find_spec("modal") is None:
        yield Row("modal", Health.FAILED, "not installed", NOT_INSTALLED)
    else:
        from pipeline.engines.modal import ModalAccount

        account = ModalAccount(deployed.settings.modal_environment)
        yield from modal_check.of_account(account, deployed.models, deployed.settings.modal_app)
    yield modal_check.of_gates(deployed.models, _hub(), os.environ.get("HF_TOKEN"))
    keys = modal_check.of_keys(deployed.settings)
    if keys is not None:
        yield keys
    yield from _bucket(deployed)


def _hub() -> Hub | None:
    try:
        return HuggingFace(os.environ.get("HF_ENDPOINT"))
    except ModelError:
        return None


def _bucket(deployed: Deployment) -> Iterator[Row]:
    if names_bucket(os.environ):
        yield from bucket_rows(deployed.settings)
    else:
        secret = resources.of_app(resources.BUCKET, deployed.settings.modal_app)
        yield Row(
            "bucket",
            Health.WARNING,
            "not asked: no RYLA_* settings name one here",
            f"Set here what the secret {secret.name} holds, and check again.",
        )


def _told_kept(kept: list[KeptContainers]) -> str:
    lines = (
        f"  ${each.usd:.2f}  {each.name}, {each.option}"
        + (f"; up to ${each.most_usd:.2f} with work all month" if each.most_usd > each.usd else "")
        for each in kept
    )
    return "\n".join(("", "What is kept or pinned costs a month beside that:", *lines))


def _told(bill: IdleBill) -> str:
    gib = f"{bill.weights_gib:.1f} GiB of weights, and LoRAs up to their limit"
    return "\n".join(
        (
            "",
            f"A month in which nobody asks costs ${bill.usd:.2f}:",
            f"  ${bill.dispatcher_usd:.2f}  the dispatcher, which always runs",
            f"  ${bill.lists_usd:.2f}  {bill.lists:,} LIST requests, at the price of S3",
            f"  ${bill.volumes_usd:.2f}  volumes: {gib};"
            f" ${bill.volumes_usd_beyond_free:.2f} once what is free is used up",
        )
    )
