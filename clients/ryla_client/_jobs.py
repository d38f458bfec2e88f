"""What the server says about jobs, and what it becomes here: a Job, or an error of the tree."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ryla_client._errors import (
    BadRequest,
    Conflict,
    Details,
    NotAllowed,
    NotFound,
    RylaError,
    ServerError,
    ServerFailed,
    StillRunning,
    TooMany,
)
from ryla_client.results import Result, Status


@dataclass(frozen=True)
class Job:
    """A job as it stood when the server was asked."""

    id: str
    state: str
    """waiting, claimed, running, retry or finished."""
    status: Status | None = None
    """How it ended; None before."""
    model: str | None = None
    attempt: int | None = None
    """Execution, from 1."""
    progress: float | None = None
    """Of a running one: the share that is done, 0 to 1."""
    step: str | None = None
    """What runs now: a node of the graph, `start` or `upload`."""
    views: Mapping[str, str] = field(default_factory=dict)
    """Of a running character sheet: how far each view is, such as `composed` or `made`."""
    ended: Result | None = None
    """How, in full; None before. `result` is the same for those who know that it has."""
    estimate: Mapping[str, Any] | None = None
    """What it is expected to take on a warm `gpu`: `seconds` and `usd` with each picture made once,
    `most_seconds` and `most_usd` with all tries. Known to whoever submitted it in this call."""
    warnings: tuple[str, ...] = ()
    """Where its budget or its time may not last for all tries; as `estimate`."""
    idempotency_key: str | None = None
    """That it was submitted with, in this call."""

    @property
    def finished(self) -> bool:
        return self.ended is not None

    @property
    def result(self) -> Result:
        """Raises StillRunning for a job that has none yet."""
        if self.ended is None:
            raise StillRunning(f"the job {self.id} is not finished", Details(job_id=self.id))
        return self.ended

    @property
    def succeeded(self) -> bool:
        return self.status == "succeeded"


class JobEnded(RylaError):
    """The job ended without pictures."""

    def __init__(self, message: str, details: Details, job: Job) -> None:
        super().__init__(message, details)
        self.job = job


class JobFailed(JobEnded):
    """It was tried."""


class JobRejected(JobEnded):
    """It was refused before a GPU started, and cost nothing."""


class JobCancelled(JobEnded):
    """Somebody cancelled it."""


ENDED: Mapping[str, type[JobEnded]] = {
    "failed": JobFailed,
    "rejected": JobRejected,
    "cancelled": JobCancelled,
}


def check_succeeded(job: Job) -> Job:
    """`job`, or its JobEnded. Raises StillRunning before it ended."""
    if job.succeeded:
        return job
    error = job.result["error"]
    details = Details(
        code=error["code"] if error else job.status,
        field=_in_body(error["field"]) if error else None,
        hint=error["hint"] if error else None,
        idempotency_key=job.idempotency_key,
        job_id=job.id,
    )
    kind = ENDED.get(str(job.status), JobEnded)
    message = error["message"] if error else f"the job was {job.status}"
    raise kind(message, details, job)


def _in_body(field: str | None) -> str | None:
    """A manifest has the kind's fields under `input`, a request beside the others."""
    return field.removeprefix("input.") if field else field


def read_job(document: object, key: str | None = None) -> Job | None:
    """The job that an answer's JSON tells of, or None when it tells of none."""
    if not isinstance(document, dict) or not {"id", "state"} <= document.keys():
        return None
    progress = document.get("progress") or {}
    return Job(
        document["id"],
        document["state"],
        status=document.get("status"),
        model=document.get("model"),
        attempt=document.get("attempt"),
        progress=progress.get("fraction"),
        step=progress.get("step"),
        views=progress.get("views") or {},
        ended=document.get("result"),
        estimate=document.get("estimate"),
        warnings=tuple(document.get("warnings") or ()),
        idempotency_key=key,
    )


_REFUSALS: Mapping[int, type[ServerError]] = {
    401: NotAllowed,
    403: NotAllowed,
    404: NotFound,
    409: Conflict,
    410: NotFound,
    429: TooMany,
    501: BadRequest,  # of the contract, and not built yet
}


def refusal(status: int, problem: Mapping[str, Any], details: Details) -> ServerError:
    """The error for a problem that the server answered with."""
    kind = _REFUSALS.get(status, ServerFailed if status >= 500 else BadRequest)
    said = problem.get("detail")
    return kind(said if isinstance(said, str) else f"the server answered {status}", details)
