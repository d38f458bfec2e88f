"""The deployment as its HTTP clients see it: `/health`, and a job of each kind."""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import httpx
from pydantic import BaseModel, ConfigDict

from config.errors import InvalidInput
from config.settings import URL
from pipeline.acceptance.jobs import Job

HEALTH_SECONDS = 120.0
"""Given up after that."""
REQUEST_SECONDS = 150.0
"""Of one request, which waits up to WAIT_S for its job."""
WAIT_S = 60
MOST_TEXT = 300


class Health(BaseModel):
    """The first answer of `/health` in a run, as it is kept for the next start of that run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str
    idle: bool
    """Whether the plan said that nobody had asked before."""
    at: datetime
    seconds: float
    """Connection and TLS included."""
    status: int | None
    """Null where nothing answered."""
    told: str = ""
    """What it answered, or why nothing did."""

    @property
    def healthy(self) -> bool:
        return self.status == 200


@dataclass(frozen=True)
class Answer:
    """What became of one job over HTTP."""

    key: str
    """Its Idempotency-Key."""
    kind: str
    id: str | None = None
    status: str | None = None
    """How the job ended."""
    picture_bytes: int = 0
    seconds: float = 0.0
    """From the request to its picture."""
    fault: str | None = None
    """What was not as it should be."""


@dataclass(frozen=True)
class Web:
    client: httpx.Client
    wait_s: int = WAIT_S
    """That a request waits for its job."""
    monotonic: Callable[[], float] = time.monotonic

    @classmethod
    @contextmanager
    def at(cls, url: str, key: str | None) -> Iterator[Self]:
        """Raises InvalidInput for what is no URL."""
        if not re.match(URL, url):
            raise InvalidInput(f"{url!r} is no http(s) URL", field="--url", value=url)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        with httpx.Client(
            base_url=url, headers=headers, timeout=REQUEST_SECONDS, follow_redirects=True
        ) as client:
            yield cls(client)

    def health(self, *, idle: bool) -> Health:
        began, at = self.monotonic(), datetime.now(UTC)
        status: int | None = None
        try:
            answer = self.client.get("/health", timeout=HEALTH_SECONDS)
            status, told = answer.status_code, answer.text
        except httpx.HTTPError as error:
            told = _named(error)
        seconds = self.monotonic() - began
        url = str(self.client.base_url)
        return Health(
            url=url, idle=idle, at=at, seconds=seconds, status=status, told=told[:MOST_TEXT]
        )

    def make(self, job: Job, folder: Path, within_s: float) -> Answer:
        """Post it, wait for its end, fetch its first picture. The same key is the same job."""
        began = self.monotonic()
        try:
            answer = self._made(job, folder, began + within_s)
        except httpx.HTTPError as error:
            answer = Answer(job.id, job.model, fault=_named(error))
        return replace(answer, seconds=self.monotonic() - began)

    def _made(self, job: Job, folder: Path, until: float) -> Answer:
        headers = {
            "Idempotency-Key": job.id,
            "Prefer": f"wait={self.wait_s}",
            "Accept": "application/json",
        }
        reply = self.client.post(f"/{job.model}", json=job.body(folder), headers=headers)
        while reply.status_code == 202 and self.monotonic() < until:
            ask = {"Prefer": headers["Prefer"], "Accept": headers["Accept"]}
            reply = self.client.get(_document(reply)["url"], headers=ask)
        if reply.status_code != 200:
            return Answer(job.id, job.model, _id(reply), fault=_refusal(reply))
        told = _document(reply)
        answer = Answer(job.id, job.model, told["id"], told["status"])
        if not told["outputs"]:
            return replace(answer, fault=_error(told))
        return self._fetched(answer, told["outputs"][0], told["result"]["outputs"][0]["bytes"])

    def _fetched(self, answer: Answer, path: str, size: int) -> Answer:
        picture = self.client.get(path, headers={"Accept": "image/*"})
        found = len(picture.content)
        fault = None
        if picture.status_code != 200:
            fault = f"GET {path}: {_refusal(picture)}"
        elif found != size:
            fault = f"GET {path}: {found} bytes, and its result says {size}"
        return replace(answer, picture_bytes=found, fault=fault)


def _document(reply: httpx.Response) -> Mapping[str, Any]:
    try:
        document: Mapping[str, Any] = reply.json()
        return document
    except ValueError as error:
        raise httpx.DecodingError(f"{reply.url} answered no JSON: {error}") from None


def _id(reply: httpx.Response) -> str | None:
    return str(_document(reply)["id"]) if reply.status_code == 202 else None


def _refusal(reply: httpx.Response) -> str:
    if reply.status_code == 202:
        return "not finished in time"
    try:
        told = reply.json()
        return f"{reply.status_code} {told['code']}: {told['detail']}"
    except (ValueError, KeyError, TypeError):
        return f"{reply.status_code} {reply.text[:MOST_TEXT]}"


def _error(told: Mapping[str, Any]) -> str:
    error = (told.get("result") or {}).get("error") or {}
    return f"{told['status']}: {error.get('code')}: {error.get('message')}"


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
