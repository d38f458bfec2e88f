"""What the InstantID kinds share, and the kind `sdxl-instantid`: InstantID as it was made."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Generic, TypeVar

from pydantic import Field

from config.errors import NodeFailed, NoFace, OutputsMissing
from config.models import ModelTable
from handlers.faces.match import require_above_strangers
from handlers.faces.measurement import FaceMeasurement, FaceUse, Scorer, kept
from handlers.faces.references import Reference
from handlers.kinds.base import GraphRunner, JobRequest, PromptRun, Rendered, Timings, Work
from handlers.kinds.input_pictures import NOT_UPLOADED, upload_all, uploaded_landmarks
from handlers.kinds.instantid_input import InstantIdInput
from handlers.kinds.requirements import RequiredInputs
from handlers.kinds.sdxl_weights import WEIGHT_SET, names, sdxl_weights, sha256s
from handlers.kinds.seeds import output_seed
from handlers.kinds.text_to_image import TextToImage
from handlers.kinds.tries import Attempt, attempts
from workflows import instantid
from workflows.graph import Graph
from workflows.instantid import Sampling

FACELESS = "No face detected"
"""In the words of the InstantID nodes, of a reference picture."""


class SdxlInstantIdInput(InstantIdInput):
    cfg: float = Field(default=7.0, ge=1, le=15, description="Guidance; 5 to 7 are usual.")


I = TypeVar("I", bound=InstantIdInput)  # noqa: E741


class InstantIdKind(TextToImage[I], Generic[I]):
    weight_set = WEIGHT_SET

    def most_work(self, request: I) -> Work:
        return self.work(request).times(request.most_tries)

    def required_inputs(self, request: I, models: ModelTable) -> RequiredInputs:  # noqa: ARG002
        return RequiredInputs(images=request.keys, min_face_similarity=request.min_face_similarity)

    def warnings(self, request: I) -> Sequence[str]:
        if request.face_provider == "GPU":
            return ["face_provider GPU was read as CUDA"]
        return []


class SdxlInstantId(InstantIdKind[SdxlInstantIdInput]):
    name = "sdxl-instantid"
    route = "InstantId"
    input_model = SdxlInstantIdInput

    def graph(
        self,
        job: JobRequest[SdxlInstantIdInput],
        files: Mapping[str, str],
        seed: int,
        prefix: str,
        uploaded: Sequence[str] | None = None,
        landmarks: str = NOT_UPLOADED,
    ) -> Graph:
        request = job.input
        return instantid.text_to_image(
            files,
            prompt=request.prompt,
            negative_prompt=request.negative_prompt,
            width=request.width,
            height=request.height,
            identity=request.identity(uploaded or [NOT_UPLOADED] * len(request.keys)),
            sampling=Sampling(
                seed=seed,
                steps=request.steps,
                cfg=request.cfg,
                sampler_name=request.sampler_name,
                scheduler=request.scheduler,
            ),
            filename_prefix=prefix,
            landmarks=None if request.head is None else landmarks,
        )

    def graphs(self, job: JobRequest[SdxlInstantIdInput], models: ModelTable) -> Sequence[Graph]:
        files = names(sdxl_weights(job.input.sdxl_checkpoint, models))
        return [self.graph(job, files, job.seed, "judged")]

    def run(
        self, job: JobRequest[SdxlInstantIdInput], models: ModelTable, runner: GraphRunner
    ) -> Iterator[Rendered]:
        request = job.input
        references = references_of(job)
        scorer = scorer_of(references, request, runner)
        uploaded = upload_all(references, scorer.faces, runner)
        landmarks = uploaded_landmarks(request, runner)
        weights = sdxl_weights(request.sdxl_checkpoint, models)
        for ordinal in range(request.num_images):

            def render_attempt(seed: int, number: int, ordinal: int = ordinal) -> Attempt:
                prefix = f"ryla/{job.job_id}/a{job.attempt}/image-{ordinal}-try-{number}"
                graph = self.graph(job, names(weights), seed, prefix, uploaded, landmarks)
                with no_face_said_plainly():
                    done = runner.render(graph, part=ordinal, parts=request.num_images)
                body = only_file(done, ordinal)
                face = scorer.measure_try(
                    body,
                    seed,
                    done.seconds,
                    asked=request.asked_view,
                    size=(request.width, request.height),
                )
                return Attempt(body, graph, done.timings, face)

            tries = attempts(request, runner, output_seed(job.seed, ordinal), render_attempt)
            best = kept([take.face for take in tries])
            yield Rendered(
                body=tries[best].body,
                name=f"image-{ordinal}",
                size=(request.width, request.height),
                format=request.output_format,
                seed=tries[best].face.seed,
                timings=sum((take.timings for take in tries), Timings()),
                graph_sha256=tries[best].graph.digest(),
                parent_graphs=[take.graph.digest() for take in tries if take is not tries[best]],
                weights=sha256s(weights),
                embed_prompt=request.prompt if request.embed_prompt else None,
                face=FaceMeasurement([take.face for take in tries], best),
            )


def references_of(job: JobRequest[I]) -> list[Reference]:
    return [
        Reference(field, key, job.supplies.images[field]) for field, key in job.input.keys.items()
    ]


def scorer_of(references: Sequence[Reference], request: I, runner: GraphRunner) -> Scorer:
    """Raises NoFace, and InvalidInput for references of two people or a gate that lets any face
    through."""
    scorer = Scorer.of(partial(runner.faces, FaceUse.SCORE), references, runner.calibration)
    require_above_strangers(request.min_face_similarity, scorer.calibration)
    return scorer


def only_file(done: PromptRun, ordinal: int) -> bytes:
    """Raises OutputsMissing unless there is exactly one."""
    if len(done.files) != 1:
        raise OutputsMissing(
            f"picture {ordinal}: {len(done.files)} files were saved instead of one"
        )
    return done.files[0].body


@contextmanager
def no_face_said_plainly() -> Iterator[None]:
    """The InstantID nodes look at the reference themselves, and fail when they see no face."""
    try:
        yield
    except NodeFailed as error:
        if FACELESS not in error.message:
            raise
        raise NoFace(
            "InstantID found no face in the reference picture",
            field="input.reference_image",
            hint="Use a picture in which one face is large, upright and not covered.",
        ) from error
