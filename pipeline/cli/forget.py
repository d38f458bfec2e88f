"""`ryla forget`."""

import os
import socket
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer

from config.errors import InvalidSetting
from config.settings import Settings, variable
from pipeline.cli import output
from pipeline.cli.options import Json, StateDir, bucket_settings
from pipeline.contract.keys import check_id
from pipeline.erasure.eraser import DELETERS, Erased, Eraser, Progress
from pipeline.erasure.finder import JOBS_AT_ONCE, Plan
from pipeline.erasure.inventory import Holding, Kept
from pipeline.erasure.scope import ChosenJob, Wish
from pipeline.jobs.cancel import Canceller
from pipeline.notify.sinks import make_sink
from pipeline.report.span import since
from pipeline.runtime import load_runtime
from pipeline.store.conditional import SafeStore
from pipeline.store.open import open_store

HELP = """Delete all that holds or derives from a person's face, or all of a job.

It finds the jobs, those that were made of them (redos, comparisons), and every object of theirs:
pictures sent and made, manifests, steps, reviews, datasets, thumbnails, what waits and what was
refused. It shows the list and asks; without a terminal it needs --yes. What runs is cancelled, and
it waits until nothing of it can run, some two minutes. A tombstone keeps each id used. Stopped at
any point, the same command goes on.

A subject is what the manifests of a tenant call the person: `metadata.subject`, a sheet's `name`,
`lora_id`, or `consent.record`, to the letter. There is no index: the whole of jobs/ is listed and
each manifest read. docs/erasure.md says what stays, and what is beyond this bucket.

Examples:

    ryla forget --tenant acme --subject ann --dry-run

    ryla forget --job portrait-1 --yes

    ryla forget --older-than 90d --yes
"""
SHOWN = 20
"""Jobs, and objects that stay, that people are shown; --json names all."""


def register(app: typer.Typer) -> None:
    @app.command("forget", help=HELP)
    @output.command
    def command(
        subject: Annotated[
            str | None, typer.Option("--subject", metavar="NAME", help="The person.")
        ] = None,
        tenant: Annotated[
            str | None, typer.Option("--tenant", metavar="TENANT", help="Whose jobs.")
        ] = None,
        job: Annotated[
            str | None, typer.Option("--job", metavar="ID", help="One job, and its redos.")
        ] = None,
        older_than: Annotated[
            str | None,
            typer.Option("--older-than", metavar="AGE", help="Jobs that ended before: 90d, 24h."),
        ] = None,
        expired: Annotated[
            bool,
            typer.Option(
                "--expired",
                help="Jobs that ended more than RYLA_RETENTION_DAYS ago; for a schedule.",
            ),
        ] = False,
        loras: Annotated[
            bool, typer.Option("--loras", help="Delete LoRAs that were trained on the person too.")
        ] = False,
        dry_run: Annotated[
            bool, typer.Option("--dry-run", help="Show what would go, and delete nothing.")
        ] = False,
        yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
        state_dir: StateDir = None,
        json: Json = False,
    ) -> None:
        settings = bucket_settings(state_dir)
        store = open_store(settings, DELETERS + JOBS_AT_ONCE)
        wish = _wish(settings, store, subject, tenant, job, older_than, expired=expired)
        eraser = _eraser(settings, store, quiet=json)
        plan = eraser.plan(wish)
        if json and dry_run:
            output.print_json(_plan_document(plan))
        elif not json:
            _print_plan(plan, loras=loras)
        if dry_run or not (json or plan.holdings or (loras and plan.loras)):
            return
        require_yes(plan, yes=yes)
        erased = eraser.erase(wish, loras=loras)
        if json:
            output.print_json(_erased_document(erased))
        else:
            _print_erased(erased)


def _wish(
    settings: Settings,
    store: SafeStore,
    subject: str | None,
    tenant: str | None,
    job: str | None,
    older_than: str | None,
    *,
    expired: bool,
) -> Wish:
    """Raises InvalidSetting for --expired without the setting."""
    if [subject is not None, job is not None, older_than is not None, expired].count(True) != 1:
        raise typer.BadParameter("give one of --subject, --job, --older-than and --expired")
    if subject is not None and tenant is None:
        raise typer.BadParameter("--subject needs --tenant: a name means a person of one tenant")
    if tenant is not None and (expired or older_than is not None):
        raise typer.BadParameter("a retention is of all tenants: leave --tenant out")
    if expired:
        if settings.retention_days is None:
            raise InvalidSetting(
                f"{variable('retention_days')} is not set, so no job expires",
                field=variable("retention_days"),
                hint="Set it, or give --older-than.",
            )
        return Wish(ended_before=since(f"{settings.retention_days}d", store.now()))
    if older_than is not None:
        return Wish(ended_before=since(older_than, store.now(), "--older-than"))
    return Wish(tenant, subject, None if job is None else check_id(job))


