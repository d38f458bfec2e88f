"""`ryla models`: the weight files."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from config.errors import InvalidInput, ModelError
from config.settings import Settings, load_settings
from config.tables import ModelTable, WeightFile, load_gpus
from pipeline.cli import models_shown as asking
from pipeline.cli import models_shown as shown
from pipeline.cli import models_versions, output
from pipeline.cli.models_shown import Dir, Sets
from pipeline.cli.options import Json
from pipeline.models import overlay
from pipeline.models.activation import candidate
from pipeline.models.add import add
from pipeline.models.files import State, glance, models_folder
from pipeline.models.hub import Hub, HuggingFace
from pipeline.models.pull import Pulled, prepare, pull, require_space
from pipeline.models.sets import GIB, active_sets, plan
from pipeline.models.verify import verify
from pipeline.models.versions import files_kept, is_aside

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
VERIFY_HELP = """Hash the files that are here, and hold table and hub against each other.

Facts that the table lacks, and files that were proven, are written into RYLA_MODELS_FILE if it is
set. Exit code 1 if a file is missing or wrong, or the hub says otherwise than the table.

Example:

    ryla models verify flux-dev
"""
PULL_HELP = """Download what is missing. A download that was cut is continued.

Every file's licence is shown first and must be accepted. A gated model names the page to accept it
on; the account's token is read from HF_TOKEN.

Example:

    ryla models pull z-image-turbo --accept-licences
"""
ADD_HELP = """Register a checkpoint of your own: it is checked, copied into the models folder, and
written into RYLA_MODELS_FILE.

Example:

    ryla models add ~/my-flux.safetensors --as flux-dev-uncensored
