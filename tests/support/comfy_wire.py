"""A bare client of ComfyUI's protocol, for tests that look at the wire itself."""

import json
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import httpx
from websockets.sync.client import ClientConnection, connect

Frame = dict[str, Any]
Graph = dict[str, Any]
BINARY = "binary"
"""`type` of a frame that stands for a binary message; its `data` is the bytes."""


@dataclass(frozen=True)
class Server:
    """A ComfyUI, or the stand-in, and the file names that graphs for it may use."""

    name: str
    url: str
    flux: dict[str, str]
    """Role -> file of Flux dev: unet, clip_l, t5, vae."""
    schnell: str
    """An all-in-one checkpoint of Flux schnell."""

    @property
    def real(self) -> bool:
        return self.name != "standin"

    def get(self, path: str, **params: Any) -> httpx.Response:
        return httpx.get(self.url + path, params=params)

    def post(self, path: str, body: Any = None, **options: Any) -> httpx.Response:
        return httpx.post(self.url + path, json=body, timeout=30, **options)

    def prompt(self, graph: Graph, **more: Any) -> httpx.Response:
        return self.post("/prompt", {"prompt": graph, **more})

    def history(self, prompt_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"/history/{prompt_id}").json()
        return dict(found.get(prompt_id, {}))

    def finished(self, prompt_id: str, timeout: float = 60) -> dict[str, Any]:
        """The history entry, as soon as there is one."""
        end = time.monotonic() + timeout
        while not (entry := self.history(prompt_id)):
            assert time.monotonic() < end, f"{prompt_id} has no history after {timeout} s"
            time.sleep(0.02)
        return entry

    @contextmanager
    def socket(self, client_id: str | None) -> Iterator["Socket"]:
        query = f"?clientId={client_id}" if client_id else ""
        url = self.url.replace("http", "ws", 1) + "/ws" + query
        with connect(url, max_size=None, max_queue=None) as connection:
            yield Socket(connection, client_id)

    def run(self, graph: Graph, **more: Any) -> "Run":
        """Run a prompt with a socket of its own, to the last frame."""
        client_id = uuid.uuid4().hex
        with self.socket(client_id) as socket:
            first = socket.next()
            reply = self.prompt(graph, client_id=client_id, **more)
            assert reply.status_code == 200, reply.text
            prompt_id = reply.json()["prompt_id"]
            frames = [first, *socket.until_end(prompt_id)]
        return Run(prompt_id, reply.json(), frames, self.history(prompt_id))


@dataclass(frozen=True)
class Run:
    prompt_id: str
    reply: dict[str, Any]
    frames: list[Frame]
    history: dict[str, Any]

    @property
    def cached(self) -> list[str]:
        nodes: list[str] = self.of("execution_cached")[0]["nodes"]
        return nodes

    @property
    def visited(self) -> list[str]:
        """Nodes in the order in which they ran."""
        return [data["node"] for data in self.of("executing") if data["node"] is not None]

    @property
    def images(self) -> list[dict[str, str]]:
        return [
            image for node in self.history["outputs"].values() for image in node.get("images", ())
        ]

    def of(self, kind: str) -> list[Any]:
        return [frame["data"] for frame in self.frames if frame["type"] == kind]


class Socket:
    def __init__(self, connection: ClientConnection, client_id: str | None) -> None:
        self._connection = connection
        self.client_id = client_id

    def send(self, frame: Frame) -> None:
        self._connection.send(json.dumps(frame))

    def next(self, timeout: float = 30) -> Frame:
        message = self._connection.recv(timeout=timeout)
        if isinstance(message, bytes):
            return {"type": BINARY, "data": message}
        frame: Frame = json.loads(message)
        return frame

    def until(self, kind: str, **fields: Any) -> list[Frame]:
        """The frames up to the first of this type with these fields."""
        frames = []
        while True:
            frame = self.next()
            frames.append(frame)
            if frame["type"] == kind and fields.items() <= frame["data"].items():
                return frames

    def until_end(self, prompt_id: str) -> list[Frame]:
        return self.until("executing", node=None, prompt_id=prompt_id)

    def drained(self, quiet: float = 0.3) -> list[Frame]:
        """What comes until nothing comes for `quiet` seconds."""
        frames = []
        while True:
            try:
                frames.append(self.next(quiet))
            except TimeoutError:
                return frames


def flux_graph(server: Server, **changes: Any) -> Graph:
    """Text to image with ids, order and sizes as in the recorded sessions."""
    settings = {"text": "a cat", "seed": new_seed(), "steps": 3, "size": 64} | changes
    files, size = server.flux, settings["size"]
    sampler = {
        "model": ["1", 0],
        "seed": settings["seed"],
        "steps": settings["steps"],
        "cfg": 1.0,
        "sampler_name": "euler",
        "scheduler": "simple",
        "positive": ["5", 0],
        "negative": ["8", 0],
        "latent_image": ["6", 0],
        "denoise": 1.0,
    }
    nodes: dict[str, tuple[str, dict[str, Any]]] = {
        "1": ("UNETLoader", {"unet_name": files["unet"], "weight_dtype": "default"}),
        "2": (
            "DualCLIPLoader",
            {"clip_name1": files["clip_l"], "clip_name2": files["t5"], "type": "flux"},
        ),
        "3": ("VAELoader", {"vae_name": files["vae"]}),
        "4": ("CLIPTextEncode", {"text": settings["text"], "clip": ["2", 0]}),
        "5": ("FluxGuidance", {"conditioning": ["4", 0], "guidance": 3.5}),
        "6": ("EmptySD3LatentImage", {"width": size, "height": size, "batch_size": 1}),
        "8": ("ConditioningZeroOut", {"conditioning": ["4", 0]}),
        "9": ("KSampler", sampler),
        "10": ("VAEDecode", {"samples": ["9", 0], "vae": ["3", 0]}),
        "save": (
            "SaveImage",
            {"images": ["10", 0], "filename_prefix": settings.get("prefix", "contract/t2i")},
        ),
    }
    return {
        node_id: {"class_type": class_type, "inputs": inputs}
        for node_id, (class_type, inputs) in nodes.items()
    }


def changed(graph: Graph, node_id: str, **inputs: Any) -> Graph:
    """A copy with other inputs at one node; None takes an input away."""
    copy = deepcopy(graph)
    for name, value in inputs.items():
        if value is None:
            copy[node_id]["inputs"].pop(name)
        else:
            copy[node_id]["inputs"][name] = value
    return copy


def new_seed() -> int:
    """One that no server has in its cache."""
    return uuid.uuid4().int >> 80
