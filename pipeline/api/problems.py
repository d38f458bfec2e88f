"""What an error says over HTTP: those of the tree, and those of the framework, as problem details
(RFC 9457)."""

from collections.abc import Iterator, Mapping
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match, Route

from config.errors import RylaError, StoreError
from config.nearest import nearest
from pipeline.api.paths import ENDPOINTS
from pipeline.api.request_errors import BadRequest, NoSuchPath, RequestRefused, WrongMethod
from pipeline.api.responses import Json
from pipeline.contract.error_info import error_info
from pipeline.contract.keys import clip

PATHS = (*(each.path for each in ENDPOINTS), "/jobs", "/models", "/loras", "/health", "/docs")


def handle_errors(app: FastAPI) -> None:
    app.add_exception_handler(RylaError, _of_the_tree)
    app.add_exception_handler(HTTPException, _of_the_router)
    app.add_exception_handler(RequestValidationError, _of_a_parameter)


async def _of_the_tree(request: Request, error: Exception) -> Response:
    assert isinstance(error, RylaError)
    return _answer(request, _public(error))


def _public(error: RylaError) -> RylaError:
    """What the store says is for whoever runs it: it may tell of addresses and accounts."""
    if not isinstance(error, StoreError):
        return error
    structlog.get_logger(__name__).error("store_failed", code=error.code, error=error.message)
    hint = "Try again; what it said was logged under the request_id."
    return type(error)("the store cannot be used at the moment", hint=hint)


async def _of_the_router(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == 404:
        path = request.url.path
        meant = nearest(path, PATHS)
        unknown = NoSuchPath(f"there is no {clip(path)}", value=clip(path))
        unknown.hint = f"Did you mean {meant}?" if meant else unknown.hint
        return _answer(request, unknown)
    if error.status_code == 405:
        allowed = ", ".join(sorted({*_methods(request)})) or headers.get("Allow", "another")
        wrong = WrongMethod(f"{request.method} is not for this path", hint=f"It takes {allowed}.")
        return _answer(request, wrong, {"Allow": allowed})
    return _answer(request, BadRequest(str(error.detail)), headers)


def _methods(request: Request) -> Iterator[str]:
    """Of all routes of the path; the router names those of the first."""
    for route in request.app.routes:
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE:
            yield from route.methods or ()


async def _of_a_parameter(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"][1:])
    return _answer(request, BadRequest(f"{clip(name)}: {first['msg']}", field=clip(name)))


def _answer(request: Request, error: RylaError, headers: dict[str, str] | None = None) -> Response:
    state = request.scope.get("state", {})
    return problem_answer(error, state.get("request_id"), headers, state.get("job"))


def problem_details(error: RylaError, instance: str | None = None) -> dict[str, Any]:
    """RFC 9457 problem details with our members beside the standard ones."""
    info = error_info(error)
    body = {
        "type": f"urn:ryla:error:{info.code}",
        "title": info.code.replace("_", " "),
        "status": error.http_status,
        "detail": info.message,
        "instance": instance,
        "code": info.code,
        "field": info.field,
        "value": info.value,
        "hint": info.hint,
    }
    return {name: value for name, value in body.items() if value is not None}


def problem(error: RylaError, request_id: str | None = None, **more: Any) -> dict[str, Any]:
    """The fields of a `Problem`."""
    told = problem_details(error, **more)
    # What the clients of the system before this one print.
    told |= {"error": told["detail"], "details": told.get("hint", told["code"])}
    others = getattr(error, "others", ())
    if others:
        told["also"] = [_short(problem_details(each)) for each in others]
    return told if request_id is None else {**told, "request_id": request_id}


def _short(details: dict[str, Any]) -> dict[str, Any]:
    return {name: details[name] for name in ("code", "detail", "field", "hint") if name in details}


PROBLEM = "application/problem+json"


def problem_answer(
    error: RylaError,
    request_id: str | None = None,
    headers: Mapping[str, str] | None = None,
    job: str | None = None,
) -> Response:
    body = problem(error, request_id)
    if job is not None:
        body["job"] = job
    more = dict(headers or {})
    if isinstance(error, RequestRefused) and error.retry_after_s is not None:
        more["Retry-After"] = str(error.retry_after_s)
    elif error.http_status == 503:
        more["Retry-After"] = "5"
    if error.http_status == 401:
        more["WWW-Authenticate"] = "Bearer"
    return Json(body, error.http_status, more, media_type=PROBLEM)
