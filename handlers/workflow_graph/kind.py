"""The kind `workflow`: a graph of the caller's, made of nodes that allow_list.toml allows.
docs/workflow.md has its rules."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from config.errors import OutputsMissing
from config.models import ModelTable
from handlers.kinds.base import (
    IMAGE,
    GraphRunner,
    JobInput,
    JobRequest,
    Kind,
    OutputFormat,
    Rendered,
    Timings,
    Work,
    is_input_key,
)
from handlers.kinds.input_pictures import input_name
from handlers.kinds.requirements import RequiredInputs
from handlers.kinds.seeds import MAX_SEED
from handlers.workflow_graph import caller_graph
from handlers.workflow_graph.allow_list import allow_list
from handlers.workflow_graph.caller_graph import PROMPT, SEED
from handlers.workflow_graph.demand import Demand, demand
from handlers.workflow_graph.extents import Size
from workflows.graph import Graph
from workflows.interfaces import committed

MAX_IMAGES = 8
"""Pictures that one graph may load."""
USUAL_SIDE = 1024
"""Pixels, of a picture in an estimate that is made before it is looked at."""


class WorkflowInput(JobInput):
    model_config = ConfigDict(strict=True)

    workflow: dict[str, Any] = Field(description="The graph in ComfyUI's API format.")
    prompt: str | None = Field(
        default=None,
        min_length=1,
        max_length=4000,
        description=f"Takes the place of every input that is {PROMPT}.",
    )
    seed: int | None = Field(
        default=None,
        ge=0,
        le=MAX_SEED,
        description=f"Takes the place of every input that is {SEED}; null derives one from the id.",
    )
    inputs: dict[str, str] = Field(
        default={},
        max_length=MAX_IMAGES,
        description="Picture by the name that the graph loads it under.",
        json_schema_extra={IMAGE: True},
    )
    output_format: OutputFormat | None = Field(
        default=None, description="Of still pictures; null leaves them as the graph saved them."
    )
    nsfw: bool = Field(default=False, description="The graph uses the uncensored checkpoint.")

    @field_validator("workflow")
    @classmethod
    def _form(cls, workflow: dict[str, Any]) -> dict[str, Any]:
        caller_graph.check_form(workflow)
        return workflow

    @field_validator("inputs")
    @classmethod
    def _keys(cls, inputs: dict[str, str]) -> dict[str, str]:
        for name, key in inputs.items():
            if not is_input_key(key):
                raise ValueError(f"{name[:80]}: it must be a key under inputs/")
        return inputs

    @model_validator(mode="after")
    def _complete(self) -> Self:
        has_place = caller_graph.has(self.workflow, PROMPT)
        if self.prompt is not None and not has_place:
            raise ValueError(
                f"the graph has no place for prompt: write {PROMPT} where the text belongs, as the"
                " text of its CLIPTextEncode, or leave prompt out; the graph's own texts stay then"
            )
        if self.prompt is None and has_place:
            raise ValueError(f"the graph says {PROMPT}, and prompt is not given")
        loaded, given = caller_graph.images(self.workflow), set(self.inputs)
        if loaded != given:
            names = ", ".join(sorted(loaded ^ given))
            raise ValueError(
                "inputs must have the picture of each name that the graph loads, and no other:"
                f" {names[:200]}"
            )
        return self


class Workflow(Kind[WorkflowInput]):
    """On the Flux route, whose workers have the memory and the weights of every family."""

    name = "workflow"
    route = "Flux"
    input_model = WorkflowInput

    @property
    def lacking(self) -> Mapping[str, str]:  # type: ignore[override]  # read from a file
        return {
            node: f"It is of the node pack {name} ({pack.repository} at {pack.commit[:7]}), which"
            f" is not installed; the kind {pack.instead} does without it."
            for name, pack in allow_list().packs.items()
            for node in pack.nodes
        }

    def work(self, request: WorkflowInput) -> Work:
        return self.demand(request, {}, unknown=(USUAL_SIDE, USUAL_SIDE)).work

    def demand(
        self, request: WorkflowInput, pictures: Mapping[str, Size], unknown: Size = (1, 1)
    ) -> Demand:
        """What the graph asks of a machine; `pictures` has the sizes of the job's by their names,
        and those that it lacks are taken to be of the size `unknown`.

        Raises GraphRejected for links to nowhere or in a circle.
        """
        nodes = caller_graph.running(request.workflow)
        return demand(nodes, committed().nodes, pictures, unknown)

    def required_inputs(self, request: WorkflowInput, models: ModelTable) -> RequiredInputs:  # noqa: ARG002
        return RequiredInputs(
            images={f"inputs.{name}": key for name, key in request.inputs.items()}
        )

    def prompts(self, request: WorkflowInput) -> Sequence[str]:
        return caller_graph.texts(request.workflow, request.prompt)

    def graphs(self, job: JobRequest[WorkflowInput], models: ModelTable) -> Sequence[Graph]:
        caller_graph.admit(job.input.workflow, models, nsfw=job.input.nsfw)
        return [self._graph(job, {}, models)]

    def run(
        self, job: JobRequest[WorkflowInput], models: ModelTable, runner: GraphRunner
    ) -> Iterator[Rendered]:
        request = job.input
        weights = caller_graph.admit(request.workflow, models, nsfw=request.nsfw)
        given = {name: job.supplies.images[f"inputs.{name}"] for name in request.inputs}
        names = {name: runner.upload(body, input_name(body)) for name, body in given.items()}
        graph = self._graph(job, names, models)
        done = runner.render(graph, part=0, parts=1)
        if not done.files:
            raise OutputsMissing("the graph saved no file", hint="Add a SaveImage node.")
        for ordinal, file in enumerate(done.files):
            yield Rendered(
                body=b"" if file.pixels else file.body,
                pixels=file.pixels,
                name=f"output-{ordinal}",
                size=None,
                format=request.output_format,
                seed=job.seed,
                timings=Timings() if ordinal else done.timings,
                graph_sha256=graph.digest(),
                weights=weights,
                saved_as=file.filename,
            )

    def _graph(
        self, job: JobRequest[WorkflowInput], names: Mapping[str, str], models: ModelTable
    ) -> Graph:
        values = {PROMPT: job.input.prompt, SEED: job.seed}
        prefix = f"ryla/{job.job_id}/a{job.attempt}"
        return caller_graph.build(job.input.workflow, values, names, models, prefix)
