"""How a character sheet ends, by its plan and the records of its steps. Pure.

Whoever ends the job tells it from the same records: the worker that took the last step, a
dispatcher that starts no further execution, somebody who cancels. So what was paid for is never
lost: with `min_views` of its views a sheet succeeds, whatever ended it but a cancel.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from config.errors import TooFewViews
from events.stored_event import StoredEvent
from handlers.character_sheet.combinations import Making
from handlers.character_sheet.records import Composition, SheetRecords, Try, ViewRecords
from handlers.character_sheet.sheet_plan import PlannedView, SheetPlan
from handlers.character_sheet.steps import settled
from pipeline.contract.lease import Lease, Spent
from pipeline.contract.result import (
    FaceBaseline,
    MissingView,
    Output,
    OutputFace,
    OutputView,
    Provenance,
    Region,
    UsedLora,
    ViewAngles,
)
from pipeline.contract.summary import Subject
from pipeline.notify.job_events import Origin, view_measured
from pipeline.sheets.cells import StoredSheet


@dataclass(frozen=True)
class SheetEnd:
    """A sheet that ends now."""

    plan: SheetPlan
    records: SheetRecords
    why: str
    """Why the views that could still be tried are not: an error's code, or `cancelled`."""
    usd: float
    """Of all executions; the views share it by the seconds of their steps."""

    @classmethod
    def of(cls, sheet: StoredSheet, why: str, usd: float) -> "SheetEnd":
        return cls(sheet.plan, settled(sheet.plan, sheet.records), why, usd)

    @property
    def enough(self) -> bool:
        """Whether it has `min_views` of its views, and so succeeds."""
        return self.made >= self.plan.min_views

    @property
    def fields(self) -> dict[str, Any]:
        """Of the result."""
        return {
            "outputs": tuple(self._outputs()),
            "missing": tuple(self._missing()),
            "partial": self.enough and self.made < len(self.plan.views),
        }

    @property
    def made(self) -> int:
        """How many views it has."""
        return len(self.records.made)

    @property
    def made_here(self) -> int:
        """How many of them it does not reuse."""
        return sum(self.records.of_view(nn).reused_from is None for nn in self.records.made)

    def events(self, about: Subject, origin: Origin, now: datetime) -> tuple[StoredEvent, ...]:
        """One for each picture with a face, and for each that is the whole of its view. Of what is
        reused, the job that made it has told."""
        return tuple(
            view_measured(about, origin, made, kept=made == chosen, at=now)
            for view, records in self._views()
            for made in records.made
            if made.reused_from is None
            and (isinstance(made, Try) or view.making is Making.COMPOSED)
            for chosen in [records.chosen if records.choice and records.choice.made else None]
        )

    @property
    def made_by(self) -> dict[str, Any]:
        """Of the result's provenance: the graphs and weights of all executions."""
        made = [one for _, records in self._views() for one in records.made]
        weights = {file: digest for one in made for file, digest in one.weights.items()}
        is_real = bool(made) and made[-1].engine == "comfyui"
        return {
            "graph_sha256": tuple(one.graph_sha256 for one in made if one.graph_sha256),
            "models": weights if is_real else {},
        }

    def provenance(self, app_version: str) -> Provenance:
        """For whoever ends it without having made any of it."""
        made = [one for _, records in self._views() for one in records.made]
        engine = made[-1].engine if made else ""
        lora = self.plan.lora
        return Provenance(
            engine=engine or "comfyui",
            app_version=app_version,
            lora=None if lora is None else UsedLora(key=lora.key, sha256=lora.sha256),
            **self.made_by,
        )

    def _views(self) -> Iterator[tuple[PlannedView, ViewRecords]]:
        for view in self.plan.views:
            yield view, self.records.of_view(view.nn)

    def _outputs(self) -> Iterator[Output]:
        for view, records in self._views():
            chosen = records.chosen
            if chosen is None or records.choice is None or not records.choice.made:
                continue
            yield Output(
                **chosen.picture.model_dump(),
                seed=chosen.seed,
                **_face(chosen),
                view=OutputView(
                    number=view.nn,
                    id=view.id,
                    asked=_angles(chosen.asked),
                    measured=_angles(chosen.measured),
                    ok=None if chosen.measured is None and chosen.reason else True,
                    reason=chosen.reason,
                    reused_from=chosen.reused_from,
                    tries=records.attempts,
                    seconds=records.seconds,
                    usd=self._share(records),
                ),
            )

    def _missing(self) -> Iterator[MissingView]:
        for view, records in self._views():
            choice = records.choice
            if choice is not None and choice.made:
                continue
            last = records.chosen or (records.made[-1] if records.made else None)
            yield MissingView(
                number=view.nn,
                id=view.id,
                reason=self.why if choice is None else choice.fault or self.why,
                tries=records.attempts,
                best=None if last is None else last.picture.key,
                seconds=records.seconds,
                usd=self._share(records),
            )

    def _share(self, records: ViewRecords) -> float:
        whole = self.records.seconds
        return self.usd * records.seconds / whole if whole else 0.0


def spent_on(sheet: StoredSheet, lease: Lease) -> Spent:
    """What earlier executions cost: by the lease, and never less than their records prove. One
    whose lease was lost, with what it had counted, is put right so."""
    proved = sheet.records.usd_before(lease.attempt)
    spent = lease.spent
    return spent if spent.usd >= proved else spent.model_copy(update={"usd": proved})


def too_few_views(end: SheetEnd) -> TooFewViews:
    """What a sheet fails with that was made to its end."""
    made, least = end.made, end.plan.min_views
    faults = sorted({view.reason for view in end.fields["missing"]})
    return TooFewViews(
        f"{made} of {len(end.plan.views)} views are as they were asked for, and {least} are needed;"
        f" the others: {', '.join(faults)}",
        field="input.min_views",
        value=least,
        hint="See `missing`: another reference, more attempts_per_view or a lower min_face_match.",
    )


def _angles(of: Any) -> ViewAngles | None:
    return None if of is None else ViewAngles.model_validate(dict(of))


def _face(made: Composition | Try) -> dict[str, Any]:
    """The fields of an output that speak of its face."""
    if isinstance(made, Composition):
        behind = made.asked is not None and made.asked.get("yaw") is None
        return {"face_reason": made.reason or ("view_from_behind" if behind else "no_reference")}
    score = made.score
    resampled = None if made.resampled is None else Region(**made.resampled.model_dump())
    if score.similarity is None or score.box is None:
        return {"face_reason": score.reason or "no_face", "resampled": resampled}
    baseline = None
    if score.same_mean is not None and score.strangers_mean is not None:
        baseline = FaceBaseline(same_mean=score.same_mean, strangers_mean=score.strangers_mean)
    face = OutputFace(
        similarity=score.similarity,
        match=score.match,
        baseline=baseline,
        reason=score.reason,
        embedder=score.embedder or "",
        faces_found=score.faces_found,
        box=Region(**score.box.model_dump()),
        seed=made.seed,
        gate_try=made.k - 1,
        tries=made.k,
    )
    return {"face": face, "resampled": resampled}
