"""ComfyUI's HTTP and WebSocket routes."""

import asyncio
import contextlib
import json
import platform
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from handlers.comfyui.info import STANDIN
from handlers.comfyui.standin import faults
from handlers.comfyui.standin.body_checks import INVALID_ID, is_canonical, spoils
from handlers.comfyui.standin.connections import Connection, Connections
from handlers.comfyui.standin.execution_order import converted
from handlers.comfyui.standin.executor import Executor
from handlers.comfyui.standin.folders import Folders
from handlers.comfyui.standin.object_info import FileLists, object_info
from handlers.comfyui.standin.options import Options
from handlers.comfyui.standin.prompts import Prompt, PromptQueue
from workflows.interfaces import Interfaces
from workflows.validation import validate
from workflows.validation_result import Problem

MAX_UPLOAD = 100 * 1024 * 1024
FEATURES = {"supports_preview_metadata": True, "max_upload_size": MAX_UPLOAD}
_SPOILED = "500 Internal Server Error\n\nServer got itself in trouble"
_MODEL_FOLDERS = (
    "checkpoints",
    "configs",
    "controlnet",
    "diffusion_models",
    "embeddings",
    "loras",
    "text_encoders",
    "upscale_models",
    "vae",
)


def create_app(options: Options, interfaces: Interfaces) -> Starlette:
    routes = _Routes(options, interfaces)
    return Starlette(
        routes=[*routes.all(), Mount("/api", routes=routes.all())],
        lifespan=routes.lifespan,
        middleware=[Middleware(_SameOrigin)],
    )


