"""The servers that the contract suite runs against.

The stand-in always; a real ComfyUI when RYLA_COMFYUI_URL names a running one, or RYLA_COMFYUI_DIR
its folder (then RYLA_COMFYUI_PYTHON is the Python to start it with, and RYLA_COMFYUI_FLAGS stands
in the place of the flags below). RYLA_COMFYUI_MODELS_FILE is a models.toml of the weights that it
has; without it they are the micro models beside this file.
"""

import fcntl
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from config.models import load_models
from config.routes import load_routes
from config.settings import Settings
from handlers.comfyui.node_folder import node_pack_folder
from handlers.comfyui.process import ComfyProcess
from handlers.comfyui.standin.options import Options
from handlers.comfyui.standin.server import running
from pipeline.models.comfyui_paths import link_nodes, write_paths
from pipeline.models.face_packs import FaceModels
from tests.comfyui.kind_jobs import MODELS, WITH_FACES, Case, Maker, NoiseShelf
from tests.comfyui.micro import function_table
from tests.comfyui.micro.make_models import CONTROL_IMAGE, loras
from tests.comfyui.micro.table import MICRO_MODELS, SETS
from tests.support.comfy_wire import Server

FUNCTION_TABLE = Path(function_table.__file__)
HAS_REAL = bool(os.environ.get("RYLA_COMFYUI_URL") or os.environ.get("RYLA_COMFYUI_DIR"))
REAL_SECONDS = 900
"""Longest that one case on a real ComfyUI may take."""
NO_REAL = "no real ComfyUI: set RYLA_COMFYUI_URL or RYLA_COMFYUI_DIR"


def comfyui_flags() -> list[str]:
    """For a ComfyUI whose protocol is tested. Its cache is the default one, which the stand-in has:
    of what ran before, only the latest prompt's."""
    return os.environ.get("RYLA_COMFYUI_FLAGS", "--cpu --disable-api-nodes").split()


def worker_flags() -> list[str]:
    """For a ComfyUI that a worker starts: as shipped."""
    given = os.environ.get("RYLA_COMFYUI_FLAGS")
    return ["--cpu", *load_routes().route("Flux").comfyui_flags] if given is None else given.split()


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """A real ComfyUI on a processor that others use too is slow."""
    for item in items:
        if item.get_closest_marker("comfyui"):
            item.add_marker(pytest.mark.timeout(REAL_SECONDS))


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


@pytest.fixture(scope="module")
def offered(server: Server) -> str:
    """All that the server's nodes can choose from."""
    return server.get("/object_info").text if server.real else ""


@pytest.fixture(scope="module")
def face_models(packs: Path, server: Server) -> FaceModels:
    """As a worker has one for all its jobs: the models are loaded once."""
    settings = Settings(faces_dir=packs)
    return NoiseShelf(settings) if server.real else FaceModels(settings)


@pytest.fixture
def maker_for(
    request: pytest.FixtureRequest, server: Server, offered: str
) -> Callable[[Case], Maker]:
    """Skips where the server lacks a model or a node of the case."""

    def maker(case: Case) -> Maker:
        faces = case in WITH_FACES.values()
        if server.real:
            sets = [name for name in SETS if "instantid" not in name or faces]
            wanted = [weight.file for name in sets for weight in MODELS.weights(name).values()]
            wanted += ["ApplyInstantIDAdvanced"] if faces else []
            wanted += [case.lora] if case.lora else []
            lacking = [name for name in wanted if f'"{name}"' not in offered]
            if lacking:
                pytest.skip(f"this ComfyUI has no {', '.join(lacking)}: see micro/README.md")
        if not faces:
            return Maker(server, FaceModels(Settings()))
        return Maker(server, request.getfixturevalue("face_models"))

    return maker


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


def own_nodes(
    work_dir: Path, *, with_pack: bool = True, models: Mapping[str, Sequence[Path]] | None = None
) -> Path:
    """A file of model paths that has ComfyUI load the nodes that tests look with, and our node pack
    as a worker does. `models` are further folders."""
    nodes = link_nodes(work_dir, node_pack_folder()) if with_pack else work_dir / "custom_nodes"
    nodes.mkdir(exist_ok=True)
    for node in (CONTROL_IMAGE, FUNCTION_TABLE):
        shutil.copy(node, nodes)
    return write_paths(work_dir, {"custom_nodes": [nodes.absolute()], **(models or {})})


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
        extra_model_paths=own_nodes(folder),
    )
    process.start()
    try:
        yield process.url
    finally:
        process.stop()
