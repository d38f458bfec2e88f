"""What is answered where nothing went wrong: a job as JSON, its picture as bytes or as where to get
them."""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from fastapi import Request
from starlette.responses import Response

from config.errors import OutputsMissing, RylaError
from pipeline.api.body import in_body_terms
from pipeline.api.lookup import OwnedJob
from pipeline.api.request_errors import NoSuchFile, NoSuchOutput, NotFinished, StillNotFinished
from pipeline.api.schemas import job_document, job_url, output_url
from pipeline.api.service import Service
from pipeline.contract.error_info import ErrorInfo
from pipeline.contract.keys import clip
from pipeline.contract.result import Output, Result, ResultFile
from pipeline.jobs.quote import Quote
from pipeline.store.base import Presigns

RETRY_AFTER_S = 2
"""Until asking for an unfinished job makes sense again."""
ASKED_AGAIN = "private, no-cache"
"""Kept by the client alone, and shown only once the server has said that it is still there: it
never changes, but may be forgotten."""


class Json(Response):
    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode(
            "utf-8", "surrogatepass"
        )


def job(owned: OwnedJob, quote: Quote | None = None) -> Response:
    """200 with the result, or 202 with when to ask again. `quote` is for whoever sent it."""
    answer = Json(job_document(owned.view, owned.model, quote), 200 if owned.finished else 202)
    answer.headers["Location"] = job_url(owned.view.id)
    if not owned.finished:
        answer.headers["Retry-After"] = str(RETRY_AFTER_S)
    return answer


def sent_on(id: str, ordinal: int, wait_s: int, left_s: int) -> Response:
    """303 to where the picture will be, once it is there. There the client waits for `wait_s`
    seconds, and may be sent on for `left_s` more."""
    query = f"?wait={wait_s}" + (f"&left={left_s}" if left_s else "")
    return Response(status_code=303, headers={"Location": output_url(id, ordinal) + query})


def still_not_finished(id: str) -> StillNotFinished:
    """For whoever has waited as long as may be."""
    error = StillNotFinished(f"the job {id} is not finished yet", field="id", value=id)
    error.hint = f"The job goes on: ask for it again at {job_url(id)}."
    error.retry_after_s = RETRY_AFTER_S
    return error


def not_finished(id: str) -> NotFinished:
    error = NotFinished(f"the job {id} is not finished yet", field="id", value=id)
    error.retry_after_s = RETRY_AFTER_S
    return error


def output_of(owned: OwnedJob, ordinal: int) -> tuple[Result, Output]:
    """The result and its output of this number, from 0.

    Raises what the job ended with, where that is not a picture; or NoSuchOutput.
    """
    result = owned.view.result
    id = owned.view.id
    if result is None:
        raise NoSuchOutput(f"the result of {id} cannot be read", field="id", value=id)
    if result.error is not None and ordinal >= len(result.outputs):  # a failed sheet may have some
        raise in_body_terms(as_error(result.error))
    if ordinal >= len(result.outputs):
        raise NoSuchOutput(
            f"the job {id} is {result.status} and has {len(result.outputs)} picture"
            f"{'s'[: len(result.outputs) != 1]}",
            field="n",
            value=ordinal,
            hint=f"{job_url(id)} lists them, from 0.",
        )
    return result, result.outputs[ordinal]


def as_error(info: ErrorInfo) -> RylaError:
    """The error that a job ended with, as one of the tree again; RylaError for a code of another
    version."""
    kind = by_code().get(info.code, RylaError)
    return kind(info.message, field=info.field, value=info.value, hint=info.hint)


@cache
def by_code() -> Mapping[str, type[RylaError]]:
    """Every error of the tree."""
    found: dict[str, type[RylaError]] = {}
    for each in _below(RylaError):
        found.setdefault(each.code, each)
    return found


def _below(top: type[RylaError]) -> Iterator[type[RylaError]]:
    yield top
    for each in top.__subclasses__():
        yield from _below(each)


