"""`ryla sheets redo`: views of ended sheets made again, by a new job for each sheet."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from config.errors import InvalidInput, RylaError
from handlers.character_sheet.sheet_plan import PlannedView
from pipeline.batches.lines import RowLine
from pipeline.batches.named import NamedSheets, sheets_named
from pipeline.cli import output
from pipeline.cli.options import Json, StateDir, bucket_settings
from pipeline.cli.sheets_review import words
from pipeline.contract.keys import manifest_key
from pipeline.contract.manifest import parse_manifest
from pipeline.contract.result import Status
from pipeline.dispatcher.preflight import check_work
from pipeline.jobs.quote import Quote, quote
from pipeline.jobs.status import State
from pipeline.jobs.submit import Prepared
from pipeline.jobs.successors import find_successor, submit_successor
from pipeline.reviews.review import Verdict
from pipeline.runtime import RuntimeConfig, load_runtime
from pipeline.sheets.ended_sheet import EndedSheet, require_ended_sheet
from pipeline.sheets.redo import CHANGEABLE, redo_manifest, redo_root
from pipeline.sheets.reuse import check_reuse
from pipeline.sheets.reviewed_views import reviewed_views
from pipeline.store.conditional import SafeStore
from pipeline.store.open import open_store

HELP = """Make views of an ended sheet again, in a new job that reuses the others.

Views are named by number or name, several with commas between. The new job is `<id>-r2`, `<id>-r3`
and so on; asking for the same again is the same job. Only the views that are made are paid for.
Without --seed they get another seed; with the one of the first job (`ryla results ID --json`), hair
and clothes stay like those of the others.

A batch's name stands for all of its sheets that have ended. Those without such views are passed
over, and a sheet that cannot be made again holds up no other.

Examples:

    ryla sheets redo ann --view 4,7

    ryla sheets redo ann --view front --set expression=smiling --seed 7

    ryla sheets redo ann --rejected --missing --dry-run

    ryla sheets redo autumn --failed --dry-run
