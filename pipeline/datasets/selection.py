"""Which pictures of a sheet are trained on. Pure.

docs/datasets.md has the rules in words. One bad picture spoils a set, so what nobody is sure of
stays out, and says why.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from handlers.character_sheet.combinations import Making
from handlers.character_sheet.records import FACE_BELOW_GATE, Picture, SheetRecords, Try
from handlers.character_sheet.sheet_document import SheetDocument
from handlers.character_sheet.sheet_plan import PlannedView, SheetPlan
from handlers.character_sheet.verdict import BASE_FACE
from handlers.faces.match import Reason
from handlers.faces.view import ViewReason
from pipeline.contract.result import MissingView, Output, Result
from pipeline.reviews.review import Verdict

REJECTED = "rejected"
"""Why a picture stays out that a person rejected."""
NOT_MADE = "not_made"
"""Why a view is out of which the result says nothing."""
KEEPABLE = frozenset({FACE_BELOW_GATE, ViewReason.HEAD_CUT.value})
"""Faults that a person may overrule. Any other means that the picture shows another view than its
caption would say, or nobody."""

Verdicts = Mapping[str, Verdict]
"""A person's, by a view's id."""
NO_VERDICTS: Verdicts = MappingProxyType({})


@dataclass(frozen=True)
class Picked:
    """A picture that is trained on."""

    view: PlannedView
    picture: Picture
    seed: int
    similarity: float | None = None
    match: float | None = None
    match_reason: str | None = None
    """Why there is no match. Beside one `profile` says that it counts for nothing."""
    overruled: str | None = None
    """The fault that a person overruled."""
    verdict: Verdict | None = None

    @property
    def counted_match(self) -> float | None:
        """The match, of a face that compares with those from the front."""
        return None if self.match_reason == Reason.PROFILE else self.match


@dataclass(frozen=True)
class LeftOut:
    view: PlannedView
    reason: str
    """`rejected`, or as in docs/datasets.md."""


@dataclass(frozen=True)
class Selection:
    """Of a sheet's views, in its order."""

    picked: tuple[Picked, ...] = ()
    left_out: tuple[LeftOut, ...] = ()


def select(
    plan: SheetPlan,
    result: Result,
    records: SheetRecords,
    document: SheetDocument | None = None,
    verdicts: Verdicts = NO_VERDICTS,
) -> Selection:
    """The result says which views there are, so it alone decides; records that came after it
    count for nothing. `document` has the scores of faces that were compared with one another."""
    chosen = tuple(_judged(plan, result, records, document, verdicts))
    return Selection(
        picked=tuple(one for one in chosen if isinstance(one, Picked)),
        left_out=tuple(one for one in chosen if isinstance(one, LeftOut)),
    )


def reason_against(
    view: PlannedView,
    output: Output | None,
    missing: MissingView | None,
    verdict: Verdict | None,
    *,
    lora: bool,
) -> str | None:
    """Why a view stays out, None for one that passes: it was chosen without a fault, or a person
    keeps it in spite of one in KEEPABLE.

    A view without a fault is as it was asked for, or could not be measured by rule (a profile, a
    view from behind), and its face is above the gate, or not gated by rule.
    """
    if verdict is Verdict.REJECT:
        return REJECTED
    keeps = verdict is Verdict.KEEP
    if output is not None:
        return BASE_FACE if shows_base_face(view, output, lora=lora) and not keeps else None
    if missing is None:
        return NOT_MADE
    return None if keeps and missing.reason in KEEPABLE and missing.best else missing.reason


def shows_base_face(view: PlannedView, output: Output, *, lora: bool) -> bool:
    """Whether its face is the base model's: in two passes none was found to be made anew. A LoRA
    makes the likeness in the first pass too."""
    untouched = output.resampled is None and output.face is None
    return view.making is Making.FACE_PASS and untouched and not lora


def _judged(
    plan: SheetPlan,
    result: Result,
    records: SheetRecords,
    document: SheetDocument | None,
    verdicts: Verdicts,
) -> Iterator[Picked | LeftOut]:
    outputs = {one.view.number: one for one in result.outputs if one.view is not None}
    missing = {one.number: one for one in result.missing}
    for view in plan.views:
        verdict = verdicts.get(view.id)
        output, lacks = outputs.get(view.nn), missing.get(view.nn)
        reason = reason_against(view, output, lacks, verdict, lora=plan.lora is not None)
        if reason is not None:
            yield LeftOut(view, reason)
        elif output is not None:
            yield _picked(view, output, document, verdict, lora=plan.lora is not None)
        elif lacks is not None:
            yield _kept(view, records, lacks) or LeftOut(view, lacks.reason)


def _picked(
    view: PlannedView,
    output: Output,
    document: SheetDocument | None,
    verdict: Verdict | None,
    *,
    lora: bool,
) -> Picked:
    face = output.face
    told = (
        next((one for one in document.views if one.number == view.nn), None) if document else None
    )
    return Picked(
        view,
        Picture.model_validate(output.model_dump(include=set(Picture.model_fields))),
        output.seed,
        similarity=told.similarity if told else face.similarity if face else None,
        match=told.match if told else face.match if face else None,
        match_reason=told.match_reason if told else face.reason if face else output.face_reason,
        overruled=BASE_FACE if shows_base_face(view, output, lora=lora) else None,
        verdict=verdict,
    )


def _kept(view: PlannedView, records: SheetRecords, missing: MissingView) -> Picked | None:
    """The best picture of a view that a person keeps in spite of its fault. None where that is only
    composed, and its face was still to be made: it shows somebody else."""
    made = records.of_view(view.nn).made
    best = next((one for one in made if one.picture.key == missing.best), None)
    if best is None:
        return None
    if not isinstance(best, Try):
        if view.making is not Making.COMPOSED:
            return None
        return Picked(view, best.picture, best.seed, overruled=missing.reason, verdict=Verdict.KEEP)
    return Picked(
        view,
        best.picture,
        best.seed,
        similarity=best.score.similarity,
        match=best.score.match,
        match_reason=best.reason or best.score.reason,
        overruled=missing.reason,
        verdict=Verdict.KEEP,
    )
