"""Makes one step of a character sheet: the picture, and what was found in it."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from handlers.character_sheet import graphs
from handlers.character_sheet.combinations import Making
from handlers.character_sheet.measurement import StepMeasurement, region
from handlers.character_sheet.records import (
    Composition,
    Picture,
    SheetRecords,
    Try,
)
from handlers.character_sheet.sheet_plan import PlannedView, SheetPlan
from handlers.character_sheet.steps import Compose, MakeFace
from handlers.faces.boxes import Box, crop_box
from handlers.faces.landmark_image import landmark_image
from handlers.faces.profiles import frontal
from handlers.faces.references import Reference
from handlers.faces.view_note import VIEW_NOTE, view_note
from handlers.kinds.base import GraphRunner, Timings
from handlers.kinds.input_pictures import input_name, upload_all, uploaded_face_landmarks
from handlers.kinds.instantid import no_face_said_plainly, only_file
from handlers.kinds.two_passes import REFERENCE_FACE
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
        fields = self._measurement.composed(view, step, body)
        return self._made(body, name, view, step.k, timings, graph, Composition, fields)

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
        fields = self._measurement.tried(view, step, body, None)
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
        fields = self._measurement.tried(view, step, body, face)
        fields["resampled"] = region(box)
        return self._made(body, name, view, step.k, timings, graph, Try, fields)

    def _face_landmarks(self, view: PlannedView, face: Box, crop: Box) -> str | None:
        """None leaves the face turned as it was composed."""
        head = view.asked.head
        if head is None or not self.plan.face_landmarks:
            return None
        return uploaded_face_landmarks(head, face, crop, self.runner)

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
    def _measurement(self) -> StepMeasurement:
        given = zip(self.plan.references, self.references, strict=True)
        pictures = [
            Reference(f"reference_images.{at}", key, body) for at, (key, body) in enumerate(given)
        ]
        return StepMeasurement(self.plan, self.runner, pictures)

    @cached_property
    def _references(self) -> tuple[str, ...]:
        """Names for ComfyUI of those that InstantID is conditioned on: in a profile its nodes may
        find no face."""
        pictures, faces = self._measurement.pictures, self._measurement.scorer.faces
        places = frontal(faces) if self.plan.profiles_apart else range(len(pictures))
        return upload_all(
            [pictures[at] for at in places], [faces[at] for at in places], self.runner
        )
