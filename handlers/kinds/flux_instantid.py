"""The kind `flux-instantid`: composed by Flux or Z-Image, the face made anew by InstantID on SDXL.

Two prompts a picture, and between them the face is found outside ComfyUI.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from config.errors import NoFace
from config.tables import ModelTable, WeightFile
from handlers.faces.boxes import Box, Face, FaceFinder, choose, crop_box
from handlers.faces.measurement import FaceMeasurement, FaceUse, Scorer, kept
from handlers.faces.references import faces_of
from handlers.faces.view_note import VIEW_NOTE, view_note
from handlers.kinds.base import GraphRunner, JobRequest, Rendered, Work
from handlers.kinds.flux import FluxDev, FluxDevInput
from handlers.kinds.flux_instantid_input import FluxInstantIdInput
from handlers.kinds.input_pictures import (
    NOT_UPLOADED,
    input_name,
    upload_all,
    uploaded_face_landmarks,
)
from handlers.kinds.instantid import (
    InstantIdKind,
    no_face_said_plainly,
    only_file,
    references_of,
    scorer_of,
)
from handlers.kinds.requirements import RequiredInputs
from handlers.kinds.sdxl_weights import names, sdxl_weights, sha256s
from handlers.kinds.seeds import output_seed
from handlers.kinds.text_to_image import TextToImage, TextToImageInput
from handlers.kinds.tries import Attempt, attempts
from handlers.kinds.zimage import ZImageTurbo, ZImageTurboInput
from workflows import instantid
from workflows.graph import Graph
from workflows.instantid import Crop, Sampling

REFERENCE_FACE = "ryla_sitter"
"""Beside the composition's graph: the input file of the person it is for. ComfyUI does not look at
it; the stand-in, which cannot compose a face, puts that picture in."""


@dataclass(frozen=True)
class _Session:
    """What stays the same for all pictures of a job."""

    job: JobRequest[FluxInstantIdInput]
    runner: GraphRunner
    weights: Mapping[str, WeightFile]
    references: Sequence[str]
    """As they were uploaded."""
    boxes: FaceFinder
    scorer: Scorer

    @property
    def request(self) -> FluxInstantIdInput:
        return self.job.input


class FluxInstantId(InstantIdKind[FluxInstantIdInput]):
    name = "flux-instantid"
    route = "Flux"
    input_model = FluxInstantIdInput

    def __init__(self, side: int = instantid.SIDE) -> None:
        """`side` is the longer side in pixels at which SDXL works on a face."""
        self._side = side

    def work(self, request: FluxInstantIdInput) -> Work:
        face = Work(
            request.num_images, request.face_steps, self._side, self._side, "sdxl-instantid"
        )
        return Work(
            request.num_images,
            request.composition_steps,
            request.width,
            request.height,
            request.base,
            face,
        )

    def most_work(self, request: FluxInstantIdInput) -> Work:
        """One composition is kept: only the face in it is tried again."""
        once = self.work(request)
        return replace(once, then=once.then and once.then.times(request.most_tries))

    def required_inputs(self, request: FluxInstantIdInput, models: ModelTable) -> RequiredInputs:
        return replace(super().required_inputs(request, models), face_boxes=True)

    def warnings(self, request: FluxInstantIdInput) -> Sequence[str]:
        kind, composed = composer(request)
        return [*super().warnings(request), *kind.warnings(composed)]

    def graph(
        self,
        job: JobRequest[FluxInstantIdInput],
        files: Mapping[str, str],
        seed: int,
        prefix: str,
    ) -> Graph:
        """The face pass, for judging."""
        return self._face_pass(
            job.input,
            files,
            NOT_UPLOADED,
            [NOT_UPLOADED] * len(job.input.keys),
            Box(0, 0, 256, 256),
            seed,
            prefix,
        )

    def graphs(self, job: JobRequest[FluxInstantIdInput], models: ModelTable) -> Sequence[Graph]:
        files = names(sdxl_weights(job.input.sdxl_checkpoint, models))
        compositions = self._compositions(job, models)
        return [*compositions[:1], self.graph(job, files, job.seed, "judged")]

    def run(
        self, job: JobRequest[FluxInstantIdInput], models: ModelTable, runner: GraphRunner
    ) -> Iterator[Rendered]:
        from handlers.media import images

        request, references = job.input, references_of(job)
        boxes = runner.faces(FaceUse.BOX)
        faces = faces_of(references, boxes)
        session = _Session(
            job,
            runner,
            sdxl_weights(request.sdxl_checkpoint, models),
            upload_all(references, faces, runner),
            boxes,
            scorer_of(references, request, runner),
        )
        composed_by = sha256s(models.weights(composer(request)[0].weight_set))
        for ordinal, graph in enumerate(self._compositions(job, models)):
            graph.extra_data[REFERENCE_FACE] = session.references[0]
            if request.asked_view is not None:
                graph.extra_data[VIEW_NOTE] = view_note(request.asked_view)
            done = runner.render(graph, part=2 * ordinal, parts=2 * request.num_images)
            composition = Rendered(
                body=only_file(done, ordinal),
                name=f"image-{ordinal}",
                size=(request.width, request.height),
                format=request.output_format,
                seed=output_seed(job.seed, ordinal),
                timings=done.timings,
                graph_sha256=graph.digest(),
                weights=composed_by,
                embed_prompt=request.prompt if request.embed_prompt else None,
                face=FaceMeasurement(()),
            )
            images.inspect(composition.body, expect=composition.size)
            face = self._chosen(request, boxes, composition.body)
            yield composition if face is None else self._faced(session, composition, face, ordinal)

    def _chosen(
        self, request: FluxInstantIdInput, boxes: FaceFinder, composition: bytes
    ) -> Face | None:
        """Raises NoFace, but None for a composition that may be delivered without one."""
        faces = boxes.find_faces(composition)
        if faces:
            return choose(faces, request.face_index)
        if request.allow_no_face:
            return None
        raise NoFace(
            f"no face was found in what {request.base} composed",
            field="input.prompt",
            hint="Ask for a portrait, or set allow_no_face to take the composition as it is.",
        )

    def _faced(
        self, session: _Session, composition: Rendered, face: Face, ordinal: int
    ) -> Rendered:
        request, runner = session.request, session.runner
        box = crop_box(face.box, (request.width, request.height), request.face_padding)
        picture = runner.upload(composition.body, input_name(composition.body))
        landmarks = self._fitted_landmarks(request, runner, face, box)
        job = session.job

        def render_attempt(seed: int, number: int) -> Attempt:
            graph = self._face_pass(
                request,
                names(session.weights),
                picture,
                session.references,
                box,
                seed,
                f"ryla/{job.job_id}/a{job.attempt}/face-{ordinal}-try-{number}",
                landmarks,
            )
            with no_face_said_plainly():
                done = runner.render(graph, part=2 * ordinal + 1, parts=2 * request.num_images)
            body = only_file(done, ordinal)
            tried = session.scorer.measure_try(
                body,
                seed,
                done.seconds,
                near=face.box,
                asked=request.asked_view,
                size=(request.width, request.height),
            )
            return Attempt(body, graph, done.timings, tried)

        tries = attempts(request, runner, composition.seed, render_attempt)
        best = kept([take.face for take in tries])
        others = [take.graph.digest() for take in tries if take is not tries[best]]
        return replace(
            composition,
            body=tries[best].body,
            timings=sum((take.timings for take in tries), composition.timings),
            graph_sha256=tries[best].graph.digest(),
            parent_graphs=[composition.graph_sha256, *others],
            weights={**composition.weights, **sha256s(session.weights)},
            face=FaceMeasurement([take.face for take in tries], best, box),
            composition=composition.body if request.keep_composition else None,
        )

    def _fitted_landmarks(
        self, request: FluxInstantIdInput, runner: GraphRunner, face: Face, crop: Box
    ) -> str | None:
        """The asked head, drawn where the composed face is; None leaves the face as composed."""
        if request.head is None:
            return None
        return uploaded_face_landmarks(request.head.head, face.box, crop, runner, self._side)

    def _compositions(
        self, job: JobRequest[FluxInstantIdInput], models: ModelTable
    ) -> Sequence[Graph]:
        kind, composed = composer(job.input)
        order = JobRequest(job.job_id, job.attempt, composed, job.seed)
        return kind.graphs(order, models)

    def _face_pass(
        self,
        request: FluxInstantIdInput,
        files: Mapping[str, str],
        picture: str,
        references: Sequence[str],
        box: Box,
        seed: int,
        prefix: str,
        landmarks: str | None = None,
    ) -> Graph:
        return instantid.face_pass(
            files,
            picture=picture,
            crop=Crop(box.x, box.y, box.width, box.height),
            prompt=request.prompt,
            negative_prompt=request.negative_prompt,
            identity=request.identity(references),
            sampling=Sampling(
                seed=seed,
                steps=request.face_steps,
                cfg=request.face_cfg,
                sampler_name=request.sampler_name,
                scheduler=request.scheduler,
                denoise=request.denoise,
            ),
            filename_prefix=prefix,
            side=self._side,
            landmarks=landmarks,
        )


def composer(request: FluxInstantIdInput) -> tuple[TextToImage[Any], TextToImageInput]:
    """The kind that composes, and what it is asked for."""
    shared: dict[str, Any] = {
        "prompt": request.prompt,
        "width": request.width,
        "height": request.height,
        "steps": request.composition_steps,
        "cfg": request.cfg,
        "num_images": request.num_images,
        "nsfw": request.nsfw,
    }
    if request.base == "z-image-turbo":
        return ZImageTurbo(), ZImageTurboInput(**shared)
    return FluxDev(), FluxDevInput(**shared, guidance=request.guidance)
