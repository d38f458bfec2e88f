"""A character sheet that has ended, as it stands in the bucket: what a review, a redo and a
comparison begin with."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from config.errors import InvalidInput, JobForgotten, UnknownJob
from handlers.character_sheet.input import CharacterSheetInput
from handlers.character_sheet.sheet_document import SheetDocument
from handlers.character_sheet.sheet_files import DOCUMENT
from handlers.character_sheet.sheet_plan import PlannedView, SheetPlan
from pipeline.contract.keys import (
    check_id,
    clip,
    is_output_key,
    lease_key,
    manifest_key,
    result_key,
)
from pipeline.contract.manifest import parse_manifest
from pipeline.contract.result import Result, Status
from pipeline.sheets.cells import SHEET, read_plan
from pipeline.store.conditional import SafeStore

MAX_DOCUMENT_BYTES = 16 * 2**20
"""Of `sheet.json`. No more is read: a stranger may have put anything there."""


@dataclass(frozen=True)
class EndedSheet:
    manifest: bytes
    result: Result
    plan: SheetPlan

    @property
    def id(self) -> str:
        return self.result.id

    @property
    def tenant(self) -> str:
        return self.result.tenant or "default"

    @property
    def request(self) -> CharacterSheetInput:
        """What its manifest asks for. Raises a BadManifest where this version no longer reads it,
        and InvalidInput for one of another kind."""
        manifest = parse_manifest(self.manifest)
        if isinstance(manifest.input, CharacterSheetInput):
            return manifest.input
        raise InvalidInput(
            f"the manifest of {self.id} is of the kind {manifest.model}, its result of a sheet",
            field="id",
            value=self.id,
            hint="Somebody has overwritten one of them.",
        )

    def view(self, number: int) -> PlannedView:
        return self.plan.views[number - 1]

    @property
    def made(self) -> frozenset[str]:
        """Ids of the views that it has."""
        return frozenset(output.view.id for output in self.result.outputs if output.view)

    def views_named(self, words: Sequence[str], field: str) -> tuple[PlannedView, ...]:
        """The views by number, id or both (`4`, `front`, `04-front`), in the order of the sheet.
        Raises InvalidInput, which names those that there are."""
        return tuple(_named(self.plan, words, field))


def require_ended_sheet(store: SafeStore, id: str) -> EndedSheet:
    """Raises InvalidId, UnknownJob, JobForgotten, and InvalidInput for a job that has not ended, is
    no sheet, or of which nothing was begun."""
    stored, manifest = store.get(result_key(check_id(id))), store.get(manifest_key(id))
    result = None if stored is None else Result.parse(stored.body)
    if stored is None and manifest is None and store.get(lease_key(id), limit=1) is None:
        raise UnknownJob(
            f"no job {id} has ended",
            field="id",
            value=id,
            hint=f"Check the id; `ryla status {id}` says whether it waits.",
        )
    if result is None or result.id != id or manifest is None:
        raise _unfit(id, "has not ended", f"`ryla watch {id}` shows how far it is.")
    if result.status is Status.FORGOTTEN:
        raise JobForgotten(f"the job {id} is forgotten", field="id", value=id)
    if result.model != SHEET:
        raise _unfit(id, f"is a job of the kind {clip(result.model)}, no {SHEET}", None)
    plan = read_plan(store, id)
    if plan is None or plan.job_id != id:
        raise _unfit(id, "ended before anything of it was made", "Send its manifest again.")
    return EndedSheet(manifest.body, result, plan)


def read_sheet_document(store: SafeStore, result: Result) -> SheetDocument | None:
    """`sheet.json` of an ended sheet; None where nobody looked at its pictures, and for one that
    can be none by its key or its size."""
    file = next((each for each in result.files if each.name == DOCUMENT), None)
    if file is None or not is_output_key(file.key):
        return None
    stored = store.get(file.key, limit=MAX_DOCUMENT_BYTES)
    if stored is None or stored.size > MAX_DOCUMENT_BYTES:
        return None
    return SheetDocument.parse(stored.body)


def _named(plan: SheetPlan, words: Sequence[str], field: str) -> Iterator[PlannedView]:
    wanted = {_one(plan, word, field).nn for word in words}
    return (view for view in plan.views if view.nn in wanted)


def _one(plan: SheetPlan, word: str, field: str) -> PlannedView:
    found = {
        view.nn: view
        for view in plan.views
        if word in (view.id, view.name)
        or (word.isascii() and word.isdecimal() and int(word) == view.nn)
    }
    if len(found) == 1:
        return next(iter(found.values()))
    known = ", ".join(view.name for view in plan.views)
    if not found:
        raise InvalidInput(
            f"no view of {plan.job_id} is {clip(word)!r}",
            field=field,
            value=clip(word),
            hint=f"Name it by number or name: {known}.",
        )
    raise InvalidInput(
        f"{word!r} is the number of one view and the name of another",
        field=field,
        value=word,
        hint=f"Write it as one of {known}.",
    )


def _unfit(id: str, why: str, hint: str | None) -> InvalidInput:
    return InvalidInput(f"{id} {why}", field="id", value=id, hint=hint)
