"""The servers that the contract suite runs against.

The stand-in always; a real ComfyUI when RYLA_COMFYUI_URL names a running one, or RYLA_COMFYUI_DIR
its folder (then RYLA_COMFYUI_PYTHON is the Python to start it with, and RYLA_COMFYUI_FLAGS stands
in the place of the flags below). RYLA_COMFYUI_MODELS_FILE is a models.toml of the weights that it
has; without it they are the micro models beside this file.
"""

import fcntl
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from config.tables import load_models, load_routes
from handlers.comfyui.process import ComfyProcess
from handlers.comfyui.standin.options import Options
from handlers.comfyui.standin.server import running
from tests.comfyui.micro.make_models import loras
from tests.support.comfy_wire import Server

MICRO_MODELS = Path(__file__).parent / "micro" / "models.toml"
SETS = ("flux-dev", "flux-schnell", "z-image-turbo", "sdxl-instantid")
HAS_REAL = bool(os.environ.get("RYLA_COMFYUI_URL") or os.environ.get("RYLA_COMFYUI_DIR"))
NO_REAL = "no real ComfyUI: set RYLA_COMFYUI_URL or RYLA_COMFYUI_DIR"


def comfyui_flags() -> list[str]:
    """For a ComfyUI whose protocol is tested. Its cache is the default one, which the stand-in has:
    of what ran before, only the latest prompt's."""
    return os.environ.get("RYLA_COMFYUI_FLAGS", "--cpu --disable-api-nodes").split()


def worker_flags() -> list[str]:
    """For a ComfyUI that a worker starts: as shipped."""
    given = os.environ.get("RYLA_COMFYUI_FLAGS")
    return ["--cpu", *load_routes().route("Flux").comfyui_flags] if given is None else given.split()


@pytest.fixture(
    scope="session",
    params=[
        "standin",
        pytest.param(
            "comfyui",
            marks=[
                pytest.mark.comfyui,
                pytest.mark.skipif(not HAS_REAL, reason=NO_REAL),
            ],
        ),
    ],
)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    models = load_models(Path(os.environ.get("RYLA_COMFYUI_MODELS_FILE", MICRO_MODELS)))
    flux = {role: weight.file for role, weight in models.weights("flux-dev").items()}
    schnell = models.weights("flux-schnell")["checkpoint"].file
    folder = tmp_path_factory.mktemp(request.param)
    start = _standin if request.param == "standin" else _real
    weights = {weight.file for name in SETS for weight in models.weights(name).values()}
    with start(folder, {*weights, *(Path(lora).name for lora in loras())}) as url:
        yield Server(request.param, url, flux, schnell)


@pytest.fixture(autouse=True)
def alone(server: Server) -> Iterator[None]:
    """One test at a time on a real server: several test processes may share it."""
    if not server.real:
        yield
        return
    with (Path(tempfile.gettempdir()) / "ryla-comfyui-contract.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _standin(folder: Path, files: set[str]) -> Iterator[str]:
    """With the same files as the real one, so that both refuse the same names."""
    folders = (
        "diffusion_models",
        "text_encoders",
        "vae",
        "checkpoints",
        "instantid",
        "controlnet",
        "loras",
    )
    known = dict.fromkeys(folders, sorted(files))
    with running(Options.under(folder, known_files=known, step_seconds=0.005)) as url:
        yield url


@contextmanager
def _real(folder: Path, files: set[str]) -> Iterator[str]:
    given = os.environ.get("RYLA_COMFYUI_URL")
    if given:
        yield given.rstrip("/")
        return
    process = ComfyProcess(
        Path(os.environ["RYLA_COMFYUI_DIR"]),
        work_dir=folder,
        environ=os.environ,
        python=os.environ.get("RYLA_COMFYUI_PYTHON", sys.executable),
        flags=comfyui_flags(),
    )
    process.start()
    try:
        yield process.url
    finally:
        process.stop()