def image_headers(result: Result, output: Output) -> dict[str, str]:
    """What the job cost and how it was made, under the names that older clients read."""
    told: dict[str, object] = {
        "X-Job-Id": result.id,
        "X-Model": result.model,
        "X-Seed": output.seed,
        "X-Outputs": len(result.outputs),
    }
    if result.cost is not None:
        told["X-Cost-USD"] = f"{result.cost.usd:.6f}"
    if result.metrics is not None:
        told["X-Execution-Time-Sec"] = f"{result.metrics.total:.3f}"
        told["X-GPU-Type"] = result.metrics.gpu
    if result.provenance is not None and result.provenance.lora is not None:
        told["X-LoRA-Used"] = PurePosixPath(result.provenance.lora.key).name
    if result.warnings:
        told["X-Warning"] = "; ".join(result.warnings)
    name = f"{result.id}-{PurePosixPath(output.key).name}"
    headers = {each: _header(str(value)) for each, value in told.items() if value is not None}
    return headers | {
        "ETag": f'"{output.sha256}"',
        "Cache-Control": ASKED_AGAIN,
        "Content-Disposition": f'inline; filename="{_header(name)}"',
        "Content-Location": output_url(result.id, result.outputs.index(output)),
        "X-Content-Type-Options": "nosniff",
    }


def add_warnings(answer: Response, quote: Quote | None) -> None:
    """For answers that are no JSON, after those of the result."""
    if quote is not None and quote.warnings:
        before = [answer.headers["X-Warning"]] if "X-Warning" in answer.headers else []
        answer.headers["X-Warning"] = "; ".join([*before, *map(_header, quote.warnings)])


def _header(text: str) -> str:
    """As it can stand in a header."""
    return quote(text, safe=" !#$%&'()*+,-./:;<=>?@[]^_`{|}~")


async def image(request: Request, service: Service, owned: OwnedJob, ordinal: int) -> Response:
    """The picture: 200 with its bytes, 302 to a presigned URL where the settings ask for that, or
    304 to whoever has it.

    Raises what the job ended with, where that is not a picture; NoSuchOutput, OutputsMissing.
    """
    request.state.job = owned.view.id
    result, output = output_of(owned, ordinal)
    headers = image_headers(result, output)
    if request.method == "POST":
        headers["Cache-Control"] = "no-store"  # the answer to a request like it is another picture
    elif _is_known(request.headers.get("if-none-match"), headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return await _stored(request, service, output, headers)


async def file(request: Request, service: Service, owned: OwnedJob, name: str) -> Response:
    """A file of a finished job: 200 with its bytes, 302 to a presigned URL where the settings ask
    for that, or 304 to whoever has it.

    Raises NoSuchFile, OutputsMissing.
    """
    request.state.job = owned.view.id
    id, result = owned.view.id, owned.view.result
    names = {each.name: each for each in result.files} if result else {}
    if name not in names:
        raise NoSuchFile(
            f"the job {id} has no file {clip(name)}",
            field="name",
            value=clip(name),
            hint=f"It has {', '.join(names) or 'none'}.",
        )
    found = names[name]
    headers = {
        "ETag": f'"{found.sha256}"',
        "Cache-Control": ASKED_AGAIN,
        "Content-Disposition": f'inline; filename="{_header(f"{id}-{found.name}")}"',
        "X-Content-Type-Options": "nosniff",
    }
    if _is_known(request.headers.get("if-none-match"), headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return await _stored(request, service, found, headers)


async def _stored(
    request: Request, service: Service, what: Output | ResultFile, headers: dict[str, str]
) -> Response:
    """What lies in the bucket: its bytes, or where to get them."""
    store, settings = service.dependencies.store, service.dependencies.runtime.settings
    # A POST, and what it was redirected to, get the bytes: only they carry the job's headers.
    asked_alone = request.method != "POST" and "wait" not in request.query_params
    if asked_alone and settings.presign_seconds and isinstance(store.raw, Presigns):
        url = await service.threads.run(store.raw.presigned_url, what.key, settings.presign_seconds)
        private = {"Cache-Control": "private, no-store"}
        return Response(status_code=302, headers={**headers, **private, "Location": url})
    if request.method == "HEAD":
        headers["Content-Length"] = str(what.bytes)
        return Response(media_type=what.content_type, headers=headers)
    stored = await service.threads.run(store.get, what.key)
    if stored is None:
        raise OutputsMissing(f"{what.key} is not in the bucket", field="key", value=what.key)
    return Response(stored.body, media_type=what.content_type, headers=headers)


def _is_known(given: str | None, etag: str) -> bool:
    tags = {tag.strip().removeprefix("W/") for tag in (given or "").split(",")}
    return etag in tags or "*" in tags
