"""Makes one step of a character sheet: the picture, and what was found in it."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from config.errors import FaceModelsMissing
from handlers.character_sheet import graphs
from handlers.character_sheet.combinations import Making
from handlers.character_sheet.plan import PlannedView, SheetPlan
from handlers.character_sheet.records import (
    FACE_BELOW_GATE,
    NO_FACE,
    Composition,
    Picture,
    SheetRecords,
    Try,
)
from handlers.character_sheet.steps import Compose, MakeFace
from handlers.faces.boxes import Box, Face, FaceFinder, crop_box
from handlers.faces.landmark_image import landmark_image
from handlers.faces.match import Reason, Score
from handlers.faces.measurement import FaceUse, Scorer
from handlers.faces.profiles import frontal
from handlers.faces.references import Reference
from handlers.faces.view import (
    PROFILE_FROM,
    ViewReason,
    ViewVerdict,
    judge_view,
)
from handlers.faces.view_note import VIEW_NOTE, view_note
from handlers.kinds.base import GraphRunner, Timings
from handlers.kinds.flux_instantid import REFERENCE_FACE
from handlers.kinds.input_pictures import input_name, upload_all, uploaded_face_landmarks
from handlers.kinds.instantid import no_face_said_plainly, only_file
from workflows.graph import Graph


@dataclass(frozen=True)
class Made:
    """A step's picture as ComfyUI saved it, and its record but for where the picture is stored."""

    body: bytes
    name: str
    """Base name of its file."""
    size: tuple[int, int]
    seed: int
    timings: Timings
    graph_sha256: str
    weights: Mapping[str, str | None]
    kind: type[Composition] | type[Try]
    fields: Mapping[str, Any]

    def record(self, picture: Picture, **more: Any) -> Composition | Try:
        own = {
            "seed": self.seed,
            "picture": picture,
            "graph_sha256": self.graph_sha256,
            "weights": self.weights,
        }
        return self.kind.model_validate({**self.fields, **own, **more})


