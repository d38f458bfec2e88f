"""`POST /<kind>`: an endpoint for each path of the table, and an answer for those that are gone."""

import asyncio
import re
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from functools import cache, partial
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Header, Request
from starlette.responses import Response

from config.errors import StoreError, UnknownJob
from handlers.kinds.registry import lookup
from handlers.media.intake_process import Patience
from pipeline.api import responses
from pipeline.api.job_submission import (
    Submission,
    put,
    put_again,
    require_own_job,
    require_own_pictures,
)
from pipeline.api.lookup import OwnedJob
from pipeline.api.openapi import IMAGE_ANSWER, headers, problems, request_body
from pipeline.api.paths import ENDPOINTS, GONE, Endpoint, Gone
from pipeline.api.request import (
    MIB,
    Prefer,
    Shared,
    Tenant,
    declares_more_than,
    header,
    read_body,
    require_once,
    require_query,
    unless_hung_up,
    waited,
)
from pipeline.api.request_errors import PathGone
from pipeline.api.request_terms import (
    MAX_WAIT,
    ResponsePreference,
    Shape,
    job_id,
    response_preference,
)
from pipeline.api.responses import image
from pipeline.api.schemas import Job
from pipeline.api.service import Service
from pipeline.contract.keys import clip
from pipeline.jobs.quote import Quote, quote
from pipeline.jobs.status import JobView, State
from pipeline.jobs.submit import new_id

IN_ALL_S = 300
"""That a client of the old paths is kept waiting, over all redirects."""
LARGE = 64 * 1024
"""A body beyond it brings pictures."""
_MAY_BRING = re.compile(rb"https?:|data:|\\u00[0-7]", re.IGNORECASE)
"""Something with a URL in it, or with plain letters written as escapes, as nobody does who means
well. A picture takes much time and memory, however short its URL is."""

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="The same key with the same body is the same job, and runs once; with another"
        " body it is refused. Without a key every request is a new job.",
        examples=["9f1c7a52-1d0e-4a4c-9d61-1f6a0b7f6a55"],
    ),
]


@cache
def generating_router() -> APIRouter:
    router = APIRouter(tags=["generate"])
    for endpoint in ENDPOINTS:
        _add(router, endpoint)
    for gone in GONE:
        _add_gone(router, gone)
    return router


