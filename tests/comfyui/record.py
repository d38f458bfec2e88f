"""Records what a real ComfyUI says to graphs that it refuses, and while it runs our kinds' graphs,
for tests to replay.

    RYLA_COMFYUI_URL=http://127.0.0.1:8188 python -m tests.comfyui.record [FOLDER]

The server has the micro models (micro/README.md). Each line of a recording is [seconds, frame]; the
last one is the answer to the POST and the history entry. Of binary frames only the head is kept.
Refusals stand in one file for each version of ComfyUI, without the frames of its own code.
"""

import json
import os
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from config.models import load_models
from handlers.comfyui.client import ComfyClient
from handlers.faces.boxes import Box, Face, FaceFinder
from handlers.faces.match import Calibration
from handlers.faces.measurement import FaceUse
from handlers.kinds.base import JobRequest, OutputFile, PromptRun, Timings
from handlers.kinds.flux_instantid import FluxInstantId
from handlers.kinds.registry import KINDS
from handlers.kinds.requirements import Supplies
from tests.comfyui.micro.table import MICRO_MODELS
from tests.support.comfy_wire import BINARY, Frame, Server, Socket
from tests.support.portraits import portrait
from tests.support.recordings import FOLDER
from tests.support.refused_graphs import BODIES
from workflows.graph import Graph

SMALL = {"prompt": "a cat", "width": 256, "height": 256, "steps": 2}
PERSON = {"reference_image": "inputs/person.png"}
SESSIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "kind_flux_schnell": ("flux-schnell", {}),
    "kind_z_image_turbo": ("z-image-turbo", {}),
    "kind_sdxl_instantid": ("sdxl-instantid", PERSON),
    "kind_flux_instantid": ("flux-instantid", PERSON | {"face_steps": 2}),
}


class OneFace:
    """Sees a face at the same place of every picture: micro models compose none."""

    embedder = "none"
    embedder_sha256 = "0" * 64

    def find_faces(self, picture: bytes) -> list[Face]:
        points = ((105.0, 100.0), (135.0, 100.0), (120.0, 115.0), (108.0, 130.0), (132.0, 130.0))
        return [Face(Box(90, 70, 60, 80), 1.0, (1.0, 0.0), points)]


@dataclass
class RecordingStudio:
    server: Server
    client: ComfyClient
    sessions: list[str] = field(default_factory=list)

    def upload(self, body: bytes, name: str) -> str:
        return self.client.upload_image(body, name)

    def faces(self, use: FaceUse) -> FaceFinder:
        return OneFace()

    def calibration(self) -> Calibration | None:
        return None

    def has_time_for(self, seconds: float) -> bool:
        return True

    def render(
        self, graph: Graph, *, part: int, parts: int, then: Graph | None = None
    ) -> PromptRun:
        client_id = uuid.uuid4().hex
        with self.server.socket(client_id) as socket:
            reply = self.server.prompt(graph.api(), client_id=client_id).json()
            lines = [json.dumps(line) for line in _frames(socket, reply["prompt_id"])]
        history = self.server.history(reply["prompt_id"])
        ended = {"prompt_response": reply, "history": {reply["prompt_id"]: history}}
        self.sessions.append("\n".join([*lines, json.dumps(ended)]) + "\n")
        [image] = history["outputs"]["save"]["images"]
        body = self.server.get("/view", **image).content
        return PromptRun(
            reply["prompt_id"], [OutputFile("save", image["filename"], body)], Timings()
        )


def _frames(socket: Socket, prompt_id: str) -> Iterator[tuple[float, Frame]]:
    began = time.monotonic()
    while True:
        frame = socket.next(timeout=120)
        yield round(time.monotonic() - began, 3), _kept(frame)
        data = frame["data"]
        if frame["type"] == "executing" and data["node"] is None and data["prompt_id"] == prompt_id:
            return


def _kept(frame: Frame) -> Frame:
    if frame["type"] != BINARY:
        return frame
    body: bytes = frame["data"]
    return {"binary_len": len(body), "first_64_bytes_hex": body[:64].hex()}


def record(url: str, kind: str, fields: dict[str, Any]) -> list[str]:
    """One session for each prompt of a job."""
    made_by = FluxInstantId(side=256) if kind == "flux-instantid" else KINDS[kind]
    request = made_by.input_model.model_validate(SMALL | fields)
    person = portrait({"anna": Box(240, 140, 160, 200)})
    supplies = Supplies(None, {"reference_image": person})
    job: JobRequest[Any] = JobRequest(uuid.uuid4().hex, 1, request, 7, supplies)
    with ComfyClient(url) as client:
        runner = RecordingStudio(Server("real", url, {}, ""), client)
        list(made_by.run(job, load_models(Path(MICRO_MODELS)), runner))
    return runner.sessions


def refusals(server: Server) -> str:
    answers = []
    for title, body in BODIES.items():
        reply = server.post("/prompt", body)
        kind = reply.headers["content-type"]
        text = reply.text
        if kind.startswith("application/json"):
            text = json.dumps(_without_tracebacks(reply.json()))
        answers.append(f"### {title}\nPOST /prompt -> {reply.status_code} {kind}\n{text}\n")
    return "\n".join(answers)


def _without_tracebacks(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: [] if key == "traceback" else _without_tracebacks(each)
            for key, each in value.items()
        }
    return [_without_tracebacks(each) for each in value] if isinstance(value, list) else value


def main(folder: Path) -> None:
    server = Server("real", os.environ["RYLA_COMFYUI_URL"], {}, "")
    version = server.get("/system_stats").json()["system"]["comfyui_version"]
    (folder / f"probe_http_{version}.txt").write_text(refusals(server))
    while server.get("/prompt").json()["exec_info"]["queue_remaining"]:
        time.sleep(0.1)  # what was accepted has no client: everybody would hear of it
    for name, (kind, fields) in SESSIONS.items():
        for number, session in enumerate(record(server.url, kind, fields)):
            target = folder / (f"{name}_{number}.jsonl" if number else f"{name}.jsonl")
            target.write_text(session)
            sys.stdout.write(f"{target}: {len(session.splitlines())} lines\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else FOLDER)
