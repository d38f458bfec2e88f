"""A sheet judged: each view, and the set of them. Pure.

Numbers come from what the records say and from how the chosen pictures look; what was not measured
stays null, with a reason.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import fmean

from handlers.character_sheet import prompts
from handlers.character_sheet.combinations import ScoredAgainst
from handlers.character_sheet.likeness import Look, SheetLooks, differing_bits
from handlers.character_sheet.records import Composition, SheetRecords, Try, ViewRecords
from handlers.character_sheet.sheet_document import (
    Coverage,
    DocumentView,
    Pair,
    SetVerdict,
    SheetDocument,
)
from handlers.character_sheet.sheet_plan import PlannedView, SheetPlan, Thresholds
from handlers.character_sheet.trainable import Facts, reasons_against, summary, wanting
from handlers.faces.boxes import Embedding
from handlers.faces.match import Baseline, Reason, match, similarity

BASE_FACE = "base_face"
"""Why a view with a face has no score: none was found to be made anew, so it has the base's own."""
ALIKE_BITS = 6
"""Of 64; two pictures that differ in no more are as good as one."""
ALIKE_DEGREES = 10.0
"""Of yaw and pitch; heads that were asked to differ by less are the same."""


@dataclass(frozen=True)
class _Cell:
    """A view with what there is of it."""

    view: PlannedView
    records: ViewRecords
    chosen: Composition | Try | None
    """None where the view is missing."""
    look: Look | None
    similarity: float | None = None
    match: float | None = None
    reason: str | None = None

    @property
    def name(self) -> str:
        return self.view.name


def judge_sheet(
    plan: SheetPlan,
    records: SheetRecords,
    looks: SheetLooks,
    *,
    usd: float,
    why_missing: str = "not_made",
) -> SheetDocument:
    """The document of a sheet that ends now.

    A look that is missing is of a picture that nobody looked at. `usd` is the sheet's whole cost.
    `why_missing` is told of views that have no choice. The baseline is that of the scores, which
    knows the references; where there are none, the calibration's.
    """
    known = _recorded_baseline(records) or looks.baseline
    cells = [_cell(view, records, looks.views) for view in plan.views]
    scored, reference = _scored(plan, cells, known)
    whole = records.seconds
    views = tuple(
        _document_view(cell, usd * cell.records.seconds / whole if whole else 0.0, why_missing)
        for cell in scored
    )
    return SheetDocument(
        job_id=plan.job_id,
        name=plan.name,
        base=plan.base,
        scored_against=plan.scored_against,
        reference_view=reference,
        references=plan.references,
        embedder=looks.embedder or _recorded_embedder(records),
        lora=plan.lora,
        trigger_word=plan.trigger_word,
        weights={
            **plan.composition_weights,
            **{f"face_{role}": weight for role, weight in plan.face_weights.items()},
        },
        thresholds=plan.thresholds,
        usd=usd,
        views=views,
        set=_set(plan, scored, known),
    )


def _cell(view: PlannedView, records: SheetRecords, looks: Mapping[int, Look]) -> _Cell:
    made = records.of_view(view.nn)
    has = made.choice is not None and made.choice.made
    return _Cell(view, made, made.chosen if has else None, looks.get(view.nn) if has else None)


def uncounted(view: PlannedView, look: Look | None, thresholds: Thresholds) -> str | None:
    """Why a picture's face is not compared, None for one that is."""
    if view.back:
        return "back"
    if look is None or not look.measured:
        return "not_measured"
    if look.embedding is None:
        return "no_face"
    if abs(look.yaw) > thresholds.identity_to:
        return Reason.PROFILE
    return "face_too_small" if look.side < thresholds.least_face else None


def _scored(
    plan: SheetPlan, cells: Sequence[_Cell], baseline: Baseline | None
) -> tuple[list[_Cell], str | None]:
    """The cells with their scores, and the name of the view that they are scored against."""
    if plan.scored_against is ScoredAgainst.REFERENCES:
        return [_as_recorded(cell) for cell in cells], None
    faces = _faces(plan, cells)
    front = None
    if plan.scored_against is ScoredAgainst.BEST_FRONT:
        fronts = [cell for cell in faces if prompts.angle(cell.view.asked.head) == "front"]
        front = max(fronts, key=lambda cell: _mean_to_others(cell, faces), default=None)
    others = [front] if front else list(faces)
    scored = [_compared(cell, others, plan.thresholds, baseline) for cell in cells]
    return scored, front.name if front else None


def _as_recorded(cell: _Cell) -> _Cell:
    if cell.view.back:
        return replace(cell, reason="back")
    if not isinstance(cell.chosen, Try):
        return replace(cell, reason=BASE_FACE if cell.chosen else None)
    score = cell.chosen.score
    reason = cell.chosen.reason or score.reason
    return replace(cell, similarity=score.similarity, match=score.match, reason=reason)


def _compared(
    cell: _Cell, others: Sequence[_Cell], thresholds: Thresholds, baseline: Baseline | None
) -> _Cell:
    """Scored against other views; a reference says nothing of itself."""
    if cell.chosen is None:
        return cell
    why = uncounted(cell.view, cell.look, thresholds)
    against = [other for other in others if other is not cell]
    if why is None and not against:
        why = "reference"
    if why is not None:
        return replace(cell, reason=why)
    similar = fmean(_similarity(cell, other) for other in against)
    if baseline is None:
        return replace(cell, similarity=similar, reason="baseline_unknown")
    return replace(cell, similarity=similar, match=match(similar, baseline))


