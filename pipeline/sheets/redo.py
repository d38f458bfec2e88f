"""The manifest that makes views of an ended sheet again and reuses the others. Pure."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from config.errors import InvalidInput
from config.nearest import nearest
from handlers.character_sheet.views import View
from pipeline.contract.document import read_document
from pipeline.contract.keys import clip
from pipeline.sheets.ended_sheet import EndedSheet

CHANGEABLE = ("head", "framing", "pose", "expression", "outfit", "light", "background")
"""Fields of a view that a redo may set; `head` by its name."""


def redo_manifest(
    sheet: EndedSheet,
    views: Collection[str],
    changes: Mapping[str, str] | None = None,
    seed: int | None = None,
) -> dict[str, Any]:
    """The new job's manifest: the sheet's own, but that it makes only `views` (ids) and reuses the
    others, with `changes` to the fields of `views`.

    Without `seed` there is none in it, so that it comes from the new id and the pictures are
    others. A deadline is left out, as it may be over. Raises InvalidInput, and a BadManifest where
    this version no longer reads the sheet's manifest.
    """
    document, request = read_document(sheet.manifest), sheet.request
    given: dict[str, Any] = {**document["input"]}
    kept = [view.id for view in request.chosen_views if view.id not in views]
    document.pop("deadline", None)
    for name in ("reuse", "seed"):
        given.pop(name, None)
    if seed is not None:
        given["seed"] = seed
    if kept:
        given["reuse"] = {"job": sheet.id, "views": kept}
    if changes:
        _require_changeable(changes)
        given.pop("view_ids", None)
        given["views"] = [
            {**_written(view), **(changes if view.id in views else {})}
            for view in request.chosen_views
        ]
    return {**document, "input": given}


def redo_root(sheet: EndedSheet, is_job: Callable[[str], bool]) -> str:
    """The id that a redo's own is derived from: of a sheet that is a redo itself, the one that its
    own was derived from.

    A redo reuses views, or has made all of them again. Then its id alone says it, and that
    `is_job` there is a job of the id without its ending.
    """
    base, dash, number = sheet.id.rpartition("-r")
    if not (dash and base and number.isascii() and number.isdecimal()):
        return sheet.id
    return base if sheet.request.reuse is not None or is_job(base) else sheet.id


def _written(view: View) -> dict[str, Any]:
    """As a manifest has it, without what is left out of one."""
    return {"id": view.id, **view.model_dump(mode="json", exclude_defaults=True)}


def _require_changeable(changes: Mapping[str, str]) -> None:
    for name in changes:
        if name not in CHANGEABLE:
            guess = nearest(name, CHANGEABLE)
            raise InvalidInput(
                f"{clip(name)!r} of a view cannot be set",
                field="--set",
                value=clip(name),
                hint=f"Did you mean {guess!r}?" if guess else f"Known: {', '.join(CHANGEABLE)}.",
            )
