"""The stand-in beside a real ComfyUI: the same graph, the same frames in the same order.

The sessions are recorded by tests/comfyui/record.py.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from handlers.comfyui.standin.options import Options
from handlers.comfyui.standin.server import running
from handlers.faces.boxes import Box
from tests.support.comfy_wire import Server
from tests.support.portraits import portrait
from tests.support.recordings import NAMES, Recording, recording

KINDS = [name for name in NAMES if name.startswith("kind_")]
OWN_PACE = {"status", "progress_state"}
"""How many of them come depends on how fast things are."""


@pytest.fixture
def standin(tmp_path: Path) -> Iterator[Server]:
    """One that has run nothing yet."""
    with running(Options.under(tmp_path)) as url:
        yield Server("standin", url, {}, "")


def told(frames: list[dict[str, Any]], leaving_out: list[str]) -> list[tuple[str, str | None]]:
    """Type and node of each frame, without what a server that ran before need not do again."""
    pairs = [(frame["type"], frame["data"].get("node")) for frame in frames]
    return [pair for pair in pairs if pair[0] not in OWN_PACE and pair[1] not in leaving_out]


def upload_pictures(server: Server, session: Recording) -> None:
    image = portrait({"anna": Box(240, 140, 160, 200)})
    for node in session.graph.values():
        if node["class_type"] == "LoadImage":
            name = node["inputs"]["image"]
            httpx.post(server.url + "/upload/image", files={"image": (name, image)})


@pytest.mark.parametrize("name", KINDS)
def test_a_kinds_graph_is_told_of_as_by_a_real_server(standin: Server, name: str) -> None:
    session = recording(name)
    upload_pictures(standin, session)
    real = [json.loads(text) for _, text in session.frames if isinstance(text, str)]
    cached = session.history["status"]["messages"][1][1]["nodes"]

    run = standin.run(session.graph)

    assert len(KINDS) == 5
    assert told(run.frames, cached) == told(real, cached)
    assert run.history["status"]["status_str"] == session.history["status"]["status_str"]
    assert run.history["outputs"].keys() == session.history["outputs"].keys()
