"""`ryla models diff | activate | rollback | history`: which versions of the weights are in use."""

import os
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from config.models import ModelTable, WeightFile
from config.settings import load_settings
from pipeline.cli import output
from pipeline.cli.models_options import Dir, Sets, gb
from pipeline.cli.options import Json
from pipeline.models.activation import (
    Change,
    activate,
    candidate,
    changes,
    changes_document,
    roll_back,
    sets_of,
    version_document,
)
from pipeline.models.models_folder import models_folder
from pipeline.models.sets import active_sets
from pipeline.models.versions import Sets as FilesBySet
from pipeline.models.versions import Version, history, latest

DIFF_HELP = """Say what `activate` would change: by set and role the file, its revision, bytes,
what is to download, and its licence.

Examples:

    ryla models diff

    ryla models diff flux-dev --with 3
"""
ACTIVATE_HELP = """Put sets in use as models.toml has them now; those of the available kinds unless
some are named.

Their files must be here (`ryla models pull`). Nothing is deleted: files of earlier versions stay,
so that `ryla models rollback` needs no download. Processes take it up when they start.

Example:

    ryla models activate flux-dev
"""
ROLLBACK_HELP = """Put the version before the one in use back in use, or the one that --to names.

Nothing is downloaded or deleted. Done again, it goes one further back.

Example:

    ryla models rollback
"""
HISTORY_HELP = """Show each activation and rollback; the last one is in use.

Example:

    ryla models history
"""


def register(group: typer.Typer) -> None:
    group.command("diff", help=DIFF_HELP)(_diff)
    group.command("activate", help=ACTIVATE_HELP)(_activate)
    group.command("rollback", help=ROLLBACK_HELP)(_rollback)
    group.command("history", help=HISTORY_HELP)(_history)


@output.command
def _diff(
    sets: Sets = None,
    against: Annotated[
        int | None, typer.Option("--with", metavar="N", help="A version of the history.")
    ] = None,
    dir: Dir = None,
    json: Json = False,
) -> None:
    folder, table = _here(dir)
    names = tuple(sets) if sets else active_sets(table)
    last = latest(folder)
    before = _only(last.sets if last else {}, names)
    after = sets_of(table, names) if against is None else _only(_find(folder, against).sets, names)
    found = list(changes(before, after, folder))
    if json:
        output.print_json(changes_document(found, last, against))
        return
    _print_changes([each for each in found if each.differs])
    if last is None:
        output.print_text("No version was activated here yet: models.toml itself is in use.")


@output.command
def _activate(sets: Sets = None, dir: Dir = None, json: Json = False) -> None:
    folder, table = _here(dir)
    names = tuple(sets) if sets else active_sets(table)
    made = activate(table, names, folder, datetime.now(UTC))
    used = made or latest(folder)
    if json:
        output.print_json({"changed": made is not None, **(version_document(used) if used else {})})
    elif made is None:
        output.print_text(
            f"Nothing to change: {', '.join(names)} are in use as the table has them."
        )
    else:
        output.print_text(
            f"Version {made.number} is in use from each process's next start: {', '.join(names)}"
        )


@output.command
def _rollback(
    to: Annotated[
        int | None, typer.Option("--to", metavar="N", help="A version of the history.")
    ] = None,
    dir: Dir = None,
    json: Json = False,
) -> None:
    made = roll_back(_folder(dir), datetime.now(UTC), to)
    if json:
        output.print_json(version_document(made))
    else:
        output.print_text(
            f"Version {made.number} is in use from each process's next start; it is what version"
            f" {made.back_to} was"
        )


@output.command
def _history(dir: Dir = None, json: Json = False) -> None:
    entries = history(_folder(dir))
    if json:
        output.print_json([version_document(entry) for entry in entries])
        return
    rows = [
        (entry.number, f"{entry.at:%Y-%m-%d %H:%M:%S}", _said(entry), name, print[:12])
        for entry in entries
        for name, print in entry.fingerprints.items()
    ]
    output.out().print(output.table(None, (">no", "=at", "=", "=set", "=fingerprint"), rows))


def _said(entry: Version) -> str:
    return entry.action if entry.back_to is None else f"{entry.action} to {entry.back_to}"


def _folder(given: Path | None) -> Path:
    return given or models_folder(load_settings(os.environ))


def _here(given: Path | None) -> tuple[Path, ModelTable]:
    folder = _folder(given)
    return folder, candidate(load_settings(os.environ).models_file, folder)


def _find(folder: Path, number: int) -> Version:
    found = {entry.number: entry for entry in history(folder)}
    if number not in found:
        known = ", ".join(map(str, found)) or "none"
        raise typer.BadParameter(f"there is no version {number}; there are: {known}")
    return found[number]


def _only(sets: FilesBySet, names: Iterable[str]) -> FilesBySet:
    return {name: sets[name] for name in names if name in sets}


def _print_changes(found: Sequence[Change]) -> None:
    if not found:
        output.print_text("Nothing would change.")
        return
    columns = ("=set", "=role", "file", "=revision", ">GB", ">to download", "licence")
    rows = [
        (
            each.set,
            each.role,
            _turned(each, lambda weight: f"{weight.folder}/{weight.file}"),
            _turned(each, lambda weight: (weight.revision or weight.sha256 or "?")[:12]),
            gb(each.after.bytes if each.after else None),
            gb(each.to_download),
            _turned(each, lambda weight: weight.licence),
        )
        for each in found
    ]
    output.out().print(output.table(None, columns, rows))
    unknown = [each for each in found if each.to_download is None]
    total = sum(each.to_download or 0 for each in found)
    more = f", and {len(unknown)} files of unknown length" if unknown else ""
    output.print_text(f"\nTo download: {total:,} bytes{more}")


def _turned(change: Change, said: Callable[[WeightFile], str]) -> str:
    before, after = (
        "(none)" if weight is None else said(weight) for weight in (change.before, change.after)
    )
    return after if before == after else f"{before}\n→ {after}"
