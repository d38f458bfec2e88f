"""What a flow asks for, and how it is told how that went."""

import json
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from ryla_client._jobs import Job
from ryla_client.requests import Request as JobRequest


@dataclass(frozen=True)
class Call:
    """One HTTP request."""

    method: str
    path: str
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    wait: float = 0.0
    """Seconds that the server is asked to wait before it answers."""
    key: str | None = None
    """The job's Idempotency-Key, where it is known; only a submission sends it."""
    job_id: str | None = None
    """Of the job that it is about, for errors."""


@dataclass(frozen=True)
class Reply:
    """An answer, read to its end. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Broken:
    """No answer, or half of one."""

    why: str
    reached: bool = True
    """Whether somebody was there to answer."""


@dataclass(frozen=True)
class Send:
    call: Call


@dataclass(frozen=True)
class Pause:
    seconds: float


@dataclass(frozen=True)
class Write:
    path: Path
    body: bytes


T = TypeVar("T")
Step = Send | Pause | Write
Flow = Generator[Step, Reply | Broken | None, T]


def submission(request: JobRequest, key: str, wait: float) -> Call:
    """The submission. What the request does not give is left to the server's defaults."""
    fields = {name: value for name, value in request.items() if name != "model"}
    headers = {
        "Content-Type": "application/json",
        "Idempotency-Key": key,
        **waiting(wait),
    }
    body = json.dumps(fields, ensure_ascii=False, allow_nan=False).encode()
    return Call("POST", f"/{request['model']}", body, headers, wait, key)


def waiting(seconds: float) -> dict[str, str]:
    """The header that asks the server to wait so long; it takes whole seconds."""
    return {"Prefer": f"wait={int(seconds)}"}


def about(job: Job, method: str = "GET", path: str = "", **more: Any) -> Call:
    return Call(
        method,
        f"/jobs/{quote(job.id, safe='')}{path}",
        key=job.idempotency_key,
        job_id=job.id,
        **more,
    )