"""


@dataclass(frozen=True)
class Table:
    settings: Settings
    models: ModelTable
    sets: tuple[str, ...]

    @property
    def weights(self) -> tuple[WeightFile, ...]:
        return tuple(self.models.files(self.sets).values())

    def folder(self, given: Path | None) -> Path:
        return given or models_folder(self.settings)


def register(app: typer.Typer) -> None:
    group = typer.Typer(help=HELP, no_args_is_help=True, rich_markup_mode="markdown")
    app.add_typer(group, name="models")
    group.command("list", help=LIST_HELP)(_list)
    group.command("plan", help=PLAN_HELP)(_plan)
    group.command("verify", help=VERIFY_HELP)(_verify)
    group.command("pull", help=PULL_HELP)(_pull)
    group.command("add", help=ADD_HELP)(_add)
    models_versions.register(group)


@output.command
def _list(dir: Dir = None, json: Json = False) -> None:
    table = _table(None, dir)
    folder = _folder_if_named(table.settings, dir)
    active = {weight.name for weight in table.weights}
    rows: list[dict[str, Any]] = []
    for weight in table.models.weights_by_name.values():
        here = glance(folder, weight).state if folder else None
        sets = [name for name, roles in table.models.sets.items() if weight.name in roles.values()]
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
            shown.gb(row["bytes"]),
            row["licence"],
            shown.commercial(row),
            "yes" if row["verified"] else "no",
            ", ".join(row["sets"]),
            row["here"],
        )
        for row in rows
    ]
    output.out().print(output.table(None, columns, cells))


@output.command
def _plan(sets: Sets = None, dir: Dir = None, json: Json = False) -> None:
    table = _table(sets, dir)
    folder = _folder_if_named(table.settings, dir)
    prices = load_gpus(table.settings.gpus_file)
    planned = plan(table.weights, prices)
    to_come = (
        [weight for weight in planned.files if glance(folder, weight).state is State.MISSING]
        if folder
        else list(planned.files)
    )
    free_gib = prices.volume_free_gib
    if json:
        output.print_json(shown.planned(table.sets, planned, to_come, free_gib))
        return
    cells = [
        (
            f"{each.folder}/{each.file}",
            shown.gb(each.bytes),
            each.licence,
            each.repository or "your own",
        )
        for each in planned.files
    ]
    output.out().print(output.table(None, ("=file", ">GB", "licence", "source"), cells))
    lines = [
        "",
        f"Sets      {', '.join(table.sets)}",
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


@output.command
def _verify(
    sets: Sets = None,
    dir: Dir = None,
    offline: Annotated[bool, typer.Option("--offline", help="Ask no hub.")] = False,
    json: Json = False,
) -> None:
    table = _table(sets, dir)
    folder = table.folder(dir)
    hub = None if offline else _hub_if_there()
    with asking.bars(shown=not json) as on_file:
        verdicts = list(verify(table.weights, folder, hub, on_file))
    noted = _note(table.settings, {each.local.weight.name: each.learned for each in verdicts})
    if json:
        output.print_json([shown.verdict(each) for each in verdicts])
    else:
        cells = [
            (f"{w.folder}/{w.file}", each.local.state, shown.said(each))
            for each in verdicts
            for w in (each.local.weight,)
        ]
        output.out().print(output.table(None, ("=file", "", "found"), cells))
        output.print_text(noted)
    if any(each.bad or each.local.state is State.MISSING for each in verdicts):
        raise typer.Exit(1)


@output.command
def _pull(
    sets: Sets = None,
    dir: Dir = None,
    accept: Annotated[
        bool, typer.Option("--accept-licences", help="Accept the licences that are shown.")
    ] = False,
    json: Json = False,
) -> None:
    table = _table(sets, dir)
    folder = table.folder(dir)
    hub = HuggingFace()
    wanted = prepare(table.weights, folder, hub)
    needed = require_space(wanted, folder)
    if wanted and not accept:
        asking.accept([each.weight for each in wanted], needed, ask=not json)
    pulled: list[Pulled] = []
    with asking.bars(shown=not json) as on_file:
        for each in pull(wanted, hub, on_file):
            pulled.append(each)
            _note(table.settings, {each.weight.name: _facts(each)})
    if json:
        output.print_json([shown.pulled(each) for each in pulled])
        return
    for each in pulled:
        output.print_text(f"{each.path}  {shown.gb(each.bytes)} GB in {output.span(each.seconds)}")
    if not pulled:
        output.print_text(f"Nothing to pull: all {len(table.weights)} files are in {folder}.")


@output.command
def _add(
    file: Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False)],
    name: Annotated[str, typer.Option("--as", metavar="SET", help="Such as flux-dev-uncensored.")],
    licence: Annotated[str, typer.Option("--licence", help="Its name.")] = "your own",
    commercial_use: Annotated[
        bool, typer.Option("--commercial-use", help="Its licence allows commercial use.")
    ] = False,
    dir: Dir = None,
    json: Json = False,
) -> None:
    table = _table(None, dir)
    settings = table.settings
    if settings.models_file is None:
        raise InvalidInput(
            "no file of your own is named to register it in",
            field="RYLA_MODELS_FILE",
            hint="Set RYLA_MODELS_FILE, such as to models.toml in the folder of your deployment;"
            " it is made if it is not there.",
        )
    with asking.bars(shown=not json) as on_file:
        bar = WeightFile(
            name=name, folder="own", file=name, family="flux", licence="", commercial_use=False
        )
        added = add(
            file,
            name,
            table.models,
            table.folder(dir),
            licence=licence,
            commercial_use=commercial_use,
            on_bytes=lambda done: on_file(bar, done),
            kept=files_kept(table.folder(dir)),
        )
    overlay.write(settings.models_file, added.changes)
    if json:
        output.print_json(
            {"set": name, "path": added.path, "bytes": added.bytes, "sha256": added.sha256}
        )
        return
    output.print_text(f"{added.path}\nsha256 {added.sha256}\nSet {name} in {settings.models_file}")


def _table(sets: list[str] | None, dir: Path | None) -> Table:
    """As models.toml says, each file where it lies or is to lie."""
    settings = load_settings(os.environ)
    models = candidate(settings.models_file, _folder_if_named(settings, dir))
    return Table(settings, models, tuple(sets) if sets else active_sets(models))


def _folder_if_named(settings: Settings, given: Path | None) -> Path | None:
    named = given or settings.models_dir or settings.comfyui_dir
    return (given or models_folder(settings)) if named else None


def _hub_if_there() -> Hub | None:
    try:
        return HuggingFace()
    except ModelError as error:
        output.err().print(f"The hub is not asked: {error.message}", soft_wrap=True, markup=False)
        return None


def _note(settings: Settings, learned: dict[str, dict[str, overlay.Value]]) -> str:
    """Write facts into the operator's file, and say so."""
    changes = {("weights", name): facts for name, facts in learned.items() if facts}
    if not changes:
        return "Nothing new was learned."
    names = ", ".join(name for _, name in changes)
    if settings.models_file is None:
        return f"Set RYLA_MODELS_FILE to keep what was learned of {names}."
    overlay.write(settings.models_file, changes)
    return f"Written into {settings.models_file}: {names}"


def _facts(each: Pulled) -> dict[str, overlay.Value]:
    weight = each.weight
    facts: dict[str, Any] = {
        "bytes": each.bytes,
        "sha256": each.sha256,
        "revision": each.revision,
        "verified": True,
    }
    learned = {
        name: value
        for name, value in facts.items()
        if value is not None and not getattr(weight, name)
    }
    if "sha256" in learned and is_aside(weight):
        learned["file"] = weight.file  # with its checksum known, it would be looked for elsewhere
    return learned