"""
FIRST = 2
"""The number of the first redo: the sheet itself counts as 1."""


@dataclass(frozen=True)
class Asked:
    """What is to be made again."""

    views: Sequence[str]
    rejected: bool
    missing: bool
    changes: Mapping[str, str]
    seed: int | None
    dry_run: bool


def register(group: typer.Typer) -> None:
    group.command("redo", help=HELP)(_redo)


@output.command
def _redo(
    name: Annotated[str, typer.Argument(metavar="ID", help="The sheet's job, or a batch.")],
    view: Annotated[
        list[str] | None, typer.Option("--view", metavar="VIEW,…", help="Views to make again.")
    ] = None,
    rejected: Annotated[
        bool, typer.Option("--rejected", help="Make those again that its review rejects.")
    ] = False,
    missing: Annotated[
        bool, typer.Option("--missing", help="Make those again that it lacks.")
    ] = False,
    failed: Annotated[
        bool, typer.Option("--failed", help="Of a batch, what the sheets lack that failed.")
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
    named_views = words(view)
    if not (named_views or rejected or missing or failed):
        raise typer.BadParameter("name views: --view, --rejected, --missing or --failed")
    asked = Asked(named_views, rejected, missing or failed, _changes(changes), seed, dry_run)
    settings = bucket_settings(state_dir)
    store, runtime = open_store(settings), load_runtime(settings, settings.engine)
    named = sheets_named(store, [name])
    if named.lines:
        _redo_batch(store, runtime, named, asked, failed=failed, as_json=json)
        return
    if failed:
        raise typer.BadParameter(f"--failed is for a batch, and {name} is none")
    sheet = require_ended_sheet(store, named.ids[0])
    views = _views(store, sheet, asked)
    if not views:
        raise _none_such(sheet.id, asked)
    answer, told = _again(store, runtime, sheet, views, asked)
    if json:
        output.print_json(answer)
    else:
        _print(answer, told)
        if not dry_run:
            output.print_text(f"`ryla watch {answer['id']}` follows it.")


def _redo_batch(
    store: SafeStore,
    runtime: RuntimeConfig,
    named: NamedSheets,
    asked: Asked,
    *,
    failed: bool,
    as_json: bool,
) -> None:
    """One after the other: each takes a few requests, and a redo under way makes a sheet wait."""
    answers, errors, under_way = list[dict[str, Any]](), dict[str, RylaError](), list[str]()
    for line in named.lines:
        if not line.standing.ended or (failed and not _has_failed(line)):
            continue
        if line.under_way is not None:
            under_way.append(line.under_way.id)
            continue
        try:
            sheet = _asked_of(store, line, asked)
            views = _views(store, sheet, asked)
            if not views:
                continue
            answer, told = _again(store, runtime, sheet, views, asked)
        except RylaError as error:
            errors[line.standing.id] = error
            continue
        answers.append(answer)
        if not as_json:
            _print(answer, told)
    if as_json:
        output.print_json({"redos": answers, "under_way": under_way, "failed": [*errors]})
    for id in () if as_json else under_way:
        output.err().print(f"{id} has not ended: its row is left as it is", soft_wrap=True)
    for id, why in errors.items():
        output.print_error(why, as_json=as_json, about=id)
    if not as_json:
        would = "would be" if asked.dry_run else "are"
        count = sum(answer["sent"] != "already_there" for answer in answers)
        output.print_text(f"{count} of {len(named.lines)} sheets {would} made again")
    if errors:
        raise typer.Exit(1)


def _asked_of(store: SafeStore, line: RowLine, asked: Asked) -> EndedSheet:
    """The sheet of a row that is meant: the one that stands for it, but where that came of the same
    views being asked for, the one before. So a run that broke off is continued by the same command,
    and pays for none of its views twice."""
    for before in (line.own, *line.redos) if asked.views else ():
        if before.id == line.standing.id:
            break
        with suppress(RylaError):
            sheet = require_ended_sheet(store, before.id)
            job, there = _successor(store, sheet, _document(store, sheet, asked))
            if there and job.id == line.standing.id:
                return sheet
    return require_ended_sheet(store, line.standing.id)


def _document(store: SafeStore, sheet: EndedSheet, asked: Asked) -> dict[str, Any]:
    views = {each.id for each in _views(store, sheet, asked)}
    return redo_manifest(sheet, views, asked.changes, asked.seed)


def _root(store: SafeStore, sheet: EndedSheet) -> str:
    return redo_root(sheet, lambda id: store.get(manifest_key(id), limit=1) is not None)


def _successor(
    store: SafeStore, sheet: EndedSheet, document: Mapping[str, Any]
) -> tuple[Prepared, bool]:
    return find_successor(store, _root(store, sheet), "r", document, FIRST)


def _has_failed(line: RowLine) -> bool:
    return line.standing.status in (Status.FAILED, Status.CANCELLED, Status.REJECTED)


def _again(
    store: SafeStore,
    runtime: RuntimeConfig,
    sheet: EndedSheet,
    views: Sequence[PlannedView],
    asked: Asked,
) -> tuple[dict[str, Any], Quote | None]:
    """What is answered, and the estimate. Sends the job unless it is a dry run."""
    document = redo_manifest(sheet, {each.id for each in views}, asked.changes, asked.seed)
    job, there = _successor(store, sheet, document)
    manifest = parse_manifest(job.body)
    check_work(job.id, manifest, runtime)
    check_reuse(store, manifest, sheet.plan.lora.key if sheet.plan.lora else None)
    told = quote(manifest, runtime.settings, runtime.routes, runtime.gpus, store.now())
    answer: dict[str, Any] = {"id": job.id, "of": sheet.id, "sent": None, "state": None}
    if not asked.dry_run:
        receipt = submit_successor(store, _root(store, sheet), "r", document, FIRST)
        answer |= {"id": receipt.id, "sent": receipt.sent, "state": receipt.state}
    elif there:
        answer["sent"] = "already_there"
    answer |= {
        "made": [each.id for each in views],
        "reused": document["input"].get("reuse", {}).get("views", []),
        "estimate": told.document() if told else None,
        "warnings": list(told.warnings) if told else [],
        "manifest": document,
    }
    return answer, told


def _views(store: SafeStore, sheet: EndedSheet, asked: Asked) -> tuple[PlannedView, ...]:
    """In the order of the sheet. Raises InvalidInput for a view that it has not."""
    wanted = {view.id for view in sheet.views_named(asked.views, "--view")}
    if asked.rejected:
        said = reviewed_views(store, sheet.id)
        wanted |= {id for id, each in said.items() if each.verdict is Verdict.REJECT}
    if asked.missing:
        wanted |= {view.id for view in sheet.plan.views} - sheet.made
    return tuple(view for view in sheet.plan.views if view.id in wanted)


def _none_such(id: str, asked: Asked) -> InvalidInput:
    found = (("rejected", asked.rejected), ("missing", asked.missing))
    return InvalidInput(
        f"no view of {id} is {' or '.join(word for word, wanted in found if wanted)}",
        field="--rejected" if asked.rejected else "--missing",
        value=id,
        hint=f"`ryla sheets review {id}` shows its views.",
    )


def _changes(given: Sequence[str] | None) -> dict[str, str]:
    changes: dict[str, str] = {}
    for each in given or ():
        name, equals, value = each.partition("=")
        if not equals:
            raise typer.BadParameter(f"--set {each}: write FIELD=VALUE")
        changes[name.strip()] = value.strip()
    return changes


def _print(answer: dict[str, Any], told: Quote | None) -> None:
    made, reused = len(answer["made"]), len(answer["reused"])
    there = "has ended already" if answer["state"] == State.FINISHED else "is there already"
    sent = {"submitted": "is sent", "already_there": there}.get(
        str(answer["sent"]), "would be sent"
    )
    what = f"{made} made ({', '.join(answer['made'])}), {reused} reused"
    output.print_text(f"{answer['id']} {sent}: {what}")
    if answer["sent"] == "already_there":
        output.print_text("With another --seed the same views are made once more.")
        return
    usd = told.estimate.usd if told else None
    if usd is not None:
        output.print_text(f"estimate: {output.usd(usd)} with one try of each")
    for warning in answer["warnings"]:
        output.err().print(warning, soft_wrap=True, markup=False)
