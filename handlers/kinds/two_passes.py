"""A picture in two passes: composed by Flux or Z-Image, its face made anew by InstantID on SDXL.

Between the two the face is found outside ComfyUI, and the composition is looked at.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from config.errors import NoFace
from config.models import ModelTable, WeightFile
from handlers.faces.boxes import Box, Face, FaceFinder, choose, crop_box
from handlers.faces.measurement import FaceMeasurement, FaceTry, FaceUse, Scorer, kept
from handlers.faces.references import faces_of
from handlers.faces.view_note import VIEW_NOTE, view_note
from handlers.kinds.base import GraphRunner, JobRequest, Rendered, Timings
from handlers.kinds.flux import FluxDev, FluxDevInput
from handlers.kinds.flux_instantid_input import FluxInstantIdInput
from handlers.kinds.input_pictures import input_name, upload_all, uploaded_face_landmarks
from handlers.kinds.instantid import no_face_said_plainly, only_file, references_of, scorer_of
from handlers.kinds.sdxl_weights import names, sdxl_weights, sha256s
from handlers.kinds.seeds import output_seed
from handlers.kinds.text_to_image import TextToImage, TextToImageInput
from handlers.kinds.tries import Attempt, Composed, TwoPassTries, two_pass_attempts
from handlers.kinds.zimage import ZImageTurbo, ZImageTurboInput
from workflows import instantid
from workflows.graph import Graph
from workflows.instantid import Crop, Sampling

REFERENCE_FACE = "ryla_sitter"
"""Beside the composition's graph: the input file of the person it is for. ComfyUI does not look at
it; the stand-in, which cannot compose a face, puts that picture in."""


@dataclass(frozen=True)
class TwoPasses:
    """Makes the pictures of one job."""

    job: JobRequest[FluxInstantIdInput]
    runner: GraphRunner
    composer: TextToImage[Any]
    composition: JobRequest[Any]
    """What the composer is asked for."""
    composition_weights: Mapping[str, WeightFile]
    face_weights: Mapping[str, WeightFile]
    references: Sequence[str]
    """As they were uploaded."""
    boxes: FaceFinder
    scorer: Scorer
    side: int
    """Longer side in pixels at which SDXL works on a face."""

    @classmethod
    def of(
        cls,
        job: JobRequest[FluxInstantIdInput],
        models: ModelTable,
        runner: GraphRunner,
        side: int,
    ) -> Self:
        """Raises FaceModelsMissing, NoFace or InvalidInput for the references, MissingModel."""
        request, references = job.input, references_of(job)
        kind, asked = composer(request)
        boxes = runner.faces(FaceUse.BOX)
        faces = faces_of(references, boxes)
        return cls(
            job,
            runner,
            kind,
            JobRequest(job.job_id, job.attempt, asked, job.seed),
            kind.weights(asked, models),
            sdxl_weights(request.sdxl_checkpoint, models),
            upload_all(references, faces, runner),
            boxes,
            scorer_of(references, request, runner),
            side,
        )

    @property
    def request(self) -> FluxInstantIdInput:
        return self.job.input

    def picture(self, ordinal: int) -> Rendered:
        """Raises NoFace where no composition has one, unless it may be delivered so."""
        request = self.request
        tries = two_pass_attempts(
            request,
            self.runner,
            output_seed(self.job.seed, ordinal),
            lambda seed, number: self._composed(ordinal, seed, number),
            lambda composed, seed, number: self._faced(composed, ordinal, seed, number),
        )
        if tries.faces:
            return self._best(tries)
        if not request.allow_no_face:
            raise NoFace(
                f"no face was found in what {request.base} composed",
                field="input.prompt",
                hint="Ask for a portrait, or set allow_no_face to take the composition as it is.",
            )
        *others, last = (one.picture for one in tries.compositions)
        return replace(
            last,
            timings=sum((one.timings for one in others), last.timings),
            parent_graphs=[one.graph_sha256 for one in others],
        )

    def _best(self, tries: TwoPassTries) -> Rendered:
        takes = [made for _, made in tries.faces]
        best = kept([made.face for made in takes])
        composed, made = tries.faces[best]
        assert composed.face is not None
        pictures = [one.picture for one in tries.compositions]
        others = [take.graph.digest() for take in takes if take is not made]
        timings = [*(one.timings for one in pictures), *(take.timings for take in takes)]
        return replace(
            composed.picture,
            body=made.body,
            timings=sum(timings, Timings()),
            graph_sha256=made.graph.digest(),
            parent_graphs=[*(one.graph_sha256 for one in pictures), *others],
            weights={**composed.picture.weights, **sha256s(self.face_weights)},
            face=FaceMeasurement([take.face for take in takes], best, self._crop(composed.face)),
            composition=composed.picture.body if self.request.keep_composition else None,
        )

    def _composed(self, ordinal: int, seed: int, number: int) -> Composed:
        from handlers.media import images

        request = self.request
        again = f"-try-{number}" if number else ""
        graph = self.composer.graph(
            self.composition,
            names(self.composition_weights),
            seed,
            f"ryla/{self.job.job_id}/a{self.job.attempt}/image-{ordinal}{again}",
        )
        graph.extra_data[REFERENCE_FACE] = self.references[0]
        if request.asked_view is not None:
            graph.extra_data[VIEW_NOTE] = view_note(request.asked_view)
        done = self.runner.render(graph, part=2 * ordinal, parts=2 * request.num_images)
        picture = Rendered(
            body=only_file(done, ordinal),
            name=f"image-{ordinal}",
            size=(request.width, request.height),
            format=request.output_format,
            seed=seed,
            timings=done.timings,
            graph_sha256=graph.digest(),
            weights=sha256s(self.composition_weights),
            embed_prompt=request.prompt if request.embed_prompt else None,
            face=FaceMeasurement(()),
        )
        images.inspect(picture.body, expect=picture.size)
        faces = self.boxes.find_faces(picture.body)
        face = choose(faces, request.face_index) if faces else None
        return Composed(picture, face, self._is_wrong(picture, face))

    def _is_wrong(self, picture: Rendered, face: Face | None) -> bool:
        """Whether a composition is not what was asked for. A profile in which no face is found is
        not judged."""
        if self.request.asked_view is None:
            return face is None and not self.request.allow_no_face
        judged = self._measured(picture.body, picture.seed, picture.timings.total, face).view
        return judged is not None and judged.wrong

    def _measured(self, body: bytes, seed: int, seconds: float, face: Face | None) -> FaceTry:
        request = self.request
        return self.scorer.measure_try(
            body,
            seed,
            seconds,
            near=None if face is None else face.box,
            asked=request.asked_view,
            size=(request.width, request.height),
        )

    def _faced(self, composed: Composed, ordinal: int, seed: int, number: int) -> Attempt:
        assert composed.face is not None
        body, box = composed.picture.body, self._crop(composed.face)
        graph = face_pass(
            self.request,
            names(self.face_weights),
            self.runner.upload(body, input_name(body)),
            self.references,
            box,
            seed,
            f"ryla/{self.job.job_id}/a{self.job.attempt}/face-{ordinal}-try-{number}",
            self.side,
            self._fitted_landmarks(composed.face, box),
        )
        with no_face_said_plainly():
            parts = 2 * self.request.num_images
            done = self.runner.render(graph, part=2 * ordinal + 1, parts=parts)
        made = only_file(done, ordinal)
        return Attempt(
            made, graph, done.timings, self._measured(made, seed, done.seconds, composed.face)
        )

    def _crop(self, face: Face) -> Box:
        """What is made anew."""
        request = self.request
        return crop_box(face.box, (request.width, request.height), request.face_padding)

    def _fitted_landmarks(self, face: Face, crop: Box) -> str | None:
        """The asked head, drawn where the composed face is; None leaves the face as composed."""
        if self.request.head is None:
            return None
        head = self.request.head.head
        return uploaded_face_landmarks(head, face.box, crop, self.runner, self.side)


def face_pass(
    request: FluxInstantIdInput,
    files: Mapping[str, str],
    picture: str,
    references: Sequence[str],
    box: Box,
    seed: int,
    prefix: str,
    side: int,
    landmarks: str | None = None,
) -> Graph:
    """The graph that makes the face in a box of the picture anew."""
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
        side=side,
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
