"""`/jobs`: looked at, followed, fetched, cancelled."""

import re
from functools import cache
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request
from sse_starlette import EventSourceResponse
from starlette.responses import Response

from config.errors import AlreadyFinished
from pipeline.api import responses
from pipeline.api.job_pages import MOST
from pipeline.api.lookup import OwnedJob
from pipeline.api.openapi import IMAGE_ANSWER, problems
from pipeline.api.request import Prefer, Shared, Tenant, header, require_query, waited
from pipeline.api.request_errors import BadRequest, NoSuchOutput
from pipeline.api.request_terms import MAX_WAIT, waiting, whole_number
from pipeline.api.responses import image
from pipeline.api.schemas import Job, Jobs, job_document, job_url
from pipeline.api.service import Service
from pipeline.api.sse import event_id, events
from pipeline.contract.keys import ID_PATTERN, clip
from pipeline.jobs.status import JobView, State

MOST_LEFT = 180
"""Seconds of further waits that a client may be sent on to."""
FILE_CONTENT = {
    name: {"schema": {"type": "string", "format": "binary"}}
    for name in ("application/json", "image/png")
}
_ID = re.compile(ID_PATTERN[:-1] + r"\Z")
_ORDINAL = re.compile(r"(0|[1-9][0-9]{0,2})\Z")