def _faces(plan: SheetPlan, cells: Sequence[_Cell]) -> list[_Cell]:
    """Those whose faces are compared."""
    return [
        cell
        for cell in cells
        if cell.chosen is not None and uncounted(cell.view, cell.look, plan.thresholds) is None
    ]


def _mean_to_others(cell: _Cell, faces: Sequence[_Cell]) -> float:
    others = [other for other in faces if other is not cell]
    return fmean(_similarity(cell, other) for other in others) if others else 0.0


def _similarity(one: _Cell, other: _Cell) -> float:
    return similarity(_embedding(one), _embedding(other))


def _embedding(cell: _Cell) -> Embedding:
    assert cell.look is not None  # of cells that are compared
    assert cell.look.embedding is not None
    return cell.look.embedding


def _document_view(cell: _Cell, usd: float, why_missing: str) -> DocumentView:
    view, chosen, choice = cell.view, cell.chosen, cell.records.choice
    told = DocumentView(
        number=view.nn,
        id=view.id,
        name=view.name,
        angle=prompts.angle(view.asked.head),
        head=view.head,
        framing=view.framing,
        prompt=view.prompt,
        caption=view.caption,
        reused_from=cell.records.reused_from,
        tries=cell.records.attempts,
        seconds=cell.records.seconds,
        usd=usd,
    )
    if chosen is None:
        missing = (choice.fault if choice else None) or why_missing
        return told.model_copy(update={"missing": missing})
    return told.model_copy(
        update={
            "key": chosen.picture.key,
            "sha256": chosen.picture.sha256,
            "seed": chosen.seed,
            "ok": None if chosen.reason is not None and chosen.measured is None else True,
            "ok_reason": chosen.reason,
            "similarity": _rounded(cell.similarity),
            "match": _rounded(cell.match),
            "match_reason": cell.reason,
        }
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _set(plan: SheetPlan, cells: Sequence[_Cell], baseline: Baseline | None) -> SetVerdict:
    made = [cell for cell in cells if cell.chosen is not None]
    matches = {
        cell.name: cell.match
        for cell in made
        if cell.match is not None and cell.reason != Reason.PROFILE
    }
    worst = min(matches, key=lambda name: matches[name], default=None)
    pairs = [_pair(one, other, baseline) for one, other in combinations(_faces(plan, made), 2)]
    least = min(pairs, key=lambda pair: pair.similarity or 0.0, default=None)
    twins = tuple(_twins(made))
    coverage = Coverage(
        angles=Counter(prompts.angle(cell.view.asked.head) for cell in made),
        framings=Counter(cell.view.framing.value for cell in made),
    )
    facts = Facts(
        pictures=len(made),
        faces=sum(not cell.view.back for cell in made),
        compared=len(matches),
        worst=None if worst is None else (worst, matches[worst]),
        mean_match=fmean(matches.values()) if matches else None,
        least_pair=least,
        twins=len({pair.views[1] for pair in twins}),
        angles=coverage.angles,
        framings=coverage.framings,
        strangers=()
        if plan.lora
        else tuple(cell.name for cell in made if cell.reason == BASE_FACE),
    )
    against = reasons_against(facts)
    return SetVerdict(
        views=len(cells),
        made=len(made),
        compared=len(matches),
        worst=worst,
        worst_match=None if worst is None else matches[worst],
        mean_match=facts.mean_match,
        least_alike=least,
        mean_alike=fmean(pair.similarity or 0.0 for pair in pairs) if pairs else None,
        too_alike=twins,
        coverage=coverage,
        trainable=not against,
        because="; ".join(against) or summary(facts),
        wanting=tuple(wanting(facts)),
    )


def _pair(one: _Cell, other: _Cell, baseline: Baseline | None) -> Pair:
    similar = _similarity(one, other)
    return Pair(
        views=(one.name, other.name),
        similarity=similar,
        match=None if baseline is None else match(similar, baseline),
    )


def _twins(made: Sequence[_Cell]) -> Iterator[Pair]:
    for one, other in combinations(made, 2):
        if one.look is None or other.look is None:
            continue
        bits = differing_bits(one.look, other.look)
        alike = bits is not None and bits <= ALIKE_BITS and _same_asked(one.view, other.view)
        if alike or one.look.sha256 == other.look.sha256:
            yield Pair(views=(one.name, other.name), bits=bits)


def _same_asked(one: PlannedView, other: PlannedView) -> bool:
    if one.framing is not other.framing or one.back != other.back:
        return False
    if one.head is None or other.head is None:
        return True
    turned = max(abs(one.head.yaw - other.head.yaw), abs(one.head.pitch - other.head.pitch))
    return turned < ALIKE_DEGREES


def _tries(records: SheetRecords) -> Iterator[Try]:
    for view in records.views.values():
        yield from view.tries.values()


def _recorded_baseline(records: SheetRecords) -> Baseline | None:
    for one in _tries(records):
        if one.score.same_mean is not None and one.score.strangers_mean is not None:
            return Baseline(one.score.strangers_mean, one.score.same_mean)
    return None


def _recorded_embedder(records: SheetRecords) -> str | None:
    return next((one.score.embedder for one in _tries(records) if one.score.embedder), None)