def _eraser(settings: Settings, store: SafeStore, *, quiet: bool) -> Eraser:
    canceller = Canceller(
        store=store,
        runtime=load_runtime(settings, settings.engine),
        sink=make_sink(settings),
        owner=f"forget@{socket.gethostname()}:{os.getpid()}",
    )
    return Eraser(store, settings, canceller, time.sleep, Progress() if quiet else _Told())


class _Told(Progress):
    """On stderr, a line for each."""

    def began(self, jobs: Sequence[ChosenJob]) -> None:
        output.err().print(f"{_count(len(jobs), 'job')} cannot run or be read any more")

    def waits(self, seconds: float) -> None:
        output.err().print(f"waiting {seconds:.0f} s, until nothing of them can run")


def require_yes(plan: Plan, *, yes: bool) -> None:
    """Raises BadParameter where nobody can be asked, Abort where somebody says no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise typer.BadParameter("nobody can be asked here: look at --dry-run, then give --yes")
    typer.confirm(f"Forget {_count(len(plan.jobs), 'job')} for good?", abort=True, err=True)


def _print_plan(plan: Plan, *, loras: bool) -> None:
    if not plan.holdings:
        output.print_text("Nothing is found that could be deleted.")
    rows = [(job.id, job.why) for job in plan.jobs[:SHOWN]]
    if rows:
        output.out().print(output.table(None, ("=job", "why"), rows))
    if len(plan.jobs) > SHOWN:
        output.print_text(f"and {len(plan.jobs) - SHOWN} more")
    if plan.holdings:
        output.out().print(output.table(None, ("objects", ">number", ">bytes"), _sums(plan)))
    _print_rest(plan.kept, () if loras else plan.loras)
    scan = plan.scan
    output.print_text(f"seen: {scan.objects:,} objects listed, {scan.manifests:,} manifests read")


def _sums(plan: Plan) -> list[tuple[object, ...]]:
    numbers, sizes = Counter[str](), Counter[str]()
    for holding in plan.holdings:
        numbers[holding.group] += 1
        sizes[holding.group] += holding.bytes
    rows = [(group, f"{number:,}", f"{sizes[group]:,}") for group, number in numbers.items()]
    return [*rows, ("in all", f"{numbers.total():,}", f"{sizes.total():,}")]


def _print_rest(kept: Sequence[Kept], loras: Sequence[Holding]) -> None:
    for each in kept[:SHOWN]:
        output.print_text(f"stays: {each.key}: {each.why}")
    if len(kept) > SHOWN:
        output.print_text(f"and {len(kept) - SHOWN} more stay")
    for lora in loras:
        output.print_text(f"stays: {lora.key}: trained on the person; --loras deletes it too")


def _print_erased(erased: Erased) -> None:
    _print_rest(erased.kept, erased.loras)
    output.print_text(
        f"{_count(len(erased.jobs), 'job')} forgotten, {erased.deleted:,} objects deleted,"
        f" {erased.bytes:,} bytes"
    )


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def _plan_document(plan: Plan) -> dict[str, Any]:
    return {
        "jobs": [asdict(job) for job in plan.jobs],
        "objects": [_object(each) for each in plan.holdings],
        "kept": [asdict(each) for each in plan.kept],
        "loras": [_object(each) for each in plan.loras],
        "seen": {"objects": plan.scan.objects, "manifests": plan.scan.manifests},
    }


def _object(holding: Holding) -> dict[str, Any]:
    return {"group": holding.group, "key": holding.key, "bytes": holding.bytes}


def _erased_document(erased: Erased) -> dict[str, Any]:
    return {
        "jobs": [asdict(job) for job in erased.jobs],
        "deleted": erased.deleted,
        "bytes": erased.bytes,
        "kept": [asdict(each) for each in erased.kept],
        "loras": [_object(each) for each in erased.loras],
    }
