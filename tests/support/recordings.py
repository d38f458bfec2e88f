"""Sessions recorded from a real ComfyUI, as data for tests."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent.parent / "recordings"
NAMES = tuple(sorted(path.stem for path in FOLDER.glob("*.jsonl")))


@dataclass(frozen=True)
class Recording:
    """Frames as (seconds, message), the answer to the POST, and the history entry."""

    name: str
    prompt_id: str
    frames: tuple[tuple[float, str | bytes], ...]
    reply: dict[str, Any]
    history: dict[str, Any]

    @property
    def graph(self) -> dict[str, Any]:
        graph: dict[str, Any] = self.history["prompt"][2]
        return graph

    @property
    def files(self) -> list[tuple[str, str]]:
        """(subfolder, filename) of each file in the history."""
        return [
            (item["subfolder"], item["filename"])
            for shown in self.history["outputs"].values()
            for item in shown["images"]
        ]


@cache
def recording(name: str) -> Recording:
    *timed, last = (
        json.loads(line) for line in (FOLDER / f"{name}.jsonl").read_text().splitlines()
    )
    reply = last["prompt_response"]
    return Recording(
        name=name,
        prompt_id=reply["prompt_id"],
        frames=tuple((at, _message(frame)) for at, frame in timed),
        reply=reply,
        history=last["history"][reply["prompt_id"]],
    )


def _message(frame: dict[str, Any]) -> str | bytes:
    """Of binary frames only the head was kept; the rest is zeros here."""
    if "binary_len" in frame:
        head = bytes.fromhex(frame["first_64_bytes_hex"])
        length: int = frame["binary_len"]
        return head.ljust(length, b"\0")
    return json.dumps(frame)


@cache
def http_probes(version: str = "0.8.0") -> dict[str, tuple[int, str]]:
    """Title -> (status, body) of the recorded answers of a ComfyUI to odd POST /prompt requests."""
    probes = {}
    for block in (FOLDER / f"probe_http_{version}.txt").read_text().split("### ")[1:]:
        title, request, *body = block.split("\n")
        if request.startswith("POST /prompt -> "):
            probes[title] = (int(request.split()[3]), "\n".join(body).strip())
    return probes
