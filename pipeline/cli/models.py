"""`ryla models`: the weight files. Here is what the table says of them: `list` and `plan`."""

from typing import Any

import typer

from config.gpus import load_gpus
from config.models import WeightFile
from pipeline.cli import models_files, models_versions, output
from pipeline.cli.models_options import Dir, Sets, gb, select
from pipeline.cli.options import Json
from pipeline.models.models_folder import State, glance
from pipeline.models.sets import GIB, Plan, plan

HELP = "Weight files: list, plan, verify, pull, add your own, and switch between versions."
LIST_HELP = """List the weight files of the table, and which are here.

Example:

    ryla models list
"""
PLAN_HELP = """Say what the sets of the available kinds take: bytes, and dollars a month on a
volume.

Examples:

    ryla models plan

    ryla models plan flux-dev sdxl-instantid
"""


def register(app: typer.Typer) -> None:
    group = typer.Typer(help=HELP, no_args_is_help=True, rich_markup_mode="markdown")
    app.add_typer(group, name="models")
    group.command("list", help=LIST_HELP)(_list)
    group.command("plan", help=PLAN_HELP)(_plan)
    models_files.register(group)
    models_versions.register(group)


@output.command
def _list(dir: Dir = None, json: Json = False) -> None:
    selection = select(None, dir)
    folder, models = selection.named, selection.models
    active = {weight.name for weight in selection.weights}
    rows: list[dict[str, Any]] = []
    for weight in models.weights_by_name.values():
        here = glance(folder, weight).state if folder else None
        sets = [name for name, roles in models.sets.items() if weight.name in roles.values()]
        rows.append(
            {
                "name": weight.name,
                "file": f"{weight.folder}/{weight.file}",
                "bytes": weight.bytes,
                "licence": weight.licence,
                "commercial_use": weight.commercial_use,
                "licence_note": weight.licence_note,
                "source": weight.repository or "your own",
                "verified": weight.verified,
                "active": weight.name in active,
                "sets": sets,
                "here": here,
            }
        )
    if json:
        output.print_json(rows)
        return
    columns = ("=file", ">GB", "licence", "commercial", "verified", "sets", "here")
    cells = [
        (
            row["file"],
            gb(row["bytes"]),
            row["licence"],
            _commercial(row),
            "yes" if row["verified"] else "no",
            ", ".join(row["sets"]),
            row["here"],
        )
        for row in rows
    ]
    output.out().print(output.table(None, columns, cells))


def _commercial(row: dict[str, Any]) -> str:
    if row["commercial_use"]:
        return "yes"
    return "by agreement" if row["licence_note"] else "no"


@output.command
def _plan(sets: Sets = None, dir: Dir = None, json: Json = False) -> None:
    selection = select(sets, dir)
    folder = selection.named
    prices = load_gpus(selection.settings.gpus_file)
    planned = plan(selection.weights, prices)
    to_come = (
        [weight for weight in planned.files if glance(folder, weight).state is State.MISSING]
        if folder
        else list(planned.files)
    )
    free_gib = prices.volume_free_gib
    if json:
        output.print_json(_document(selection.sets, planned, to_come, free_gib))
        return
    cells = [
        (
            f"{each.folder}/{each.file}",
            gb(each.bytes),
            each.licence,
            each.repository or "your own",
        )
        for each in planned.files
    ]
    output.out().print(output.table(None, ("=file", ">GB", "licence", "source"), cells))
    lines = [
        "",
        f"Sets      {', '.join(selection.sets)}",
        f"Bytes     {planned.bytes:,} ({planned.bytes / GIB:.1f} GiB)"
        f" in {len(planned.files)} files",
        f"To come   {sum(each.bytes or 0 for each in to_come):,} in {len(to_come)} files",
        f"A month   ${planned.usd_per_month:.2f} on a volume while the workspace stays within its"
        f" free {free_gib:g} GiB, else ${planned.usd_per_month_beyond_free:.2f}"
        f" (${prices.volume_usd_per_gib_month}/GiB, {prices.date})",
    ]
    if planned.unknown:
        lines.append(f"Unknown   length of {', '.join(planned.unknown)}: not in the sum")
    output.print_text("\n".join(lines))


def _document(
    sets: tuple[str, ...], plan: Plan, to_come: list[WeightFile], free_gib: float
) -> dict[str, Any]:
    return {
        "sets": sets,
        "files": [each.name for each in plan.files],
        "bytes": plan.bytes,
        "bytes_to_come": sum(each.bytes or 0 for each in to_come),
        "length_unknown": plan.unknown,
        "usd_per_month": round(plan.usd_per_month, 2),
        "usd_per_month_beyond_free": round(plan.usd_per_month_beyond_free, 2),
        "free_gib": free_gib,
    }