def _add(router: APIRouter, endpoint: Endpoint) -> None:
    async def generate(
        request: Request,
        tenant: Tenant,
        service: Shared,
        prefer: Prefer = None,  # for the document: it may stand on several lines
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        lookup(endpoint.kind)
        require_query(request)
        require_once(request, "Idempotency-Key")
        prefer = header(request, "prefer")
        preference = response_preference(header(request, "accept"), prefer, old_path=endpoint.old)
        owned, replayed, terms = await _take_in(
            request, service, endpoint.kind, tenant, idempotency_key
        )
        answer = await _answer(request, service, owned, preference, terms)
        if replayed:
            answer.headers["Idempotency-Replayed"] = "true"
        return answer

    router.add_api_route(
        endpoint.path,
        generate,
        methods=["POST"],
        operation_id=endpoint.path[1:].replace("-", "_"),
        summary=f"Make pictures with {endpoint.kind}",
        description=_description(endpoint),
        response_class=Response,
        responses=_responses(),
        openapi_extra=request_body(endpoint.kind) if endpoint.available else None,
        include_in_schema=endpoint.available,
        deprecated=endpoint.alias or None,
    )


async def _take_in(
    request: Request, service: Service, kind: str, tenant: str, key: str | None
) -> tuple[OwnedJob, bool, Quote | None]:
    """The job where it now is, whether it was there before, and what is to be told of it. Nothing
    of its body is kept."""
    heavy = declares_more_than(request, LARGE)
    try:
        async with service.room(tenant), AsyncExitStack() as held:
            submission, keyed = await _order(request, service, kind, tenant, key, held)
            heavy = heavy or bool(submission.images)
            owned, replayed = await _take(service, submission, tenant, keyed=keyed)
            return owned, replayed, _quote(service, submission, owned.view.state)
    finally:
        if heavy:
            service.memory.soon()


async def _order(
    request: Request,
    service: Service,
    kind: str,
    tenant: str,
    key: str | None,
    held: AsyncExitStack,
) -> tuple[Submission, bool]:
    """`held` keeps the tenant's place among those whose pictures are read and written."""
    id = new_id() if key is None else job_id(tenant, key)
    most = service.dependencies.runtime.settings.api_body_mib * MIB
    place = service.intakes.place(tenant)
    large = declares_more_than(request, LARGE)
    if large:  # not even in memory before its turn
        await held.enter_async_context(place)
    raw = await read_body(request, most, service.dependencies.timeouts.body)
    if not large and _MAY_BRING.search(raw) is not None:
        await unless_hung_up(request, held.enter_async_context(place))
        large = True
    read = partial(service.parser.submission, raw, id=id, kind=kind, tenant=tenant)
    submission = (
        await unless_hung_up(request, _with_pictures(service, read))
        if large
        else await service.threads.run(read, intake=service.dependencies.pictures.intake)
    )
    if submission.pictures:
        await service.threads.run(
            require_own_pictures, service.dependencies.store, submission, tenant
        )
    if submission.reuses is not None:
        await service.threads.run(require_own_job, service.dependencies.store, submission, tenant)
    return submission, key is not None


async def _with_pictures(service: Service, read: Callable[..., Submission]) -> Submission:
    """Cancelled, it ends what is fetched or decoded, and then itself."""
    patience = Patience()
    intake = partial(service.dependencies.pictures.intake, patience=patience)
    reading = asyncio.ensure_future(
        to_thread.run_sync(partial(read, intake=intake, patience=patience))
    )
    try:
        return await asyncio.shield(reading)
    except asyncio.CancelledError:
        patience.give_up()
        await asyncio.wait({reading})
        reading.exception()
        raise


async def _take(
    service: Service, submission: Submission, tenant: str, *, keyed: bool
) -> tuple[OwnedJob, bool]:
    """The job where it now is, and whether it was there before."""
    store, threads = service.dependencies.store, service.threads
    if not await threads.run(put, store, submission, keyed=keyed):
        try:
            return await service.lookup.find(submission.id, tenant), True
        except UnknownJob:
            await threads.run(put_again, store, submission)
    service.job_listing.posted(submission.key)
    service.dependencies.notify(submission.key)
    waits = JobView(submission.id, State.WAITING, since=store.now())
    return OwnedJob(waits, tenant, submission.kind, submission.key), False


def _quote(service: Service, submission: Submission, state: State) -> Quote | None:
    runtime, now = service.dependencies.runtime, service.dependencies.store.now()
    terms = quote(submission.manifest, runtime.settings, runtime.routes, runtime.gpus, now)
    stops = service.job_listing.stops
    return terms if terms is None or state.ended else terms.beside(stops, submission.manifest)


async def _answer(
    request: Request,
    service: Service,
    owned: OwnedJob,
    preference: ResponsePreference,
    terms: Quote | None,
) -> Response:
    """The answer to the job's sender."""
    answer = await _as_preferred(request, service, owned, preference, terms)
    if not isinstance(answer, responses.Json):
        responses.add_warnings(answer, terms)
    return answer


async def _as_preferred(
    request: Request,
    service: Service,
    owned: OwnedJob,
    preference: ResponsePreference,
    terms: Quote | None,
) -> Response:
    id = owned.view.id
    request.state.job = id
    shows = preference.shape is Shape.IMAGE
    if not shows or preference.prefers:
        with suppress(StoreError):  # it was taken in, and its id must not be lost
            owned = await waited(request, service, owned, preference.wait_s or 0)
        done = shows and owned.finished
        answer = await image(request, service, owned, 0) if done else responses.job(owned, terms)
        if preference.wait_s is not None:
            answer.headers["Preference-Applied"] = f"wait={preference.wait_s}"
        return answer
    first = service.dependencies.timeouts.image_wait
    owned = await waited(request, service, owned, first)
    if owned.finished:
        return await image(request, service, owned, 0)
    return responses.sent_on(id, 0, MAX_WAIT, max(0, round(IN_ALL_S - first - MAX_WAIT)))


def _add_gone(router: APIRouter, gone: Gone) -> None:
    async def refuse(request: Request) -> Response:
        path = clip(request.url.path)
        raise PathGone(f"{path} is no more", value=path, hint=gone.instead)

    router.add_api_route(
        gone.path, refuse, methods=["GET", "POST"], include_in_schema=False, response_class=Response
    )


def _description(endpoint: Endpoint) -> str:
    said = (
        "The body is the kind's input and the manifest's own fields, in one object. Answers the job"
        " as JSON: 200 when it is finished, else 202."
        " With `Accept: image/*` the answer is the first picture; without `Prefer`, one that takes"
        " longer than 130 s is redirected to."
    )
    if endpoint.old:
        said += " On this path `Accept: */*` without `Prefer` gets the picture too."
    if endpoint.alias:
        said += f" Another name of /{endpoint.kind}."
    return said


def _responses() -> dict[int | str, dict[str, Any]]:
    return {
        200: {
            "description": "Finished, well or not: `status` says which. Or the first picture.",
            "model": Job,
            **IMAGE_ANSWER,
        },
        202: {
            "description": "Taken; it goes on. Location says where to ask.",
            "model": Job,
            "headers": headers("Location", "Retry-After", "Preference-Applied"),
        },
        302: {
            "description": "The picture is to be had at Location, for a while.",
            "headers": headers("Location"),
        },
        303: {
            "description": "The picture will be there: only for those who take pictures.",
            "headers": headers("Location", "X-Warning"),
        },
        **problems(400, 401, 402, 403, 404, 408, 409, 410, 413, 415, 422, 429, 500, 501, 502, 503),
    }