class _Routes:
    def __init__(self, options: Options, interfaces: Interfaces) -> None:
        self._options = options
        self._interfaces = interfaces
        self._hub = Connections()
        self._queue = PromptQueue(lambda: self._hub.broadcast_status(self._queue.remaining))
        self._executor = Executor(options, interfaces, self._queue, self._hub)
        self._folders = Folders(
            {"output": options.output, "input": options.input, "temp": options.temp}
        )

    def all(self) -> list[Route | WebSocketRoute]:
        return [
            Route("/", self._root),
            Route("/prompt", self._post_prompt, methods=["POST"]),
            Route("/prompt", self._get_prompt),
            Route("/queue", self._get_queue),
            Route("/queue", self._post_queue, methods=["POST"]),
            Route("/history", self._get_history),
            Route("/history", self._post_history, methods=["POST"]),
            Route("/history/{prompt_id}", self._get_record),
            Route("/view", self._folders.view),
            Route("/upload/image", self._folders.upload, methods=["POST"]),
            Route("/interrupt", self._interrupt, methods=["POST"]),
            Route("/free", self._free, methods=["POST"]),
            Route("/system_stats", self._system_stats),
            Route("/features", self._features),
            Route("/object_info", self._object_info),
            Route("/object_info/{name}", self._object_info),
            Route("/models", self._models),
            Route("/models/{folder}", self._models),
            Route("/embeddings", self._none),
            Route("/extensions", self._none),
            WebSocketRoute("/ws", self._socket),
        ]

    @contextlib.asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        serving = asyncio.create_task(self._executor.serve())
        yield
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving

    def _files(self) -> FileLists:
        return {**(self._options.known_files or {}), "input": self._folders.inputs()}

    async def _root(self, _: Request) -> Response:
        return HTMLResponse("<!doctype html><title>ComfyUI stand-in</title>")

    async def _post_prompt(self, request: Request) -> Response:
        body = await request.body()
        if len(body) > MAX_UPLOAD:
            return PlainTextResponse("Maximum request body size exceeded", 413)
        try:
            asked = json.loads(body)
        except ValueError:
            return PlainTextResponse(_SPOILED, 500)
        if not isinstance(asked, dict):
            return PlainTextResponse(_SPOILED, 500)
        number = self._number(asked)
        if "prompt" not in asked:
            return _refusal(Problem("no_prompt", "No prompt provided", "No prompt provided"), {})
        prompt_id = asked.get("prompt_id")
        if prompt_id is not None and not is_canonical(prompt_id):
            return _refusal(INVALID_ID, {})
        if spoils(asked["prompt"], self._interfaces):
            return PlainTextResponse(_SPOILED, 500)
        return self._accept(asked, number, prompt_id or str(uuid.uuid4()))

    def _accept(self, asked: dict[str, Any], number: float, prompt_id: str) -> Response:
        graph = asked["prompt"]
        targets = asked.get("partial_execution_targets")
        verdict = validate(graph, self._interfaces, self._files(), targets)
        if verdict.error is not None:
            return _refusal(verdict.error, verdict.node_errors)
        if self._options.allow_faults:
            faults.read(graph)  # an unknown fault is the test's mistake: a 500 says so
        extra_data = dict(asked.get("extra_data") or {})
        if "client_id" in asked:
            extra_data["client_id"] = asked["client_id"]
        extra_data["create_time"] = int(time.time() * 1000)
        plain = converted(graph, self._interfaces)
        self._queue.put(Prompt(number, prompt_id, plain, extra_data, verdict.good_outputs))
        return JSONResponse(
            {"prompt_id": prompt_id, "number": number, "node_errors": verdict.node_errors}
        )

    def _number(self, asked: dict[str, Any]) -> float:
        """The caller's, or one for each POST, negative for the front."""
        if "number" in asked:
            return float(asked["number"])
        number = self._queue.next_number
        self._queue.next_number += 1
        return -number if asked.get("front") else number

    async def _get_prompt(self, _: Request) -> Response:
        return JSONResponse({"exec_info": {"queue_remaining": self._queue.remaining}})

    async def _get_queue(self, _: Request) -> Response:
        return JSONResponse(self._queue.queue())

    async def _post_queue(self, request: Request) -> Response:
        asked = await _json(request)
        if asked.get("clear"):
            self._queue.clear()
        self._queue.delete(asked.get("delete") or ())
        return Response()

    async def _get_history(self, request: Request) -> Response:
        asked = request.query_params
        most = int(asked["max_items"]) if "max_items" in asked else None
        return JSONResponse(self._queue.history(most, int(asked.get("offset", -1))))

    async def _post_history(self, request: Request) -> Response:
        asked = await _json(request)
        if asked.get("clear"):
            self._queue.forget(None)
        self._queue.forget(asked.get("delete") or ())
        return Response()

    async def _get_record(self, request: Request) -> Response:
        return JSONResponse(self._queue.record(request.path_params["prompt_id"]))

    async def _interrupt(self, request: Request) -> Response:
        self._executor.interrupt((await _json(request)).get("prompt_id"))
        return Response()

    async def _free(self, request: Request) -> Response:
        if (await _json(request)).get("free_memory"):
            self._executor.free()
        return Response()

    async def _system_stats(self, _: Request) -> Response:
        system = {
            "os": platform.system().lower(),
            "ram_total": 0,
            "ram_free": 0,
            "comfyui_version": self._interfaces.comfyui_version,
            "python_version": platform.python_version(),
            "pytorch_version": "none",
            "embedded_python": False,
            "argv": list(self._options.argv),
            "engine": STANDIN,
        }
        device = {"name": STANDIN, "type": "cpu", "index": None}
        memory = dict.fromkeys(
            ("vram_total", "vram_free", "torch_vram_total", "torch_vram_free"), 0
        )
        return JSONResponse({"system": system, "devices": [device | memory]})

    async def _features(self, _: Request) -> Response:
        return JSONResponse(FEATURES)

    async def _object_info(self, request: Request) -> Response:
        name = request.path_params.get("name")
        files = self._files()
        if name is None:
            nodes = self._interfaces.nodes.values()
            return JSONResponse({node.name: object_info(node, files) for node in nodes})
        found = self._interfaces.nodes.get(name)
        return JSONResponse({name: object_info(found, files)} if found is not None else {})

    async def _models(self, request: Request) -> Response:
        known = self._options.known_files or {}
        folders = sorted({*_MODEL_FOLDERS, *known})
        folder = request.path_params.get("folder")
        if folder is None:
            return JSONResponse(folders)
        if folder not in folders:
            return Response(status_code=404)
        return JSONResponse(sorted(known.get(folder, ())))

    async def _none(self, _: Request) -> Response:
        return JSONResponse([])

    async def _socket(self, socket: WebSocket) -> None:
        await socket.accept()
        connection = self._hub.connect(socket.query_params.get("clientId"), self._queue.remaining)
        sending = asyncio.create_task(_send_frames(socket, connection))
        try:
            async for text in socket.iter_text():
                message = json.loads(text)
                if message.get("type") == "feature_flags":
                    connection.frames.put_nowait({"type": "feature_flags", "data": FEATURES})
        finally:
            self._hub.disconnect(connection)
            sending.cancel()


async def _send_frames(socket: WebSocket, connection: Connection) -> None:
    with contextlib.suppress(WebSocketDisconnect):
        while True:
            frame = await connection.frames.get()
            if isinstance(frame, bytes):
                await socket.send_bytes(frame)
            else:
                await socket.send_text(json.dumps(frame))


async def _json(request: Request) -> dict[str, Any]:
    """The body, or nothing where there is none."""
    try:
        asked = json.loads(await request.body())
    except ValueError:
        return {}
    return asked if isinstance(asked, dict) else {}


def _refusal(error: Problem, node_errors: dict[str, Any]) -> Response:
    body = {"error": error.api(), "node_errors": node_errors}
    # Starlette's own refuses an infinite number, which a caller's value may be.
    return Response(json.dumps(body), 400, media_type="application/json")


class _SameOrigin:
    """On loopback a page of another origin is refused, as ComfyUI refuses it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and _foreign(dict(scope["headers"])):
            await Response(status_code=403)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _foreign(headers: dict[bytes, bytes]) -> bool:
    host, origin = (headers.get(name, b"").decode("latin-1") for name in (b"host", b"origin"))
    loopback = urlsplit(f"//{host}").hostname in ("127.0.0.1", "localhost", "::1")
    return bool(origin) and loopback and urlsplit(origin).netloc.lower() != host.lower()
