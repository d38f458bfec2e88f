"""A sheet beside the one that a trained LoRA made of the same views: does training help? Pure.

Both are measured by one yardstick: a face is compared with the faces of all other views of the
sheet before. So neither is scored against itself, and no view against the picture that it repeats.
The numbers are those that the records of the steps hold.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from handlers.character_sheet.likeness import Look, SheetLooks, sheet_looks
from handlers.character_sheet.records import SheetRecords
from handlers.character_sheet.sheet_document import SetVerdict
from handlers.character_sheet.sheet_plan import PlannedView, SheetPlan
from handlers.character_sheet.verdict import uncounted
from handlers.faces.boxes import Embedding
from handlers.faces.match import Baseline, match, similarity_to
from pipeline.contract.result import Output, Result
from pipeline.sheets.ended_sheet import EndedSheet


@dataclass(frozen=True)
class ComparedSheet:
    """An ended sheet with the records of its steps."""

    sheet: EndedSheet
    records: SheetRecords

    @property
    def plan(self) -> SheetPlan:
        return self.sheet.plan

    @property
    def result(self) -> Result:
        return self.sheet.result

    @property
    def looks(self) -> SheetLooks:
        return sheet_looks(self.records, {})


@dataclass(frozen=True)
class Side:
    """One view of one of the two sheets."""

    key: str | None
    """Of its picture; None where it is missing."""
    missing: str | None
    """Why."""
    ok: bool | None
    """Whether it is the view that was asked for; None where that could not be judged."""
    ok_reason: str | None
    seed: int | None
    similarity: float | None
    """Mean cosine to the faces of the other views of the sheet before, from -1 to 1."""
    match: float | None
    """0 to 1."""
    reason: str | None
    """Why there is no similarity: `back`, `profile`, `no_face` …"""


@dataclass(frozen=True)
class ComparedView:
    view: PlannedView
    before: Side
    after: Side


@dataclass(frozen=True)
class Comparison:
    """`before` and `after`, view by view and as sets."""

    before: str
    """Job."""
    after: str
    lora: str | None
    """Key of the LoRA of `after`."""
    lora_sha256: str | None
    views: tuple[ComparedView, ...]
    sets: tuple[SetVerdict | None, SetVerdict | None]
    differences: tuple[str, ...]
    """What is not the same in both, beside the LoRA; in words."""

    def means(self, name: str) -> tuple[float | None, float | None]:
        """Of `similarity` or `match`, over the views where both are known."""
        both = [
            (getattr(each.before, name), getattr(each.after, name))
            for each in self.views
            if None not in (getattr(each.before, name), getattr(each.after, name))
        ]
        if not both:
            return None, None
        return fmean(one for one, _ in both), fmean(other for _, other in both)

    def right(self) -> tuple[int, int]:
        """How many views are there and not wrong."""
        before = sum(each.before.key is not None for each in self.views)
        return before, sum(each.after.key is not None for each in self.views)


def compare_sheets(before: ComparedSheet, after: ComparedSheet) -> Comparison:
    """View by view, by their ids; those of `before` alone are compared with nothing."""
    known, looks = before.looks, after.looks
    apart = _embedders_differ(known, looks)
    faces = _faces(before.plan, known.views)
    views = []
    for view in before.plan.views:
        again = next((each for each in after.plan.views if each.id == view.id), view)
        others = [face for nn, face in faces.items() if nn != view.nn]
        views.append(
            ComparedView(
                view,
                _side(before, view, known.views, others, known.baseline, None),
                _side(after, again, looks.views, others, known.baseline, apart),
            )
        )
    lora = after.plan.lora
    return Comparison(
        before=before.result.id,
        after=after.result.id,
        lora=None if lora is None else lora.key,
        lora_sha256=None if lora is None else lora.sha256,
        views=tuple(views),
        sets=(before.result.sheet, after.result.sheet),
        differences=tuple(_differences(before, after, views)),
    )


def _embedders_differ(before: SheetLooks, after: SheetLooks) -> str | None:
    both = before.embedder is not None and after.embedder is not None
    return "other_embedder" if both and before.embedder != after.embedder else None


def _faces(plan: SheetPlan, looks: Mapping[int, Look]) -> dict[int, Embedding]:
    """Of the views whose faces compare, by number."""
    return {
        view.nn: look.embedding
        for view in plan.views
        for look in [looks.get(view.nn)]
        if look is not None
        and look.embedding is not None
        and uncounted(view, look, plan.thresholds) is None
    }


def _side(
    sheet: ComparedSheet,
    view: PlannedView,
    looks: Mapping[int, Look],
    others: Sequence[Embedding],
    baseline: Baseline | None,
    apart: str | None,
) -> Side:
    output = _output(sheet.result, view.id)
    if output is None:
        gone = {each.id: each.reason for each in sheet.result.missing}
        why = gone.get(view.id, "not_made")
        return Side(None, why, None, None, None, None, None, "missing")
    look = looks.get(view.nn)
    reason = uncounted(view, look, sheet.plan.thresholds) or apart
    if reason is None and not others:
        reason = "nothing_to_compare_with"
    similar = None
    if reason is None and look is not None and look.embedding is not None:
        similar = similarity_to(look.embedding, others)
    found = output.view
    return Side(
        key=output.key,
        missing=None,
        ok=found.ok if found else None,
        ok_reason=found.reason if found else None,
        seed=output.seed,
        similarity=similar,
        match=None if similar is None or baseline is None else match(similar, baseline),
        reason=reason,
    )


def _output(result: Result, view: str) -> Output | None:
    return next((each for each in result.outputs if each.view and each.view.id == view), None)


def _differences(
    before: ComparedSheet, after: ComparedSheet, views: Sequence[ComparedView]
) -> Iterator[str]:
    one, other = before.plan, after.plan
    if one.base != other.base:
        yield f"the base: {one.base} before, {other.base} after, with its own sampling"
    if one.references and not other.references:
        yield (
            "who makes the face: InstantID by the references before, the LoRA alone after; heads"
            " are turned by words, not by landmarks"
        )
    if one.lora is not None and one.lora != other.lora:
        yield f"the LoRA before: {one.lora.key}"
    if one.trigger_word != other.trigger_word:
        yield f"the trigger word: {one.trigger_word!r} before, {other.trigger_word!r} after"
    seeds = [
        each.view.name
        for each in views
        if each.before.key and each.after.key and each.before.seed != each.after.seed
    ]
    if seeds:
        yield f"the seed of {', '.join(seeds)}: another attempt was chosen, or it is reused"
