"""What a job kind is, and the ports that one is run with."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Generic, Literal, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict

from config.errors import NotAvailable, OutputInvalid
from config.models import ModelTable
from handlers.faces.boxes import FaceFinder
from handlers.faces.match import Calibration
from handlers.faces.measurement import FaceMeasurement, FaceUse
from handlers.kinds.requirements import RequiredInputs, Supplies
from handlers.media import png_strips
from workflows.graph import Graph


class JobInput(BaseModel):
    """Base of each kind's input model: unknown fields are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


ONE_IS_REQUIRED = "one_is_required"
"""Type of the error of an input model that needs one of several fields, and has none."""
TAG = "="
"""Begins the tag that tells the forms of a field apart; errors name their field without it."""
IMAGE = "picture"
"""Marks a field of an input model that holds reference pictures, in its `json_schema_extra`."""


MAX_INPUT_KEY = 1024
"""Bytes of UTF-8: S3 takes no more."""


def image_fields(model: type[BaseModel]) -> Iterator[str]:
    """Names of the fields that are marked with IMAGE, in their order."""
    for name, info in model.model_fields.items():
        extra = info.json_schema_extra
        if isinstance(extra, dict) and extra.get(IMAGE):
            yield name


def is_input_key(key: str) -> bool:
    """Whether it is a key under inputs/ that every store takes as it stands."""
    top, *parts = key.split("/")
    return (
        top == "inputs"
        and key.isprintable()
        and bool(parts)
        and not {"", ".", ".."}.intersection(parts)
        and len(key.encode()) <= MAX_INPUT_KEY
    )


InputT = TypeVar("InputT", bound=JobInput)
OutputFormat = Literal["png", "jpeg", "webp"]


@dataclass(frozen=True)
class Work:
    """What a job asks of a GPU, for the estimate that budgets are checked against."""

    images: int
    """Pictures."""
    steps: int
    """Sampler steps per image."""
    width: int
    """Pixels, as is `height`."""
    height: int
    model: str | None = None
    """Kind whose arithmetic it is, if not the job's own."""
    then: "Work | None" = None
    """What is done to the pictures afterwards, on the same GPU."""
    other_seconds: float = 0.0
    """Beside sampling, decoding and saving what was sampled."""

    def times(self, number: int) -> "Work":
        """All of it so often."""
        further = None if self.then is None else self.then.times(number)
        seconds = self.other_seconds * number
        return replace(self, images=self.images * number, then=further, other_seconds=seconds)


@dataclass(frozen=True)
class Timings:
    """Seconds by part, read off ComfyUI's node events. Which class of node is of which part stands
    in handlers/comfyui/timings.py; those of none count under `other`."""

    load: float = 0.0
    encode: float = 0.0
    sampling: float = 0.0
    decode: float = 0.0
    other: float = 0.0
    first_step: float = 0.0
    """Of `sampling`: what each sampler's first step took beyond the median of its others. Weights
    move to the GPU in it. 0 where there were too few steps to tell."""

    @property
    def total(self) -> float:
        """Of all parts; `first_step` is within `sampling`."""
        return self.load + self.encode + self.sampling + self.decode + self.other

    def __add__(self, more: "Timings") -> "Timings":
        return Timings(
            self.load + more.load,
            self.encode + more.encode,
            self.sampling + more.sampling,
            self.decode + more.decode,
            self.other + more.other,
            self.first_step + more.first_step,
        )


@dataclass(frozen=True)
class OutputFile:
    """One file that a prompt saved."""

    node: str
    """Id of the node that saved it."""
    filename: str
    saved: "bytes | Pixels"
    """The file's bytes, or a picture that our own node handed over bare."""

    @property
    def pixels(self) -> "Pixels | None":
        return None if isinstance(self.saved, bytes) else self.saved

    @cached_property
    def body(self) -> bytes:
        """The file, or a PNG of the pixels, which is made when it is first asked for. Raises
        OutputInvalid for pixels that are others than their node told."""
        if isinstance(self.saved, bytes):
            return self.saved
        bare = self.saved
        try:
            return png_strips.encode(bare.rgb, bare.width, bare.height, sha256=bare.sha256)
        except ValueError as error:
            raise OutputInvalid(f"{self.filename}: {error}", field=self.node) from error


@dataclass(frozen=True)
class Pixels:
    """A picture of 8 bits, not compressed."""

    width: int
    height: int
    rgb: bytes
    """Row by row, three bytes a pixel."""
    sha256: str | None = None
    """That `rgb` must have, in hex; looked at while it is encoded. None where none was told."""
    sampled: Mapping[str, int] = field(default_factory=dict)
    """Steps since the picture before it, by how they were computed (workflows.node_pack.Speed)."""


@dataclass(frozen=True)
class PromptRun:
    """A prompt that ran to its end and kept every output."""

    prompt_id: str
    files: Sequence[OutputFile]
    timings: Timings

    @property
    def seconds(self) -> float:
        """That its nodes took."""
        return self.timings.total


