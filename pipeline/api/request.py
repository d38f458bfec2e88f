"""What a request brings: who asks, its body, its query; and whether anybody still asks."""

import asyncio
from collections.abc import Coroutine
from typing import Annotated, Any, TypeVar

import anyio
from fastapi import Depends, Header, Request
from starlette.requests import ClientDisconnect

from pipeline.api.auth import Peer
from pipeline.api.lookup import OwnedJob
from pipeline.api.request_errors import BadRequest, BodyTooLarge, RequestTooSlow, WrongMediaType
from pipeline.api.request_terms import MAX_WAIT, require_known
from pipeline.api.service import Service

MIB = 2**20
T = TypeVar("T")


async def service_of(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


Shared = Annotated[Service, Depends(service_of)]


async def tenant_of(request: Request, service: Shared) -> str:
    """Whoever asks. Raises NotAuthenticated, LoopbackOnly or TooManyRequests."""
    address = request.client.host if request.client else None
    tenant = service.admit(Peer(address, request.headers))
    request.state.tenant = tenant
    return tenant


Tenant = Annotated[str, Depends(tenant_of)]

Prefer = Annotated[
    str | None,
    Header(
        alias="Prefer",
        description=f"`wait=N`: answer when the job is finished, after N seconds (at most"
        f" {MAX_WAIT}) at the latest.",
        examples=["wait=60"],
    ),
]


def declares_more_than(request: Request, size: int) -> bool:
    """Whether a body of more than so many bytes comes, or one that does not say its length."""
    declared = request.headers.get("content-length", "")
    return not declared.isdigit() or int(declared) > size


async def read_body(request: Request, most: int, within_s: float) -> bytes:
    """The body, of `most` bytes and no more, however it is sent.

    Raises BodyTooLarge, RequestTooSlow or WrongMediaType.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise WrongMediaType(f"the Content-Type is {kind[:80] or 'missing'}", field="Content-Type")
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > most:
        raise _too_large(most)
    parts, size = [], 0
    try:
        with anyio.fail_after(within_s):
            async for part in request.stream():
                size += len(part)
                if size > most:
                    raise _too_large(most)
                parts.append(part)
    except TimeoutError:
        raise RequestTooSlow(f"the body did not arrive within {within_s:g} s") from None
    return b"".join(parts)


def _too_large(most: int) -> BodyTooLarge:
    return BodyTooLarge(f"the body has more than {most} bytes", value=most)


def header(request: Request, name: str) -> str | None:
    """All of its lines as one, as HTTP has it for those that hold lists."""
    return ", ".join(request.headers.getlist(name)) or None


def require_once(request: Request, name: str) -> None:
    """Raises BadRequest for a header that stands there twice and holds no list."""
    if len(request.headers.getlist(name)) > 1:
        raise BadRequest(f"{name} is given twice", field=name)


def require_query(request: Request, *known: str) -> None:
    """Raises BadRequest for a parameter that is none of these, or that is given twice."""
    require_known([name for name, _ in request.query_params.multi_items()], known)


async def waited(request: Request, service: Service, owned: OwnedJob, seconds: float) -> OwnedJob:
    """The job when it is finished or `seconds` are over.

    Raises ClientDisconnect as soon as whoever asks has hung up: nobody is to be told any more.
    """
    if owned.finished or seconds <= 0:
        return owned
    return await unless_hung_up(request, service.wait(owned, seconds))


async def unless_hung_up(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """What comes of work for a request whose body was read.

    Raises ClientDisconnect as soon as whoever asks has hung up; the work is cancelled then.
    """
    working = asyncio.ensure_future(work)
    hung_up = asyncio.ensure_future(_hung_up(request))
    both = (working, hung_up)
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        for each in both:
            each.cancel()
        await asyncio.gather(*both, return_exceptions=True)


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass  # the end of a body that was read, or that nobody reads
