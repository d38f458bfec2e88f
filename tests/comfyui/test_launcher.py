"""Servers that are forked from one import of a real ComfyUI, beside a plain start: they hold the
same, and draw the same."""

import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from handlers.comfyui.process import ComfyProcess
from tests.comfyui.conftest import own_nodes, worker_flags
from tests.comfyui.kind_jobs import CASES, MODELS, Maker, NoiseShelf
from tests.support.comfy_wire import Server
from tests.support.processes import wait_until

COMFYUI_DIR = os.environ.get("RYLA_COMFYUI_DIR")
PYTHON = os.environ.get("RYLA_COMFYUI_PYTHON", sys.executable)
FLUX = {role: weight.file for role, weight in MODELS.weights("flux-dev").items()}
pytestmark = [
    pytest.mark.xdist_group("launcher"),
    pytest.mark.comfyui,
    pytest.mark.skipif(COMFYUI_DIR is None, reason="no real ComfyUI: set RYLA_COMFYUI_DIR"),
]
PROBE = {
    "image": {
        "class_type": "EmptyImage",
        "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 0},
    },
    "functions": {"class_type": "MicroFunctionTable", "inputs": {"after": ["image", 0]}},
}
OF_THE_START = frozenset(
    {"args.port", "__main__.package", "__main__.start_all_func", "__main__.event_loop"}
    | {"comfy.quant_ops.k", "comfy.quant_ops.v", "folder_paths.filename_list_cache"}
)
"""What differs between two plain starts: the port, when folders were listed, and the last turn of a
loop over a set; and what main.py holds of the statement that serves, which the launcher leaves
out."""
PRETENDED_GPU = Path(__file__).parent / "micro/pretended_gpu.py"


@pytest.fixture
def alone() -> None:
    """Each ComfyUI here is its own."""


@contextmanager
def started(folder: Path, *, forks: bool, **options: Any) -> Iterator[ComfyProcess]:
    given: dict[str, Any] = {"python": PYTHON, "flags": worker_flags(), **options}
    process = ComfyProcess(
        Path(str(COMFYUI_DIR)),
        work_dir=folder,
        environ=os.environ,
        extra_model_paths=own_nodes(folder),
        forks=forks,
        **given,
    )
    with process:
        assert (process._launcher is not None) is forks, process.log_tail()
        yield process


def held(process: ComfyProcess) -> Mapping[str, str]:
    """What the process holds once a prompt has run."""
    outputs = Server("comfyui", process.url, FLUX, "").run(PROBE).history["outputs"]
    told: dict[str, str] = {}
    for part in ("text", "process"):
        told |= json.loads(outputs["functions"][part][0])
    return told


def difference(one: Mapping[str, str], other: Mapping[str, str]) -> str:
    places = (one.keys() | other.keys()) - OF_THE_START
    return "\n".join(
        f"{place}: {one.get(place)} | {other.get(place)}"
        for place in sorted(places)
        if one.get(place) != other.get(place)
    )


def on_a_pretended_gpu(folder: Path) -> dict[str, Any]:
    """A Python whose torch says that there is one."""
    (folder / "site").mkdir()
    shutil.copy(PRETENDED_GPU, folder / "site/sitecustomize.py")
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nexport PYTHONPATH={folder / "site"}\nexec {PYTHON} "$@"\n')
    python.chmod(0o755)
    return {"python": str(python), "flags": [each for each in worker_flags() if each != "--cpu"]}


@pytest.mark.parametrize("gpu", ["of this machine", "pretended"])
def test_a_fork_holds_what_a_plain_start_holds(tmp_path: Path, gpu: str) -> None:
    options = on_a_pretended_gpu(tmp_path) if gpu == "pretended" else {}
    with started(tmp_path, forks=False, **options) as process:
        plain = held(process)
    with started(tmp_path, forks=True, **options) as process:
        forked = held(process)

    assert difference(plain, forked) == ""
    if gpu == "pretended":
        assert plain["comfy.model_management.total_vram"] == "81920.0"
        assert plain["comfy.memory_management.aimdo_enabled"] == "True"
        assert plain["comfy.ops.SDPA_BACKEND_PRIORITY"].startswith("[")


def test_twenty_forks_draw_what_a_plain_start_draws(tmp_path: Path, packs: Path) -> None:
    cases = ("flux-dev", "sdxl-instantid")
    with started(tmp_path, forks=False) as process:
        plain = pictures(process, packs, cases)
    with started(tmp_path, forks=True) as process:
        for _ in range(20):
            kill(process)
            process.ensure_running()
        forked = pictures(process, packs, cases)
        process.restart()
        again = pictures(process, packs, cases)

    assert forked == plain
    assert again == plain


def pictures(process: ComfyProcess, packs: Path, cases: Sequence[str]) -> list[bytes]:
    server = Server("comfyui", process.url, FLUX, "")
    maker = Maker(server, NoiseShelf(Settings(faces_dir=packs)), options={})
    return [maker.pixels(CASES[name]) for name in cases]


def kill(process: ComfyProcess) -> None:
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    assert wait_until(lambda: not process.running)