@dataclass(frozen=True)
class SheetMaker:
    """Makes the steps of one plan on one worker."""

    plan: SheetPlan
    runner: GraphRunner
    references: Sequence[bytes]
    """Pictures of the person; empty where a LoRA alone says who it is."""
    attempt: int
    """Of the execution: ComfyUI answers an equal file prefix from its cache."""
    lora: str | None = None
    """The file's name for ComfyUI's loader."""
    _uploaded: dict[str, str] = field(default_factory=dict)

    def make(
        self,
        step: Compose | MakeFace,
        records: SheetRecords,
        stored: Callable[[Picture], bytes],
        part: int,
        parts: int,
    ) -> Made:
        """`stored` reads a picture of an earlier step. Progress is told as part `part` of `parts`.

        Raises a ComfyError, a FaceError, or Superseded when the lease was lost meanwhile.
        """
        view = self.plan.views[step.number - 1]
        if isinstance(step, Compose):
            return self._compose(view, step, part, parts)
        if view.making is Making.INSTANTID:
            return self._one_pass(view, step, part, parts)
        assert step.composition is not None
        composed = records.of_view(step.number).compositions[step.composition]
        return self._face_pass(view, step, composed, stored(composed.picture), part, parts)

    def _compose(self, view: PlannedView, step: Compose, part: int, parts: int) -> Made:
        name = f"{view.name}.c{step.k}"
        graph = graphs.composition(self.plan, view, step.k, self._prefix(name), self.lora)
        graph.extra_data[VIEW_NOTE] = view_note(view.asked)
        if self.references and not view.back:
            graph.extra_data[REFERENCE_FACE] = self._references[0]
        body, timings = self._run(graph, step.number, part, parts)
        faces = self._faces(body)
        verdict = self._judged(view, faces)
        common = _common(view, step.k, verdict, _fault(verdict))
        if view.making is Making.FACE_PASS:
            found = self._boxes(body, faces)
            if not found and verdict.reason is not ViewReason.UNMEASURED:
                common["fault"] = NO_FACE
            common["box"] = _region(found[0].box) if found else None
        return self._made(body, name, view, step.k, timings, graph, Composition, common)

    def _one_pass(self, view: PlannedView, step: MakeFace, part: int, parts: int) -> Made:
        name = f"{view.name}.t{step.k}"
        assert view.asked.head is not None
        drawn = landmark_image(view.asked.head, view.framing, (view.width, view.height))
        graph = graphs.one_pass(
            self.plan,
            view,
            step.k,
            self._prefix(name),
            references=self._references,
            landmarks=self._upload(drawn),
            lora=self.lora,
        )
        body, timings = self._run(graph, step.number, part, parts)
        fields = self._tried(view, step, body, None)
        return self._made(body, name, view, step.k, timings, graph, Try, fields)

    def _face_pass(
        self,
        view: PlannedView,
        step: MakeFace,
        composed: Composition,
        picture: bytes,
        part: int,
        parts: int,
    ) -> Made:
        name = f"{view.name}.t{step.k}"
        assert composed.box is not None
        face = Box(composed.box.x, composed.box.y, composed.box.width, composed.box.height)
        box = crop_box(face, (view.width, view.height), self.plan.face_padding)
        graph = graphs.face_pass(
            self.plan,
            view,
            step.k,
            self._prefix(name),
            picture=self._upload(picture),
            box=box,
            references=self._references,
            landmarks=self._face_landmarks(view, face, box),
        )
        body, timings = self._run(graph, step.number, part, parts)
        fields = self._tried(view, step, body, face)
        fields["resampled"] = _region(box)
        return self._made(body, name, view, step.k, timings, graph, Try, fields)

    def _face_landmarks(self, view: PlannedView, face: Box, crop: Box) -> str | None:
        """None leaves the face turned as it was composed."""
        head = view.asked.head
        if head is None or not self.plan.face_landmarks:
            return None
        return uploaded_face_landmarks(head, face, crop, self.runner)

    def _tried(
        self, view: PlannedView, step: MakeFace, body: bytes, near: Box | None
    ) -> dict[str, Any]:
        """What is recorded of a picture with a face."""
        faces = self._faces(body)
        verdict = self._judged(view, faces)
        score, box = self._scorer.measure(body, near)
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
            "box": None if box is None else _region(box),
        }
        common = _common(view, step.k, verdict, fault)
        return {**common, "composition": step.composition, "score": recorded}

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

    def _made(
        self,
        body: bytes,
        name: str,
        view: PlannedView,
        k: int,
        timings: Timings,
        graph: Graph,
        kind: type[Composition] | type[Try],
        fields: Mapping[str, Any],
    ) -> Made:
        both = view.making is Making.FACE_PASS and kind is Try
        weights = self.plan.face_weights if both else self.plan.composition_weights
        return Made(
            body=body,
            name=name,
            size=(view.width, view.height),
            seed=view.seeds[k - 1],
            timings=timings,
            graph_sha256=graph.digest(),
            weights=graphs.sha256s(weights),
            kind=kind,
            fields=fields,
        )

    def _run(self, graph: Graph, number: int, part: int, parts: int) -> tuple[bytes, Timings]:
        with no_face_said_plainly():
            done = self.runner.render(graph, part=part, parts=parts)
        return only_file(done, number), done.timings

    def _prefix(self, name: str) -> str:
        return f"ryla/{self.plan.job_id}/a{self.attempt}/{name}"

    def _upload(self, body: bytes) -> str:
        digest = hashlib.sha256(body).hexdigest()
        if digest not in self._uploaded:
            self._uploaded[digest] = self.runner.upload(body, input_name(body))
        return self._uploaded[digest]

    @cached_property
    def _references(self) -> tuple[str, ...]:
        """Names for ComfyUI of those that InstantID is conditioned on: in a profile its nodes may
        find no face."""
        pictures, faces = self._pictures, self._scorer.faces
        places = frontal(faces) if self.plan.profiles_apart else range(len(pictures))
        return upload_all(
            [pictures[at] for at in places], [faces[at] for at in places], self.runner
        )

    @property
    def _pictures(self) -> Sequence[Reference]:
        return [
            Reference(f"reference_images.{at}", key, body)
            for at, (key, body) in enumerate(
                zip(self.plan.references, self.references, strict=True)
            )
        ]

    @cached_property
    def _finder(self) -> FaceFinder | None:
        """None where face models are missing: then nothing is judged."""
        for use in (FaceUse.SCORE, FaceUse.BOX):
            try:
                return self.runner.faces(use)
            except FaceModelsMissing:
                continue
        return None

    @cached_property
    def _scorer(self) -> Scorer:
        return Scorer.of(
            lambda: self.runner.faces(FaceUse.SCORE),
            self._pictures,
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


def _region(box: Box) -> dict[str, int]:
    return {"x": box.x, "y": box.y, "width": box.width, "height": box.height}
