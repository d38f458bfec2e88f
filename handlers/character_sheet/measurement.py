"""What is found in the picture of a step of a character sheet, as its record says it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from config.errors import FaceModelsMissing
from handlers.character_sheet.combinations import Making
from handlers.character_sheet.likeness import recorded_look
from handlers.character_sheet.records import FACE_BELOW_GATE, NO_FACE, RecordedLook
from handlers.character_sheet.sheet_plan import PlannedView, SheetPlan
from handlers.character_sheet.steps import Compose, MakeFace
from handlers.faces.boxes import Box, Face, FaceFinder
from handlers.faces.match import Reason, Score
from handlers.faces.measurement import FaceUse, Scorer
from handlers.faces.references import Reference
from handlers.faces.view import PROFILE_FROM, ViewReason, ViewVerdict, judge_view
from handlers.kinds.base import GraphRunner


@dataclass(frozen=True)
class StepMeasurement:
    """Looks at the pictures of one plan."""

    plan: SheetPlan
    runner: GraphRunner
    pictures: Sequence[Reference]
    """Of the person; empty where a LoRA alone says who it is."""

    def composed(self, view: PlannedView, step: Compose, body: bytes) -> dict[str, Any]:
        """Of a composition. Raises FaceModelsMissing where its face is to be made anew."""
        faces = self._faces(body)
        verdict = self._judged(view, faces)
        common = {**_common(view, step.k, verdict, _fault(verdict)), "look": self._look(faces)}
        if view.making is Making.FACE_PASS:
            found = self._boxes(body, faces)
            if not found and verdict.reason is not ViewReason.UNMEASURED:
                common["fault"] = NO_FACE
            common["box"] = region(found[0].box) if found else None
        return common

    def tried(
        self, view: PlannedView, step: MakeFace, body: bytes, near: Box | None
    ) -> dict[str, Any]:
        """Of a picture with a face, which was made anew at `near`; None where one pass made all."""
        faces = self._faces(body)
        verdict = self._judged(view, faces)
        score, box = self.scorer.measure(body, near)
        profile = score.reason is Reason.PROFILE
        large = box is not None and min(box.width, box.height) >= self.plan.thresholds.least_face
        told = score.match is not None and large and (profile or not self._is_turned(verdict))
        counts = told and not profile
        fault = _fault(verdict) or (self._below_gate(score) if counts else None)
        recorded = {
            "similarity": score.similarity,
            "match": score.match if told else None,
            "same_mean": score.baseline.same_mean if score.baseline else None,
            "strangers_mean": score.baseline.strangers_mean if score.baseline else None,
            "embedder": score.embedder,
            "faces_found": score.faces_found,
            "reason": None if counts else _reason(view, score),
            "box": None if box is None else region(box),
        }
        return {
            **_common(view, step.k, verdict, fault),
            "look": self._look(faces),
            "composition": step.composition,
            "score": recorded,
        }

    def _look(self, faces: Sequence[Face] | None) -> RecordedLook | None:
        finder = self._scoring_finder
        if finder is None or faces is None:
            return None
        return recorded_look(faces, finder, self.runner.calibration())

    def _is_turned(self, verdict: ViewVerdict) -> bool:
        """Whether likeness to a frontal face says nothing of this one."""
        return (
            verdict.measured is None or abs(verdict.measured.yaw) > self.plan.thresholds.identity_to
        )

    def _below_gate(self, score: Score) -> str | None:
        least = self.plan.thresholds.min_face_match
        if least is None or score.match is None:
            return None  # what cannot be told is no reason to pay again
        return FACE_BELOW_GATE if score.match < least else None

    @cached_property
    def _finder(self) -> FaceFinder | None:
        """None where face models are missing: then nothing is judged."""
        return self._scoring_finder or self._finder_for(FaceUse.BOX)

    @cached_property
    def _scoring_finder(self) -> FaceFinder | None:
        return self._finder_for(FaceUse.SCORE)

    def _finder_for(self, use: FaceUse) -> FaceFinder | None:
        try:
            return self.runner.faces(use)
        except FaceModelsMissing:
            return None

    @cached_property
    def scorer(self) -> Scorer:
        return Scorer.of(
            lambda: self.runner.faces(FaceUse.SCORE),
            self.pictures,
            self.runner.calibration,
            profiles_apart=self.plan.profiles_apart,
        )

    def _faces(self, body: bytes) -> Sequence[Face] | None:
        return None if self._finder is None else self._finder.find_faces(body)

    def _boxes(self, body: bytes, faces: Sequence[Face] | None) -> Sequence[Face]:
        """Faces as InstantID's nodes look for them: they are to find the one that is cut out.

        Raises FaceModelsMissing.
        """
        finder = self.runner.faces(FaceUse.BOX)
        return faces if faces is not None and finder is self._finder else finder.find_faces(body)

    def _judged(self, view: PlannedView, faces: Sequence[Face] | None) -> ViewVerdict:
        if faces is None:
            return ViewVerdict(view.asked, reason=ViewReason.FACE_MODELS_MISSING)
        return judge_view(view.asked, faces, (view.width, view.height))


def _fault(verdict: ViewVerdict) -> str | None:
    return verdict.reason.value if verdict.wrong and verdict.reason is not None else None


def _reason(view: PlannedView, score: Score) -> str:
    """Why a face has no match."""
    if score.reason not in (None, Reason.FACE_TURNED):
        return score.reason
    turned = view.head is not None and abs(view.head.yaw) >= PROFILE_FROM
    return Reason.PROFILE if turned else Reason.FACE_TURNED


def _common(view: PlannedView, k: int, verdict: ViewVerdict, fault: str | None) -> dict[str, Any]:
    measured = verdict.measured
    return {
        "number": view.nn,
        "view": view.id,
        "k": k,
        "fault": fault,
        "asked": {**_angles(view.head), "framing": view.framing.value},
        "measured": None
        if measured is None
        else {**_angles(measured), "framing": verdict.framing and verdict.framing.value},
        "reason": verdict.reason and verdict.reason.value,
    }


def _angles(head: Any) -> dict[str, float | None]:
    names = ("yaw", "pitch", "roll")
    return {name: None if head is None else round(getattr(head, name), 1) for name in names}


def region(box: Box) -> dict[str, int]:
    """As a record has it."""
    return {"x": box.x, "y": box.y, "width": box.width, "height": box.height}
