"""Web requests: through the container's own ASGI wrapper, one call for each."""

import asyncio
from typing import Any

from aiohttp import web

from tests.support.modal_plane.fleet import Fleet
from tests.support.modal_plane.functions import web_label
from tests.support.modal_plane.state import Call, Function, State
from tests.support.modal_plane.wire import ASGI, decoded, encoded_asgi, input_of, pb

LONGEST_S = 3600.0
"""Of a pause in an answer."""


class Web:
    def __init__(self, state: State, fleet: Fleet) -> None:
        self._state = state
        self._fleet = fleet

    async def serve(self, request: web.Request) -> web.StreamResponse:
        function = self._endpoint(request.match_info["label"])
        if function is None:
            return web.Response(status=404, text="modal-http: invalid function call")
        if function.data.webhook_config.requires_proxy_auth:
            return web.Response(status=401, text="modal-http: missing credentials")
        call = self._state.new_call(function)
        body = await request.read()
        first = {"type": "http.request", "body": body, "more_body": False}
        call.data_in.put_nowait(_chunk(first, 1))
        self._fleet.put(call, input_of(_scope(request)))
        try:
            return await self._answer(call, request)
        except (asyncio.CancelledError, ConnectionError):
            call.data_in.put_nowait(_chunk({"type": "http.disconnect"}, 2))
            raise

    def _endpoint(self, label: str) -> Function | None:
        return next(
            (
                function
                for function in self._state.functions.values()
                if function.data.webhook_config.type and web_label(function.data) == label
            ),
            None,
        )

    async def _answer(self, call: Call, request: web.Request) -> web.StreamResponse:
        """Each chunk is passed on as it comes."""
        response: web.StreamResponse | None = None
        while True:
            message = await self._message(call)
            if message is None:
                if response is None:
                    why = call.outputs[0].result.exception if call.outputs else "no answer"
                    return web.Response(status=500, text=f"modal-http: internal error: {why}")
                return response
            if message["type"] == "http.response.start":
                response = _started(message)
                await response.prepare(request)
            elif message["type"] == "http.response.body" and response is not None:
                await response.write(message.get("body", b""))
                if not message.get("more_body"):
                    await response.write_eof()
                    return response

    async def _message(self, call: Call) -> dict[str, Any] | None:
        """What the app sends next; None when the call ended without."""

        def told() -> bool:
            return bool(call.data_out or call.outputs)

        await self._state.changed.until(told, LONGEST_S)
        if not call.data_out:
            return None
        message: dict[str, Any] = decoded(call.data_out.popleft().data, ASGI)
        return message


def _started(message: dict[str, Any]) -> web.StreamResponse:
    response = web.StreamResponse(status=message["status"])
    for name, value in message.get("headers", ()):
        if name.lower() not in (b"content-length", b"transfer-encoding"):
            response.headers.add(name.decode(), value.decode())
    return response


def _scope(request: web.Request) -> dict[str, object]:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": request.match_info["path"] or "/",
        "query_string": request.query_string.encode(),
        "root_path": "",
        "headers": [
            (name.lower().encode(), value.encode()) for name, value in request.headers.items()
        ],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "extensions": {},
    }


def _chunk(message: dict[str, object], index: int) -> pb.DataChunk:
    return pb.DataChunk(data_format=ASGI, data=encoded_asgi(message), index=index)
