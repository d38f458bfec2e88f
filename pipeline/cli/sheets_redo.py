"""`ryla sheets redo`: views of an ended sheet made again by a new job."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from config.errors import InvalidInput
from handlers.character_sheet.plan import PlannedView
from pipeline.cli import output
from pipeline.cli.options import Json, StateDir, bucket_settings
from pipeline.cli.sheets_review import words
from pipeline.contract.manifest import parse_manifest
from pipeline.jobs.quote import Quote, quote
from pipeline.jobs.successors import find_successor, submit_successor
from pipeline.reviews.review import read_review
from pipeline.runtime import load_runtime
from pipeline.sheets.ended_sheet import EndedSheet, require_ended_sheet
from pipeline.sheets.redo import CHANGEABLE, redo_manifest, redo_root
from pipeline.sheets.reuse import check_reuse
from pipeline.store.conditional import SafeStore
from pipeline.store.open import open_store

HELP = """Make views of an ended sheet again, in a new job that reuses the others.

Views are named by number or name, several with commas between. The new job is `<id>-r2`, `<id>-r3`
and so on; asking for the same again is the same job. Only the views that are made are paid for.
Without --seed they get another seed; with the one of the first job (`ryla results ID --json`), hair
and clothes stay like those of the others.

Examples:

    ryla sheets redo ann --view 4,7

    ryla sheets redo ann --view front --set expression=smiling --seed 7

    ryla sheets redo ann --rejected --missing --dry-run
"""
FIRST = 2
"""The number of the first redo: the sheet itself counts as 1."""


def register(group: typer.Typer) -> None:
    group.command("redo", help=HELP)(_redo)


@output.command
def _redo(
    id: Annotated[str, typer.Argument(metavar="ID", help="The sheet's job.")],
    view: Annotated[
        list[str] | None, typer.Option("--view", metavar="VIEW,…", help="Views to make again.")
    ] = None,
    rejected: Annotated[
        bool, typer.Option("--rejected", help="Make those again that its review rejects.")
    ] = False,
    missing: Annotated[
        bool, typer.Option("--missing", help="Make those again that it lacks.")
    ] = False,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="FIELD=VALUE",
            help=f"Of all views that are made: {', '.join(CHANGEABLE)}.",
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Of the new job.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check and show, and send nothing.")
    ] = False,
    state_dir: StateDir = None,
    json: Json = False,
) -> None:
    if not (view or rejected or missing):
        raise typer.BadParameter("name views: --view, --rejected or --missing")
    settings = bucket_settings(state_dir)
    store, runtime = open_store(settings), load_runtime(settings, settings.engine)
    sheet = require_ended_sheet(store, id)
    views = _views(store, sheet, words(view), rejected=rejected, missing=missing)
    document = redo_manifest(sheet, {each.id for each in views}, _changes(changes), seed)
    root = redo_root(sheet)
    job, there = find_successor(store, root, "r", document, FIRST)
    manifest = parse_manifest(job.body)
    check_reuse(store, manifest, sheet.plan.lora.key if sheet.plan.lora else None)
    told = quote(manifest, settings, runtime.routes, runtime.gpus, store.now())
    answer: dict[str, Any] = {"id": job.id, "of": id, "sent": None, "state": None}
    if not dry_run:
        receipt = submit_successor(store, root, "r", document, FIRST)
        answer |= {"id": receipt.id, "sent": receipt.sent, "state": receipt.state}
    elif there:
        answer["sent"] = "already_there"
    kept = document["input"].get("reuse", {}).get("views", [])
    answer |= {
        "made": [each.id for each in views],
        "reused": kept,
        "estimate": told.document() if told else None,
        "warnings": list(told.warnings) if told else [],
        "manifest": document,
    }
    if json:
        output.print_json(answer)
    else:
        _print(answer, told, dry_run=dry_run)


def _views(
    store: SafeStore, sheet: EndedSheet, named: Sequence[str], *, rejected: bool, missing: bool
) -> tuple[PlannedView, ...]:
    """In the order of the sheet. Raises InvalidInput where there are none."""
    wanted = {view.id for view in sheet.views_named(named, "--view")}
    if rejected:
        review = read_review(store, sheet.id)
        wanted |= review.rejected if review else set()
    if missing:
        wanted |= {view.id for view in sheet.plan.views} - sheet.made
    found = tuple(view for view in sheet.plan.views if view.id in wanted)
    if not found:
        which = " or ".join(
            word for word, asked in (("rejected", rejected), ("missing", missing)) if asked
        )
        raise InvalidInput(
            f"no view of {sheet.id} is {which}",
            field="--rejected" if rejected else "--missing",
            value=sheet.id,
            hint=f"`ryla sheets review {sheet.id}` shows its views.",
        )
    return found


def _changes(given: Sequence[str] | None) -> dict[str, str]:
    changes: dict[str, str] = {}
    for each in given or ():
        name, equals, value = each.partition("=")
        if not equals:
            raise typer.BadParameter(f"--set {each}: write FIELD=VALUE")
        changes[name.strip()] = value.strip()
    return changes


def _print(answer: dict[str, Any], told: Quote | None, *, dry_run: bool) -> None:
    made, reused = len(answer["made"]), len(answer["reused"])
    sent = {"submitted": "is sent", "already_there": "is there already"}.get(
        str(answer["sent"]), "would be sent"
    )
    what = f"{made} made ({', '.join(answer['made'])}), {reused} reused"
    output.print_text(f"{answer['id']} {sent}: {what}")
    usd = told.estimate.usd if told else None
    if usd is not None:
        output.print_text(f"estimate: {output.usd(usd)} with one try of each")
    for warning in answer["warnings"]:
        output.err().print(warning, soft_wrap=True, markup=False)
    if not dry_run:
        output.print_text(f"`ryla watch {answer['id']}` follows it.")
