"""What the InstantID kinds share, and the kind `sdxl-instantid`: InstantID as it was made."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from config.errors import MissingModel, NodeFailed, NoFace, OutputsMissing
from config.tables import ModelTable, WeightFile
from handlers.faces.boxes import Face
from handlers.faces.landmark_image import landmark_image
from handlers.faces.match import Gate, require_above_strangers
from handlers.faces.measurement import FaceMeasurement, FaceTry, FaceUse, Scorer, again, kept
from handlers.faces.references import MOST, Reference
from handlers.faces.view import AskedView, Framing
from handlers.kinds.base import (
    GraphRunner,
    JobRequest,
    PromptRun,
    Rendered,
    Timings,
    is_input_key,
)
from handlers.kinds.requirements import RequiredInputs
from handlers.kinds.seeds import derive_seed, output_seed
from handlers.kinds.text_to_image import TextToImage, TextToImageInput
from handlers.kinds.view_fields import FramingName, HeadInput
from handlers.media import png
from workflows import instantid
from workflows.graph import Graph
from workflows.instantid import Identity, Sampling

WEIGHT_SET = "sdxl-instantid"
NOT_UPLOADED = "reference.png"
"""Stands for the reference in graphs that are only judged."""
FACELESS = "No face detected"
"""In the words of the InstantID nodes, of a reference picture."""


class InstantIdInput(TextToImageInput):
    reference_images: tuple[Annotated[str, Field(min_length=1, max_length=512)], ...] = Field(
        default=(),
        max_length=MOST,
        description="Keys of one to five pictures of the person, for reference_image.",
        json_schema_extra={"picture": True},
    )
    reference_image: str | None = Field(
        default=None,
        validate_default=True,
        min_length=1,
        max_length=512,
        description="Key of a picture of the person, under inputs/; its largest face is taken.",
        json_schema_extra={"picture": True},
    )
    negative_prompt: str = Field(
        default="", max_length=4000, description="What SDXL is to keep away from."
    )
    instantid_strength: float = Field(
        default=0.8, ge=0, le=3, description="How much the face is the reference's."
    )
    controlnet_strength: float = Field(
        default=0.8, ge=0, le=3, description="How strictly eyes, nose and mouth keep their places."
    )
    start_at: float = Field(
        default=0.0, ge=0, le=1, description="Share of the sampling at which InstantID sets in."
    )
    end_at: float = Field(
        default=1.0,
        ge=0,
        le=1,
        validate_default=True,
        description="Share of the sampling at which it ends.",
    )
    sampler_name: str = Field(default="euler", max_length=64, description="Of ComfyUI's KSampler.")
    scheduler: str = Field(default="normal", max_length=64, description="Of ComfyUI's KSampler.")
    sdxl_checkpoint: str | None = Field(
        default=None,
        max_length=256,
        description="An SDXL checkpoint of models.toml, by file or name; null takes the set's own.",
    )
    face_provider: Literal["CPU", "GPU"] = Field(
        default="CPU", description="Taken for older clients: GPU means CUDA."
    )
    min_face_match: float | None = Field(
        default=None, ge=0, le=1, description="Below it, another seed is tried."
    )
    min_face_similarity: float | None = Field(
        default=None, ge=-1, le=1, description="Below it, another seed is tried."
    )
    max_tries: int = Field(
        default=3, ge=1, le=8, description="Seeds tried for a picture below a minimum; best kept."
    )

    head: HeadInput | None = Field(
        default=None,
        description="How the head is turned; null leaves it as in the reference, or as composed.",
    )
    framing: FramingName | None = Field(
        default=None,
        validate_default=True,
        description="How much of the person is seen, with `head` alone; null means close-up.",
    )

    @field_validator("framing")
    @classmethod
    def _of_a_head(cls, framing: Framing | None, info: ValidationInfo) -> Framing | None:
        if framing is not None and info.data.get("head") is None:
            raise ValueError("framing needs head: {} looks into the camera")
        return framing

    @field_validator("reference_image", "reference_images")
    @classmethod
    def _in_the_bucket(cls, given: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
        for key in (given,) if isinstance(given, str) else given or ():
            if not is_input_key(key):
                raise ValueError(
                    "must be a key under inputs/; `ryla submit` makes one of @file, HTTP of a data"
                    " URL"
                )
        return given

    @field_validator("reference_images")
    @classmethod
    def _told_apart(cls, keys: tuple[str, ...]) -> tuple[str, ...]:
        if len({*keys}) < len(keys):
            raise ValueError("a picture is named twice: name each once")
        return keys

    @field_validator("reference_image")
    @classmethod
    def _somebody_is_shown(cls, key: str | None, info: ValidationInfo) -> str | None:
        if "reference_images" not in info.data:
            return key  # what is wrong with them is told
        if key is not None and info.data["reference_images"]:
            raise ValueError("give reference_image or reference_images, not both")
        if key is None and not info.data["reference_images"]:
            raise PydanticCustomError("missing", "reference_image or reference_images is required")
        return key

    @property
    def keys(self) -> Mapping[str, str]:
        """Field → key of each reference picture."""
        if self.reference_image is not None:
            return {"reference_image": self.reference_image}
        return {f"reference_images.{at}": key for at, key in enumerate(self.reference_images)}

    @field_validator("end_at")
    @classmethod
    def _ends_after_its_start(cls, end_at: float, info: ValidationInfo) -> float:
        if end_at <= info.data.get("start_at", 0.0):
            raise ValueError("end_at must be greater than start_at")
        return end_at

    @property
    def gate(self) -> Gate:
        return Gate(self.min_face_match, self.min_face_similarity)

    @property
    def asked_view(self) -> AskedView | None:
        """Without a framing, any is taken."""
        return None if self.head is None else AskedView(self.head.head, self.framing)

    def identity(self, uploaded: Sequence[str]) -> Identity:
        """By the names of the uploaded references."""
        return Identity(
            reference=uploaded[0],
            further=tuple(uploaded[1:]),
            strength=self.instantid_strength,
            controlnet_strength=self.controlnet_strength,
            start_at=self.start_at,
            end_at=self.end_at,
            provider="CUDA" if self.face_provider == "GPU" else "CPU",
        )


class SdxlInstantIdInput(InstantIdInput):
    cfg: float = Field(default=7.0, ge=1, le=15, description="Guidance; 5 to 7 are usual.")


I = TypeVar("I", bound=InstantIdInput)  # noqa: E741


@dataclass(frozen=True)
class Attempt:
    """One picture that was tried."""

    body: bytes
    graph: Graph
    timings: Timings
    face: FaceTry


class InstantIdKind(TextToImage[I], Generic[I]):
    weight_set = WEIGHT_SET

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


def upload_all(
    references: Sequence[Reference], faces: Sequence[Face | None], runner: GraphRunner
) -> tuple[str, ...]:
    """Their names for ComfyUI. The faces are those that were found in them."""
    from handlers.faces.reference_pictures import prepared

    pictures = prepared(references, faces)
    return tuple(runner.upload(body, input_name(body)) for body in pictures)


def sdxl_weights(sdxl_checkpoint: str | None, models: ModelTable) -> Mapping[str, WeightFile]:
    """Role → file, with the checkpoint that was asked for. Raises MissingModel."""
    weights = models.weights(WEIGHT_SET)
    if sdxl_checkpoint is None:
        return weights
    known = [
        weight
        for weight in models.weights_by_name.values()
        if (weight.family, weight.folder) == ("sdxl", "checkpoints")
    ]
    for weight in known:
        if sdxl_checkpoint in (weight.file, weight.base_name, weight.name):
            return {**weights, "checkpoint": weight}
    raise MissingModel(
        f"models.toml lists no SDXL checkpoint {sdxl_checkpoint!r}",
        field="input.sdxl_checkpoint",
        value=sdxl_checkpoint,
        hint=f"Known: {', '.join(weight.file for weight in known)}.",
    )


def names(weights: Mapping[str, WeightFile]) -> Mapping[str, str]:
    return {role: weight.file for role, weight in weights.items()}


def sha256s(weights: Mapping[str, WeightFile]) -> Mapping[str, str | None]:
    return {weight.file: weight.sha256 for weight in weights.values()}


def attempts(
    request: InstantIdInput,
    runner: GraphRunner,
    seed: int,
    render_attempt: Callable[[int, int], Attempt],
) -> Sequence[Attempt]:
    """Takes of one picture, until one shows the view that was asked for and passes the gate, or
    tries, time or budget are used up."""
    tries: list[Attempt] = []
    for number in range(request.max_tries):
        tries.append(
            render_attempt(seed if number == 0 else derive_seed(f"{seed}/try", number), number)
        )
        last = tries[-1].face
        if not again(request.gate, last):
            break
        if not runner.has_time_for(last.seconds):
            break
    return tries


def uploaded_landmarks(request: InstantIdInput, runner: GraphRunner) -> str:
    """The head that was asked for, drawn for InstantID; a name that stands for nothing else."""
    if request.head is None:
        return NOT_UPLOADED
    framing, size = request.framing or Framing.CLOSE_UP, (request.width, request.height)
    drawn = landmark_image(request.head.head, framing, size)
    return runner.upload(drawn, input_name(drawn))


def input_name(body: bytes) -> str:
    """A name for ComfyUI's input folder that no other picture has."""
    extension = "png" if body.startswith(png.SIGNATURE) else "jpg"
    return f"ryla-{hashlib.sha256(body).hexdigest()[:32]}.{extension}"


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
