"""What all text-to-image kinds share: their common fields, a graph and a seed a picture."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Generic, TypeVar

from pydantic import ConfigDict, Field, ValidationInfo, field_validator

from config.errors import NotAvailable, OutputsMissing
from config.models import ModelTable, WeightFile
from handlers.kinds.base import (
    GraphRunner,
    JobInput,
    JobRequest,
    Kind,
    OutputFormat,
    Rendered,
    Work,
)
from handlers.kinds.seeds import MAX_SEED, output_seed
from handlers.policy.disguises import shows_something
from workflows.graph import Graph

MAX_PIXELS = 2 * 1024 * 1024
"""The models are trained up to two megapixels; beyond that pictures repeat themselves."""


class TextToImageInput(JobInput):
    """What every text-to-image kind takes. Numbers are numbers: "20" is not 20."""

    model_config = ConfigDict(strict=True)

    prompt: str = Field(
        min_length=1, max_length=4000, pattern=r"\S", description="What the picture shows."
    )
    negative_prompt: str = Field(
        default="",
        max_length=4000,
        description="Taken for older clients; it has no effect at cfg 1.",
    )
    width: int = Field(
        default=1024, ge=256, le=2048, multiple_of=16, description="Pixels; at most 2 Mi in all."
    )
    height: int = Field(
        default=1024,
        ge=256,
        le=2048,
        multiple_of=16,
        validate_default=True,
        description="Pixels; at most 2 Mi in all.",
    )
    steps: int = Field(default=20, ge=1, le=50, description="Sampler steps.")
    cfg: float = Field(default=1.0, ge=0, le=10, description="Taken for older clients.")
    seed: int | None = Field(
        default=None, ge=0, le=MAX_SEED, description="0 is a seed; null derives one from the id."
    )
    num_images: int = Field(default=1, ge=1, le=8, description="Pictures, each with its own seed.")
    output_format: OutputFormat = "png"
    embed_prompt: bool = Field(
        default=False, description="Write the prompt into the delivered files' metadata."
    )
    nsfw: bool = Field(default=False, description="Use the uncensored checkpoint.")

    @field_validator("prompt")
    @classmethod
    def _shows_something(cls, prompt: str) -> str:
        if not shows_something(prompt):
            raise ValueError("it has no character that can be seen")
        return prompt

    @field_validator("height")
    @classmethod
    def _area(cls, height: int, info: ValidationInfo) -> int:
        width = info.data.get("width", 0)
        if width * height > MAX_PIXELS:
            raise ValueError(
                f"{width} x {height} are {width * height} pixels, more than {MAX_PIXELS}"
            )
        return height


T = TypeVar("T", bound=TextToImageInput)


class TextToImage(Kind[T], Generic[T]):
    """One set of weights, one graph for each picture."""

    weight_set: str
    """A name in models.toml."""

    @abstractmethod
    def graph(self, job: JobRequest[T], files: Mapping[str, str], seed: int, prefix: str) -> Graph:
        """The graph of one picture. `files` are the set's weight files by role, `prefix` is what
        its file is to be saved under, which ComfyUI must not have seen before."""

    def prompt(self, job: JobRequest[T]) -> str:
        """The text that is encoded."""
        return job.input.prompt

    def weights(self, request: T, models: ModelTable) -> Mapping[str, WeightFile]:  # noqa: ARG002
        """Role → weight file. Raises MissingModel."""
        return models.weights(self.weight_set)

    def work(self, request: T) -> Work:
        return Work(request.num_images, request.steps, request.width, request.height)

    def unavailable(self, request: T) -> NotAvailable | None:
        if not request.nsfw:
            return None
        return NotAvailable(
            f"{self.name} has no uncensored checkpoint",
            field="input.nsfw",
            value=True,
            hint="Leave nsfw out, or use flux-dev.",
        )

    def warnings(self, request: T) -> Sequence[str]:
        if request.negative_prompt:
            return ["negative_prompt has no effect: this model samples at cfg 1"]
        return []

    def graphs(self, job: JobRequest[T], models: ModelTable) -> Sequence[Graph]:
        weights = self.weights(job.input, models)
        files = {role: weight.file for role, weight in weights.items()}
        return [
            self.graph(
                job,
                files,
                output_seed(job.seed, ordinal),
                # Its own for every picture of every attempt: an equal prefix would let ComfyUI
                # answer from its cache with a file of an earlier prompt.
                f"ryla/{job.job_id}/a{job.attempt}/{_name(ordinal)}",
            )
            for ordinal in range(job.input.num_images)
        ]

    def run(
        self, job: JobRequest[T], models: ModelTable, runner: GraphRunner
    ) -> Iterator[Rendered]:
        request = job.input
        weights = self.weights(job.input, models)
        sums = {weight.file: weight.sha256 for weight in weights.values()}
        graphs = self.graphs(job, models)
        for ordinal, (graph, then) in enumerate(zip_longest(graphs, graphs[1:])):
            done = runner.render(graph, part=ordinal, parts=len(graphs), then=then)
            if len(done.files) != 1:
                raise OutputsMissing(
                    f"picture {ordinal}: {len(done.files)} files were saved instead of one"
                )
            yield Rendered(
                body=b"" if done.files[0].pixels else done.files[0].body,
                pixels=done.files[0].pixels,
                name=_name(ordinal),
                size=(request.width, request.height),
                format=request.output_format,
                seed=output_seed(job.seed, ordinal),
                timings=done.timings,
                graph_sha256=graph.digest(),
                weights=sums,
                embed_prompt=self.prompt(job) if request.embed_prompt else None,
            )


def _name(ordinal: int) -> str:
    return f"image-{ordinal}"
