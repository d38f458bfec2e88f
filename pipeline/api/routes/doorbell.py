"""The doorbell: whoever writes into the bucket says so here, and the dispatcher looks at once.

It says nothing but "look": what a message claims is not read, the bucket is. So any notification
will do, whatever its body, and its only authentication is the token in the path.
"""

import asyncio
import hashlib
import hmac
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from pydantic import SecretStr
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from config.errors import InvalidId
from pipeline.api.dependencies import ApiDependencies
from pipeline.api.openapi import problems
from pipeline.api.rate_limit import RateLimit
from pipeline.api.request_errors import BodyTooLarge, NoSuchPath, RequestTooSlow, TooManyRequests
from pipeline.api.routes import sns
from pipeline.contract.keys import INBOX, parse_inbox_key
from pipeline.public_https import INTERNET, PublicHttps

PER_MINUTE = 600
"""Notices in one process. Above it nothing is lost: each look finds all that waits."""
MAX_BODY = 256 * 1024
"""Of any message; SNS has none that is larger."""
PATH = "/doorbell/{token}"

Given = Annotated[str, Path(alias="token", description="The operator's RYLA_DOORBELL_TOKEN.")]
Id = Annotated[
    str | None,
    Query(description="An inbox entry's name or a job's id: then the look is at that entry alone."),
]


def doorbell_router(
    dependencies: ApiDependencies, web: PublicHttps = INTERNET, per_minute: int = PER_MINUTE
) -> APIRouter:
    router = APIRouter(tags=["about"])
    token = dependencies.runtime.settings.doorbell_token
    rate = RateLimit(per_minute)

    @router.post(
        PATH,
        status_code=202,
        summary="Have the dispatcher look at the bucket now",
        description="Whatever the body says. The token is the only key.",
        response_class=Response,
        responses={202: {"description": "Heard."}, **problems(400, 404, 408, 413, 429, 503)},
    )
    async def ring(given: Given, request: Request, id: Id = None) -> Response:
        _require(token, given)
        _count(rate)
        kind = request.headers.get(sns.MESSAGE_TYPE)
        body = await _body(request, dependencies.timeouts.body)
        if kind == sns.CONFIRMATION:
            await run_in_threadpool(sns.confirm, sns.confirmation(body), web)
        else:
            dependencies.notify(entry_of(id))
        return Response(status_code=202)

    @router.head(PATH, include_in_schema=False)
    async def probe(given: Given) -> Response:
        """MinIO asks whether anybody lives here."""
        _require(token, given)
        return Response(status_code=200)

    @router.options(PATH, include_in_schema=False)
    async def agree(given: Given, request: Request) -> Response:
        """The handshake of CloudEvents' web hooks: whoever knows the token may post."""
        _require(token, given)
        allow = {"Allow": "POST, HEAD, OPTIONS"}
        origin = request.headers.get("webhook-request-origin")
        if origin is not None:
            allow |= {"WebHook-Allowed-Origin": "*", "WebHook-Allowed-Rate": str(per_minute)}
        return Response(status_code=200, headers=allow)

    return router


def entry_of(id: str | None) -> str | None:
    """The inbox key that `?id=` names: an id, an entry's name or its key. None for none such."""
    if id is None:
        return None
    key = f"{INBOX}{id.removeprefix(INBOX).removesuffix('.json')}.json"
    try:
        parse_inbox_key(key)
    except InvalidId:
        return None
    return key


def _require(token: SecretStr | None, given: str) -> None:
    """Raises NoSuchPath, which tells nothing of whether there is a doorbell."""
    expected = "" if token is None else token.get_secret_value()
    # Of digests, the comparison does not tell the length either.
    if token is None or not hmac.compare_digest(_digest(expected), _digest(given)):
        raise NoSuchPath("there is no such path")


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _count(rate: RateLimit) -> None:
    try:
        rate.count("doorbell")
    except TooManyRequests as error:
        error.hint = "Nothing is lost: one look finds all that waits, and polling goes on."
        raise


async def _body(request: Request, within_s: float) -> bytes:
    """Taken from the wire whatever it is. Raises BodyTooLarge or RequestTooSlow."""
    parts, size = [], 0
    try:
        async with asyncio.timeout(within_s):
            async for part in request.stream():
                size += len(part)
                if size > MAX_BODY:
                    raise BodyTooLarge(
                        f"a message has at most {MAX_BODY} bytes",
                        value=size,
                        hint="Send none: it only says that there is work.",
                    )
                parts.append(part)
    except TimeoutError:
        raise RequestTooSlow(f"the body did not arrive within {within_s:g} s") from None
    return b"".join(parts)
