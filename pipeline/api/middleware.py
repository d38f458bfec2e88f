"""The app's outermost layer: a request id, one log line a request, and no traceback for anybody."""

import re
import time
from uuid import uuid4

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from config.errors import InternalError
from pipeline.api.problems import problem_answer

REQUEST_ID = "X-Request-ID"
_SANE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
QUIET = frozenset({"/health", "/metrics"})
"""Asked every few seconds: logged only when they go wrong. Nor is logged who is turned away for
many wrong keys."""


def request_id(given: str | None) -> str:
    """The one that was given, if it can stand in a log: 1 to 64 letters, digits, dots, dashes and
    underscores. Else a new one."""
    return given if given is not None and _SANE.match(given) else uuid4().hex


class RequestMiddleware:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        id = request_id(Headers(scope=scope).get(REQUEST_ID))
        scope.setdefault("state", {})["request_id"] = id
        begun, status = time.monotonic(), 0

        async def told(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID] = id
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=id):
            try:
                await self._app(scope, receive, told)
            except ClientDisconnect:
                status = status or 499
            except Exception:  # noqa: BLE001  the process's edge: logged here, and told to nobody
                structlog.get_logger(__name__).exception("request_broke", path=_path(scope))
                if not status:
                    hidden = InternalError(
                        "something unforeseen went wrong here",
                        hint="It was logged under the request_id; try again.",
                    )
                    await problem_answer(hidden, id)(scope, receive, told)
            _log(scope, status, time.monotonic() - begun)


def _path(scope: Scope) -> str:
    """The route's path, as the one that was asked for may hold a token."""
    return str(getattr(scope.get("route"), "path", None) or "(no route)")


def _log(scope: Scope, status: int, seconds: float) -> None:
    path = _path(scope)
    log = structlog.get_logger(__name__)
    state = scope.get("state", {})
    quiet = (path in QUIET and status < 400) or (status == 429 and "tenant" not in state)
    say = log.debug if quiet else log.info
    say(
        "request",
        method=scope["method"],
        path=path,
        status=status,
        ms=round(seconds * 1000, 1),
        tenant=state.get("tenant"),
        job=state.get("job"),
    )
