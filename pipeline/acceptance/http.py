"""The deployment as its HTTP clients see it: `/health`, and a job of each kind."""

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import httpx
from pydantic import BaseModel, ConfigDict, ValidationError

from config.errors import InvalidInput
from config.setting_forms import URL
from pipeline.acceptance.jobs import Job

HEALTH_SECONDS = 120.0
"""Given up after that."""
REQUEST_SECONDS = 150.0
"""Of one request, which waits up to WAIT_S for its job."""
WAIT_S = 60
MOST_TEXT = 300
"""Characters kept of an answer."""
FILE = "health.json"


class Health(BaseModel):
    """The first answer of `/health` in a run, as it is kept for the next start of that run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str
    idle: bool
    """Whether the plan said that nobody had asked before."""
    at: datetime
    seconds: float
    """From the request to its answer, connection and TLS included."""
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
    seconds: float = 0.0
    """From the request to its picture."""
    fault: str | None = None
    """What was not as it should be."""


@dataclass(frozen=True)
class Web:
    """The HTTP API of a deployment, asked as a client would."""

    client: httpx.Client
    wait_s: int = WAIT_S
    """That a request waits for its job."""

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

    def first_health(self, folder: Path, *, idle: bool) -> Health:
        """Measured now, unless an earlier start of this run did, and has left it in the folder."""
        file = folder / FILE
        if file.exists():
            try:
                kept = Health.model_validate_json(file.read_bytes())
            except ValidationError:
                kept = None
            if kept is not None and kept.url == str(self.client.base_url):
                return kept
            idle = False  # who asked before, nobody can tell
        measured = self.health(idle=idle)
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(measured.model_dump_json(indent=1))
        return measured

    def health(self, *, idle: bool) -> Health:
        """One request, for HEALTH_SECONDS at most. Raises nothing: no answer is one too."""
        began, at = time.monotonic(), datetime.now(UTC)
        status: int | None = None
        try:
            answer = self.client.get("/health", timeout=HEALTH_SECONDS)
            status, told = answer.status_code, answer.text
        except httpx.HTTPError as error:
            told = _named(error)
        seconds, url = time.monotonic() - began, str(self.client.base_url)
        told = told[:MOST_TEXT]
        return Health(url=url, idle=idle, at=at, seconds=seconds, status=status, told=told)

    def make(self, job: Job, folder: Path, within_s: float) -> Answer:
        """Post it, wait for its end within `within_s`, fetch its first picture. The same key is the
        same job. Raises nothing of HTTP's: that is its `fault`."""
        began = time.monotonic()
        try:
            answer = self._made(job, folder, began + within_s)
        except httpx.HTTPError as error:
            answer = Answer(job.id, job.model, fault=_named(error))
        return replace(answer, seconds=time.monotonic() - began)

    def _made(self, job: Job, folder: Path, until: float) -> Answer:
        ask = {"Prefer": f"wait={self.wait_s}", "Accept": "application/json"}
        post = {**ask, "Idempotency-Key": job.id}
        reply = self.client.post(f"/{job.model}", json=job.body(folder), headers=post)
        while reply.status_code == 202 and time.monotonic() < until:
            reply = self.client.get(_document(reply)["url"], headers=ask)
        if reply.status_code == 202:
            id = str(_document(reply)["id"])
            return Answer(job.id, job.model, id, fault="not finished in time")
        if reply.status_code != 200:
            return Answer(job.id, job.model, fault=_refusal(reply))
        told = _document(reply)
        fault = self._fetch(told) if told["outputs"] else _error(told)
        return Answer(job.id, job.model, told["id"], told["status"], fault=fault)

    def _fetch(self, told: Mapping[str, Any]) -> str | None:
        """What is wrong with the first picture."""
        path, size = told["outputs"][0], told["result"]["outputs"][0]["bytes"]
        picture = self.client.get(path, headers={"Accept": "image/*"})
        if picture.status_code != 200:
            return f"GET {path}: {_refusal(picture)}"
        if len(picture.content) != size:
            return f"GET {path}: {len(picture.content)} bytes, and its result says {size}"
        return None


def _document(reply: httpx.Response) -> Any:
    try:
        return reply.json()
    except ValueError as error:
        raise httpx.DecodingError(f"{reply.url} answered no JSON: {error}") from None


def _refusal(reply: httpx.Response) -> str:
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