class GraphRunner(Protocol):
    """The running ComfyUI as a handler sees it."""

    def render(
        self, graph: Graph, *, part: int, parts: int, then: Graph | None = None
    ) -> PromptRun:
        """Run one prompt, reporting progress as part `part` (from 0) of `parts` of the job. `then`
        is the graph of the next part, where it is known: ComfyUI has it when this one ends.

        Raises a ComfyError, or Superseded when the lease was lost meanwhile.
        """

    def upload(self, body: bytes, name: str) -> str:
        """Put a picture among ComfyUI's inputs. The name that graphs must use. Raises a ComfyError.

        Equal names mean equal pictures.
        """

    def faces(self, use: FaceUse) -> FaceFinder:
        """What finds or compares faces, as `use` says. Raises FaceModelsMissing."""

    def calibration(self) -> Calibration | None:
        """Of the embedder used for scoring, if it was measured."""

    def has_time_for(self, seconds: float) -> bool:
        """Whether so many more seconds stay within the job's time limit and budget."""


@dataclass(frozen=True)
class Rendered:
    """One picture of a job, as ComfyUI saved it; the worker checks, converts and stores it."""

    body: bytes
    """Empty where `pixels` has the picture."""
    name: str
    """Base name without extension, unique in the job."""
    size: tuple[int, int] | None
    """Width and height that it must have; None where only the graph knows."""
    format: OutputFormat | None
    """In which it is delivered; None leaves it in the one it was saved in."""
    seed: int
    """That it was sampled with."""
    timings: Timings
    graph_sha256: str
    weights: Mapping[str, str | None]
    """Weight file → sha256 where models.toml has one."""
    saved_as: str | None = None
    """Its file name by ComfyUI, for what need not be a picture: an animation, a video."""
    embed_prompt: str | None = None
    """To be written into the delivered file."""
    parent_graphs: Sequence[str] = ()
    """sha256 of the graphs that ran before `graph_sha256` for this picture."""
    face: FaceMeasurement | None = None
    """For kinds that measure faces."""
    pixels: Pixels | None = None
    """The picture, where our own node handed it over bare: encoded once, as what is delivered."""
    composition: bytes | None = None
    """The picture before its face pass, if that is to be stored too."""


@dataclass(frozen=True)
class JobRequest(Generic[InputT]):
    """Everything that decides a job's pictures. Equal requests make equal pictures."""

    job_id: str
    attempt: int
    """From 1; only names files, and decides nothing in a picture."""
    input: InputT
    seed: int
    """The caller's, or derived from the job's id."""
    supplies: Supplies = field(default_factory=Supplies)
    """What was fetched for it; empty while it is only being judged."""


class Kind(ABC, Generic[InputT]):
    """One job kind: its input, its route, its graphs, its events."""

    name: str
    """As in the manifest's `model`."""
    route: str
    """A name in routes.toml."""
    input_model: type[InputT]
    stops_short: str = "with fewer tries"
    """How it ends where its budget or its time does not last for `most_work`."""
    in_steps: bool = False
    """Whether it may be handed back between two steps, and taken up again there."""
    lacking: Mapping[str, str] = MappingProxyType({})
    """Node class that a ComfyUI may lack → what to do about it."""

    @abstractmethod
    def work(self, request: InputT) -> Work:
        """What the job asks of the GPU at least, told from its input alone."""

    def most_work(self, request: InputT) -> Work:
        """With all the tries that it may take, for kinds that make again what does not do."""
        return self.work(request)

    def required_inputs(self, request: InputT, models: ModelTable) -> RequiredInputs:  # noqa: ARG002 - for kinds to use
        """What must be in the bucket for it. Checked before a GPU starts, fetched by the worker."""
        return RequiredInputs()

    @abstractmethod
    def graphs(self, job: JobRequest[InputT], models: ModelTable) -> Sequence[Graph]:
        """The graphs that can be known before anything runs, for validation. Pure.

        Raises MissingModel when models.toml lacks a weight file.
        """

    @abstractmethod
    def run(
        self, job: JobRequest[InputT], models: ModelTable, runner: GraphRunner
    ) -> Iterator[Rendered]:
        """Make the pictures, in order.

        Raises from the error tree: what `runner` raises, MissingModel, OutputsMissing or NoFace.
        """

    def prompts(self, request: InputT) -> Sequence[str]:
        """The caller's texts that steer the pictures: what the check of prompts reads."""
        given = (getattr(request, name, None) for name in ("trigger_word", "prompt"))
        return [" ".join(text for text in given if text)]

    def unavailable(self, request: InputT) -> NotAvailable | None:  # noqa: ARG002 - for kinds to use
        """Why the job must be refused: it uses a part of the contract that is not built yet."""
        return None

    def warnings(self, request: InputT) -> Sequence[str]:  # noqa: ARG002 - for kinds to use
        """What the caller should know about how the request was read."""
        return ()
