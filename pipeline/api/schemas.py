"""What the endpoints answer, beside pictures."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, create_model

from pipeline.contract.lease import Progress
from pipeline.contract.result import Result, Status
from pipeline.jobs.quote import Quote
from pipeline.jobs.status import JobView, State

PRIVATE = frozenset({"events", "nonce"})
"""Of a result, what is for dispatchers alone."""


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class JobState(StrEnum):
    WAITING = "waiting"
    """In the inbox."""
    CLAIMED = "claimed"
    """Taken; waits for a worker."""
    RUNNING = "running"
    RETRY = "retry"
    """Waits for its next attempt."""
    FINISHED = "finished"


def _told_of(result: type[Result]) -> type[BaseModel]:
    fields: dict[str, Any] = {
        name: (field.annotation, field)
        for name, field in result.model_fields.items()
        if name not in PRIVATE
    }
    return create_model("JobResult", **fields)


JobResult = _told_of(Result)


class Estimate(_Answer):
    """For a warm worker; null where none can be made. A cold start comes on top."""

    gpu: str = Field(description="That it is for: the first that the job would be given.")
    seconds: float | None = Field(description="At least: each picture made once.")
    most_seconds: float | None = Field(description="At most: with all tries.")
    usd: float | None = Field(description="The price of `seconds`; `max_cost_usd` must have it.")
    most_usd: float | None = Field(description="The price of `most_seconds`.")


class Job(_Answer):
    """A job as it stands. `result` is there when `state` is finished."""

    id: str
    state: JobState
    status: Status | None = Field(None, description="How it ended; null until then.")
    model: str | None = None
    attempt: int | None = Field(None, description="Execution, from 1.")
    progress: Progress | None = None
    since: datetime | None = Field(None, description="When its state was written.")
    url: str
    outputs: tuple[str, ...] = Field((), description="Where its pictures are to be had, in order.")
    files: tuple[str, ...] = Field(
        (), description="Where its files are to be had that are no pictures of it."
    )
    result: JobResult | None = None  # type: ignore[valid-type]
    estimate: Estimate | None = Field(
        None, description="What it is expected to take: in the answer to the request that sent it."
    )
    warnings: tuple[str, ...] = Field(
        (),
        description="Where its budget or time may not last: in that answer too. Of a job that is"
        " asked for: that a stop or a budget of the operator's keeps it waiting.",
    )


class Jobs(_Answer):
    """A tenant's jobs that wait or run, in the order of their ids."""

    jobs: tuple[Job, ...]
    count: int = Field(description="Of all of them, beyond this page too.")
    next: str | None = Field(None, description="Give it as `after` for the next page.")


class Problem(BaseModel):
    """RFC 9457 problem details."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=["urn:ryla:error:unknown_field"])
    title: str
    status: int
    detail: str = Field(description="What is wrong, in words.")
    code: str = Field(description="What is wrong, for programs. It does not change.")
    instance: str | None = None
    field: str | None = None
    value: str | None = None
    hint: str | None = Field(None, description="What to do about it.")
    error: str = Field(description="`detail` again, for older clients.")
    details: str = Field(description="`hint` again, else `code`, for older clients.")
    also: list[dict[str, Any]] | None = Field(None, description="Further errors in the request.")
    request_id: str | None = None
    job: str | None = Field(None, description="The id of the job that it is about.")


class Health(_Answer):
    status: str = "healthy"
    app: str
    version: str


class Kind(_Answer):
    name: str
    path: str
    available: bool
    gpus: tuple[str, ...] = Field((), description="In order of preference.")
    weights: tuple[str, ...] = ()
    takes_lora: bool = False
    pictures: tuple[str, ...] = Field((), description="Fields that take a picture.")


class Kinds(_Answer):
    models: tuple[Kind, ...]
    count: int


class LoraFile(_Answer):
    name: str = Field(description="To be given as lora_name.")
    path: str = Field(description="Key in the bucket.")
    bytes: int
    last_modified: datetime


class Loras(_Answer):
    loras: tuple[LoraFile, ...]
    count: int


def job_url(id: str) -> str:
    return f"/jobs/{id}"


def output_url(id: str, ordinal: int) -> str:
    return f"/jobs/{id}/outputs/{ordinal}"


def file_url(id: str, name: str) -> str:
    return f"{job_url(id)}/files/{name}"


def job_document(
    view: JobView, model: str | None = None, quote: Quote | None = None
) -> dict[str, Any]:
    """The fields of a `Job`, in JSON's own types."""
    lease, result = view.lease, view.result
    shown: dict[str, Any] = {
        "id": view.id,
        "state": _state(view.state),
        "status": result.status if result else None,
        "model": (result.model if result else None) or (lease.model if lease else None) or model,
        "attempt": result.attempt if result else lease.attempt if lease else None,
        "progress": lease.progress.model_dump() if lease and lease.progress else None,
        "since": view.since.isoformat() if view.since else None,
        "url": job_url(view.id),
        "outputs": [output_url(view.id, n) for n in range(len(result.outputs))] if result else [],
        "files": [file_url(view.id, each.name) for each in result.files] if result else [],
        "result": result.model_dump(mode="json", exclude=set(PRIVATE)) if result else None,
    }
    if quote is not None:
        shown |= {"estimate": quote.document(), "warnings": list(quote.warnings)}
    return shown


def _state(state: State) -> JobState:
    if state is State.DELIVERING:
        return JobState.FINISHED
    return JobState.WAITING if state is State.UNKNOWN else JobState(state.value)