def _number(low: int, high: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": low, "maximum": high}


Id = Annotated[str, Path(description="Of the job.", json_schema_extra={"pattern": ID_PATTERN})]
Ordinal = Annotated[str, Path(description="Which, from 0.", json_schema_extra=_number(0, 999))]
FileName = Annotated[str, Path(description="As `files` of the result lists it.")]
After = Annotated[
    str | None,
    Query(
        description="The last id of the page before: its `next`.",
        json_schema_extra={"pattern": ID_PATTERN},
    ),
]
Limit = Annotated[str | None, Query(description="Of a page.", json_schema_extra=_number(1, MOST))]
LastEvent = Annotated[
    str | None, Header(alias="Last-Event-ID", description="The id of the last event that came.")
]
Wait = Annotated[
    str | None,
    Query(description="Seconds to wait for the job.", json_schema_extra=_number(0, MAX_WAIT)),
]
Left = Annotated[
    str | None,
    Query(
        description="Seconds that may be waited after that, by further redirects.",
        json_schema_extra=_number(0, MOST_LEFT),
    ),
]


async def list_jobs(
    request: Request, tenant: Tenant, service: Shared, after: After = None, limit: Limit = None
) -> Response:
    """In the order of their ids, page by page."""
    require_query(request, "after", "limit")
    if after is not None and not _ID.match(after):
        raise BadRequest("after is no job's id", field="after", value=clip(after))
    most = whole_number("limit", limit, 1, MOST, MOST)
    page = await service.listing.page(tenant, after or "", most)
    jobs = [job_document(owned.view, owned.model) for owned in page.jobs]
    return responses.Json({"jobs": jobs, "count": page.count, "next": page.next})


async def get_job(
    request: Request,
    id: Id,
    tenant: Tenant,
    service: Shared,
    prefer: Prefer = None,  # noqa: ARG001
) -> Response:
    """Finished or not. With `Prefer: wait=N` the answer waits for the end."""
    require_query(request)
    owned = await _find(request, service, id, tenant)
    wait_s = waiting(header(request, "prefer"))
    owned = await waited(request, service, owned, wait_s or 0)
    document = job_document(owned.view, owned.model)
    warnings = await service.wait_reasons.of(owned)
    answer = responses.Json(document | ({"warnings": warnings} if warnings else {}))
    if not owned.finished:
        answer.headers["Retry-After"] = str(responses.RETRY_AFTER_S)
    if wait_s is not None:
        answer.headers["Preference-Applied"] = f"wait={wait_s}"
    return answer


async def cancel_job(request: Request, id: Id, tenant: Tenant, service: Shared) -> Response:
    """Waiting or running. What runs stops at its next renewal, within RYLA_RENEW_SECONDS."""
    require_query(request)
    owned = await _find(request, service, id, tenant)
    try:
        done = await service.threads.run(service.canceller.cancel, id)
    except AlreadyFinished as error:
        error.hint = f"{job_url(id)} shows it."
        raise
    view = JobView(id, State.FINISHED, done.result, since=done.result.finished_at)
    service.dependencies.notify(None)  # its events are owed, and perhaps a callback
    ended = service.lookup.keep(OwnedJob(view, tenant, owned.model))
    service.watcher.hear(ended)
    service.job_listing.ended(id)
    return responses.Json(job_document(ended.view, ended.model))


async def follow_job(
    request: Request, id: Id, tenant: Tenant, service: Shared, last_event_id: LastEvent = None
) -> Response:
    """Server-Sent Events: `progress` at each change, `finished` at the end, each with the job as
    JSON. The stream ends itself before 140 s; reconnect with Last-Event-ID, as an EventSource does
    by itself. 204: what that named was the end."""
    require_query(request)
    owned = await _find(request, service, id, tenant)
    if owned.finished and event_id(owned) == last_event_id:
        return Response(status_code=204)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return EventSourceResponse(events(service, owned, last_event_id), headers=headers)


async def get_output(
    request: Request,
    id: Id,
    n: Ordinal,
    tenant: Tenant,
    service: Shared,
    wait: Wait = None,
    left: Left = None,
) -> Response:
    """Of a job that failed, the problem that it ended with."""
    require_query(request, "wait", "left")
    wait_s = whole_number("wait", wait, 0, MAX_WAIT, 0)
    left_s = whole_number("left", left, 0, MOST_LEFT, 0)
    if not _ORDINAL.match(n):
        raise NoSuchOutput(f"{clip(n)} is no output's number", field="n", value=clip(n))
    owned = await _find(request, service, id, tenant)
    owned = await waited(request, service, owned, wait_s)
    if owned.finished:
        return await image(request, service, owned, int(n))
    if left_s:
        return responses.sent_on(id, int(n), min(left_s, MAX_WAIT), max(0, left_s - MAX_WAIT))
    raise responses.still_not_finished(id) if wait_s else responses.not_finished(id)


async def get_file(
    request: Request, id: Id, name: FileName, tenant: Tenant, service: Shared
) -> Response:
    """Of a character sheet: `sheet.json`, which judges it, and `contact-sheet.png`."""
    require_query(request)
    owned = await _find(request, service, id, tenant)
    if not owned.finished:
        raise responses.not_finished(id)
    return await responses.file(request, service, owned, name)


async def _find(request: Request, service: Service, id: str, tenant: str) -> OwnedJob:
    owned = await service.lookup.find(id, tenant)
    request.state.job = id
    return owned


@cache
def jobs_router() -> APIRouter:
    router = APIRouter(tags=["jobs"], default_response_class=Response)
    refused = problems(400, 401, 403, 429, 503)
    of_one = {**refused, **problems(404, 410)}
    a_job: dict[int | str, dict[str, Any]] = {200: {"description": "It.", "model": Job}}
    a_page: dict[int | str, dict[str, Any]] = {200: {"description": "A page.", "model": Jobs}}
    stream: dict[int | str, dict[str, Any]] = {
        200: {"description": "The stream.", "content": {"text/event-stream": {}}},
        204: {"description": "There is nothing more to come."},
    }
    output: dict[int | str, dict[str, Any]] = {
        200: {"description": "The picture.", **IMAGE_ANSWER},
        302: {"description": "It is to be had at Location, for a while."},
        303: {"description": "Not yet; ask again there."},
        304: {"description": "It is the one you have."},
        **problems(402, 408, 409, 413, 422, 500, 501, 502, 504),
    }
    files: dict[int | str, dict[str, Any]] = {
        200: {"description": "The file.", "content": FILE_CONTENT},
        302: {"description": "It is to be had at Location, for a while."},
        304: {"description": "It is the one you have."},
        **problems(409, 500),
    }
    for path, handler, summary, told in (
        ("/jobs", list_jobs, "Jobs that wait or run", {**a_page, **refused}),
        ("/jobs/{id}", get_job, "A job as it stands", {**a_job, **of_one}),
        ("/jobs/{id}/events", follow_job, "A job's progress", {**stream, **of_one}),
        ("/jobs/{id}/files/{name}", get_file, "A finished job's file", {**files, **of_one}),
        ("/jobs/{id}/outputs/{n}", get_output, "A finished picture", {**output, **of_one}),
    ):
        router.get(path, summary=summary, responses=told)(handler)
        if handler is not follow_job:
            router.head(path, include_in_schema=False)(handler)
    cancelled = {**a_job, **of_one, **problems(409, 413)}
    router.delete("/jobs/{id}", summary="Cancel a job", responses=cancelled)(cancel_job)
    return router
