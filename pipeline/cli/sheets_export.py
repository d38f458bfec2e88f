"""`ryla sheets export`: what a LoRA can be trained on, out of sheets that have ended."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from config.errors import DatasetError, RylaError
from config.models import ModelTable, load_models
from pipeline.batches.named import sheets_named
from pipeline.cli import output
from pipeline.cli.options import Json, StateDir, bucket_settings
from pipeline.datasets.export import Export, export_sheet
from pipeline.datasets.wish import CLASS_WORD, Wish
from pipeline.store.conditional import SafeStore
from pipeline.store.open import open_store

HELP = """Make a zip of sheets that have ended: the pictures that passed, with captions, as
ai-toolkit and kohya's sd-scripts take them.

Pictures that a person rejected stay out. Without --out a zip goes to exports/ID/SHA256.zip in the
bucket; the same sheet and review give the same bytes, and are stored once. docs/datasets.md says
what is in it.

A batch's name stands for all of its sheets that have ended, each by its newest redo that succeeded.

Exit code 3 when all were made and a set cannot be trained on by its own verdict.

Examples:

    ryla sheets export ann --out ann.zip --class woman

    ryla sheets export autumn --out sets --for flux-dev
"""
NOT_TRAINABLE = 3
"""Exit code."""


class TrainFor(StrEnum):
    SDXL = "sdxl"
    FLUX_DEV = "flux-dev"
    Z_IMAGE_TURBO = "z-image-turbo"


@dataclass(frozen=True)
class Line:
    id: str
    export: Export | None = None
    error: RylaError | None = None

    def document(self) -> dict[str, Any]:
        if self.export is None:
            return {"id": self.id, "error": output.fields_of(self.error) if self.error else None}
        made, told = self.export, self.export.document
        return {
            "id": self.id,
            "place": made.place,
            "sha256": made.sha256,
            "bytes": made.bytes,
            "written": made.fresh,
            "pictures": len(told.pictures),
            "left_out": [each.model_dump() for each in told.left_out],
            "trainable": told.set.trainable,
            "because": told.set.because,
            "wanting": told.set.wanting,
            "commercial_use": told.commercial_use,
        }


def register(group: typer.Typer) -> None:
    group.command("export", help=HELP)(_export)


@output.command
def _export(
    names: Annotated[list[str], typer.Argument(metavar="ID…", help="Sheets, or batches.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="PATH",
            help="A file that ends in .zip, or a folder that gets ID.zip of each sheet.",
        ),
    ] = None,
    trigger: Annotated[
        str | None,
        typer.Option("--trigger", metavar="WORD", help="Trigger word; the sheet's, else ohwx."),
    ] = None,
    class_word: Annotated[
        str, typer.Option("--class", metavar="WORD", help="What it is one of: woman, man …")
    ] = CLASS_WORD,
    train_for: Annotated[
        TrainFor | None,
        typer.Option("--for", help="Base model to train for; the sheet's unless given."),
    ] = None,
    state_dir: StateDir = None,
    json: Json = False,
) -> None:
    settings = bucket_settings(state_dir)
    store, models = open_store(settings), load_models(settings.models_file)
    wish = Wish(trigger, class_word, train_for.value if train_for else None)
    named = sheets_named(store, names)
    if _is_file(out) and (named.lines or len(named.ids) > 1):
        raise typer.BadParameter("--out names one file for several sheets: name a folder")
    lines = list(_lines(store, named.ids, models, out, wish))
    unfinished = [line.standing.id for line in named.unfinished]
    if json:
        exports = [line.document() for line in lines]
        output.print_json({"exports": exports, "unfinished": unfinished})
    else:
        _print(lines)
        for id in unfinished:
            output.err().print(f"{id} has not ended, and was left out", soft_wrap=True)
    _end(lines, as_json=json)


def _is_file(out: Path | None) -> bool:
    return out is not None and out.suffix.lower() == ".zip"


def _lines(
    store: SafeStore, ids: Sequence[str], models: ModelTable, out: Path | None, wish: Wish
) -> Iterator[Line]:
    """One failure touches no other sheet."""
    for id in ids:
        path = out if out is None or _is_file(out) else out / f"{id}.zip"
        try:
            yield Line(id, export_sheet(store, id, models, path, wish))
        except RylaError as error:
            yield Line(id, error=error)
        except OSError as error:
            why = DatasetError(f"{path} cannot be written: {error.strerror}", field="out")
            yield Line(id, error=why)


def _print(lines: Sequence[Line]) -> None:
    columns = ("=sheet", ">pictures", ">left out", "trainable", "commercial use", "=zip")
    rows = [_row(line) for line in lines if line.export]
    if rows:
        output.out().print(output.table(None, columns, rows))


def _row(line: Line) -> tuple[object, ...]:
    assert line.export is not None
    told = line.export.document
    allowed = {True: "yes", False: "no", None: "not known"}[told.commercial_use]
    return (
        line.id,
        len(told.pictures),
        len(told.left_out),
        "yes" if told.set.trainable else "no",
        allowed,
        line.export.place,
    )


def _end(lines: Sequence[Line], *, as_json: bool) -> None:
    for line in lines:
        if line.error:
            output.print_error(line.error, as_json=as_json, about=line.id)
    doubtful = [line for line in lines if line.export and not line.export.document.set.trainable]
    for line in () if as_json else doubtful:
        because = line.export.document.set.because if line.export else ""
        text = escape(f"{line.id} cannot be trained on as it is: {because}")
        output.err().print(f"[yellow]warning[/]: {text}", soft_wrap=True)
    if any(line.error for line in lines):
        raise typer.Exit(1)
    if doubtful:
        raise typer.Exit(NOT_TRAINABLE)
