"""Our node pack and a worker's prompts in a real ComfyUI that runs with a route's flags: equal
pixels, nothing replaced, and weights that stay."""

import json
import os
import struct
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from PIL import Image

from config.errors import NodeMissing
from config.settings import Settings
from handlers.comfyui.client import ComfyClient
from handlers.comfyui.process import ComfyProcess
from pipeline.worker.residency import Residency
from tests.comfyui.conftest import comfyui_flags, own_nodes, worker_flags
from tests.comfyui.kind_jobs import CASES, MODELS, Case, Maker, NoiseShelf
from tests.comfyui.micro import function_table
from tests.support.comfy_wire import Graph, Server, flux_graph
from workflows.node_pack import Attention, Speed

pytestmark = pytest.mark.xdist_group("faces")

COMFYUI_DIR = os.environ.get("RYLA_COMFYUI_DIR")
BFLOAT16 = "micro-flux-in-bfloat16.safetensors"
FLUX = {role: weight.file for role, weight in MODELS.weights("flux-dev").items()}
SIZES = {weight.file: 1 for weight in MODELS.weights_by_name.values()}
FLAGS = {"of a route": worker_flags(), "as it chooses": comfyui_flags()}
on_comfyui = [
    pytest.mark.comfyui,
    pytest.mark.skipif(COMFYUI_DIR is None, reason="no real ComfyUI: set RYLA_COMFYUI_DIR"),
]


@pytest.fixture
def alone() -> None:
    """Each ComfyUI here is its own."""


@dataclass(frozen=True)
class Worker:
    server: Server
    output_folder: Path


@contextmanager
def started(folder: Path, *, with_pack: bool = True, flags: Sequence[str] = ()) -> Iterator[Worker]:
    process = ComfyProcess(
        Path(str(COMFYUI_DIR)),
        work_dir=folder,
        environ=os.environ,
        python=os.environ.get("RYLA_COMFYUI_PYTHON", sys.executable),
        flags=flags or worker_flags(),
        extra_model_paths=own_nodes(
            folder, with_pack=with_pack, models={"diffusion_models": [folder / "bfloat16"]}
        ),
    )
    in_bfloat16(
        Path(str(COMFYUI_DIR)) / "models/diffusion_models" / FLUX["unet"],
        folder / "bfloat16" / BFLOAT16,
    )
    process.start()
    try:
        yield Worker(Server("comfyui", process.url, FLUX, ""), process.output_folder)
    finally:
        process.stop()


def in_bfloat16(source: Path, target: Path) -> None:
    """A safetensors file of halves written again."""
    body = source.read_bytes()
    (length,) = struct.unpack("<Q", body[:8])
    header = body[8 : 8 + length].replace(b'"F16"', b'"BF16"')
    values = np.frombuffer(body[8 + length :], np.float16).astype(np.float32)
    target.parent.mkdir(exist_ok=True)
    cut = (values.view(np.uint32) >> 16).astype(np.uint16)
    target.write_bytes(struct.pack("<Q", len(header)) + header + cut.tobytes())


@pytest.fixture(scope="module", params=[pytest.param("comfyui", marks=on_comfyui)])
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    with started(tmp_path_factory.mktemp("with-pack")) as worker:
        yield worker


@pytest.fixture
def maker(worker: Worker, packs: Path) -> Maker:
    return maker_on(worker, packs)


def maker_on(worker: Worker, packs: Path, **options: Any) -> Maker:
    return Maker(worker.server, NoiseShelf(Settings(faces_dir=packs)), options=options)


@pytest.mark.parametrize("over", ["folder", "view"])
def test_bare_pixels_are_those_of_comfyui_s_own_png(worker: Worker, over: str) -> None:
    graph = flux_graph(worker.server)
    graph["6"]["inputs"]["batch_size"] = 2
    bare = {"images": ["10", 0], "filename_prefix": "ryla/bare"}
    graph["bare"] = {"class_type": "RylaSavePixels", "inputs": bare}
    folder = worker.output_folder if over == "folder" else None

    with ComfyClient(worker.server.url, output_folder=folder) as client:
        done = client.run(graph, prompt_id=str(uuid4()), deadline_s=60)

    own = [file.body for file in done.files if file.node == "save"]
    ours = [file.pixels for file in done.files if file.node == "bare"]
    assert len(own) == len(ours) == 2
    for png, pixels in zip(own, ours, strict=True):
        assert pixels is not None
        with Image.open(BytesIO(png)) as image:
            assert image.size == (pixels.width, pixels.height)
            assert image.convert("RGB").tobytes() == pixels.rgb


@pytest.mark.parametrize("name", ["flux-dev", "sdxl-instantid", "flux-instantid-z-image"])
def test_a_job_has_the_same_pixels_with_our_nodes(maker: Maker, name: str) -> None:
    ours = replace(maker, options={"attention": Attention.COMFYUI})

    assert ours.pixels(CASES[name]) == maker.pixels(CASES[name])


@pytest.mark.parametrize(
    "name", ["flux-dev", "flux-schnell", "flux-lora", "sdxl-instantid", "z-image-turbo-lora"]
)
def test_a_job_has_the_same_pixels_with_our_loaders(maker: Maker, name: str) -> None:
    ours = replace(maker, options={"attention": Attention.COMFYUI, "speed": Speed.EAGER})

    assert ours.pixels(CASES[name]) == maker.pixels(CASES[name])


def test_a_lora_leaves_no_trace_in_the_next_job(maker: Maker) -> None:
    ours = replace(maker, options={"attention": Attention.COMFYUI, "speed": Speed.EAGER})
    before = ours.pixels(CASES["flux-dev"], seed=1)
    with_lora = ours.pixels(CASES["flux-lora"], seed=1)

    assert ours.pixels(CASES["flux-dev"], seed=1) == before
    assert with_lora != before


def test_pictures_go_on_while_blocks_are_compiled_and_are_the_same_but_for_rounding(
    maker: Maker,
) -> None:
    ours = replace(maker, options={"attention": Attention.COMFYUI, "speed": Speed.COMPILED})
    until, seed = time.monotonic() + 300, 100
    compiled = False
    while not compiled:
        assert time.monotonic() < until
        time.sleep(1)  # else nothing is ever idle, and the compiler has no processor
        seed += 1
        made = ours.make(CASES["flux-dev"], seed=seed)
        assert made.pixels is not None
        ours_rgb, compiled = made.pixels.rgb, "compiled" in made.pixels.sampled

    own = maker.pixels(CASES["flux-dev"], seed=seed)
    apart = [abs(a - b) for a, b in zip(own, ours_rgb, strict=True)]
    assert sum(apart) / len(apart) < 0.5
    assert max(apart) <= 3


def cached(name: str, threshold: float, steps: int = 8) -> Case:
    case = CASES[name]
    return replace(case, fields={**case.fields, "steps": steps, "step_cache": threshold})


@pytest.mark.parametrize("speed", [Speed.STOCK, Speed.EAGER])
@pytest.mark.parametrize("name", ["flux-dev", "flux-lora"])
def test_steps_that_are_near_are_not_computed_whole(maker: Maker, name: str, speed: Speed) -> None:
    ours = replace(maker, options={"attention": Attention.TORCH, "speed": speed})
    off, whole, most = (ours.make(cached(name, at)).pixels for at in (0.0, 1e-9, 1.0))
    assert off is not None
    assert whole is not None
    assert most is not None

    assert whole.rgb == off.rgb  # the hooks alone change nothing
    assert dict(whole.sampled) == {"eager": 8}
    assert dict(off.sampled) == ({} if speed is Speed.STOCK else {"eager": 8})
    assert most.rgb != off.rgb
    assert dict(most.sampled) == {"eager": 3, "cached": 5}  # at most three in a row
    assert ours.pixels(cached(name, 0.0)) == off.rgb


def test_steps_that_are_near_are_not_computed_by_compiled_blocks_either(maker: Maker) -> None:
    ours = replace(maker, options={"attention": Attention.COMFYUI, "speed": Speed.COMPILED})
    until, seed = time.monotonic() + 300, 200
    sampled: dict[str, int] = {}
    while "compiled" not in sampled:
        assert time.monotonic() < until
        time.sleep(1)  # else nothing is ever idle, and the compiler has no processor
        seed += 1
        pixels = ours.make(cached("flux-dev", 1.0), seed=seed).pixels
        assert pixels is not None
        made, sampled = pixels.rgb, dict(pixels.sampled)

    eager = replace(ours, options={"attention": Attention.COMFYUI, "speed": Speed.EAGER})
    own = eager.pixels(cached("flux-dev", 1.0), seed=seed)
    assert sampled == {"compiled": 3, "cached": 5}
    assert max(abs(a - b) for a, b in zip(own, made, strict=True)) <= 3


@pytest.mark.parametrize("flags", [pytest.param("of a route", marks=on_comfyui)])
def test_a_comfyui_without_our_nodes_refuses_a_step_cache(
    flags: str, tmp_path: Path, packs: Path
) -> None:
    with (
        started(tmp_path, with_pack=False, flags=FLAGS[flags]) as bare,
        pytest.raises(NodeMissing, match="RylaStepCache") as refused,
    ):
        maker_on(bare, packs).make(cached("flux-dev", 0.1))

    assert "Leave step_cache out" in str(refused.value.hint)


def test_in_eight_bits_pictures_are_close_and_a_lora_leaves_no_trace(worker: Worker) -> None:
    def made(
        speed: str, strength: float, file: str = BFLOAT16, lora: str = "RylaLora"
    ) -> tuple[bytes, dict[str, int]]:
        graph = with_own_nodes(flux_graph(worker.server, seed=7))
        graph["1"]["inputs"] = {"unet_name": file, "speed": speed}
        graph["lora"]["class_type"] = lora
        graph["lora"]["inputs"]["strength_model"] = strength
        if strength == 0:
            graph["options"]["inputs"]["model"] = ["1", 0]
        with ComfyClient(worker.server.url, output_folder=worker.output_folder) as client:
            done = client.run(graph, prompt_id=str(uuid4()), deadline_s=60)
        (pixels,) = [file.pixels for file in done.files if file.node == "bare"]
        assert pixels is not None
        return pixels.rgb, dict(pixels.sampled)

    exact, sampled = made("eager", 0)
    assert set(sampled) == {"eager"}
    close, sampled = made("fp8", 0)
    assert set(sampled) <= {"fp8-eager", "fp8"}
    assert 0 < mean_apart(exact, close) < 3

    with_lora, _ = made("fp8", 1)
    assert with_lora != close
    assert made("fp8", 0)[0] == close

    by_comfyui, _ = made("fp8", 1, lora="LoraLoaderModelOnly")  # as DoRA and the like go
    assert mean_apart(by_comfyui, with_lora) < mean_apart(close, with_lora) / 2
    assert made("fp8", 0)[0] == close

    _, sampled = made("fp8", 0, file=FLUX["unet"])  # in halves
    assert set(sampled) <= {"eager", "compiled"}


def mean_apart(one: bytes, other: bytes) -> float:
    return sum(abs(a - b) for a, b in zip(one, other, strict=True)) / len(one)


@pytest.mark.parametrize("flags", [pytest.param(each, marks=on_comfyui) for each in FLAGS])
def test_two_kinds_in_turn_load_nothing_again(flags: str, tmp_path: Path, packs: Path) -> None:
    with started(tmp_path, flags=FLAGS[flags]) as worker:
        maker = maker_on(worker, packs, residency=Residency(SIZES, capacity=1_000))
        loads = loads_of(maker, ("flux-dev", "sdxl-instantid") * 3)

    assert min(loads[:2]) > 0
    assert loads[2:] == [0, 0, 0, 0]


@pytest.mark.parametrize("flags", [pytest.param("as it chooses", marks=on_comfyui)])
def test_weights_that_a_prompt_does_not_name_are_let_go(
    flags: str, tmp_path: Path, packs: Path
) -> None:
    """By ComfyUI's own choice of a cache, so it is by being named that they stay."""
    with started(tmp_path, flags=FLAGS[flags]) as worker:
        loads = loads_of(maker_on(worker, packs), ("flux-dev", "sdxl-instantid") * 2)

    assert min(loads) > 0


def loads_of(maker: Maker, names: Sequence[str]) -> list[float]:
    """Seconds that each job's loaders ran; 0 where none did."""
    return [maker.make(CASES[name], seed=at).timings.load for at, name in enumerate(names)]


def test_no_function_of_comfyui_is_replaced(worker: Worker, tmp_path: Path) -> None:
    """Also not while our nodes have run: what they hand to a model is the model's own."""
    ours = with_own_nodes(flux_graph(worker.server))
    with_pack = functions_after(worker.server, ours)
    with started(tmp_path, with_pack=False) as bare:
        without = functions_after(bare.server, flux_graph(bare.server))

    assert {place.partition(".")[0] for place in without} >= {"comfy", "execution", "nodes"}
    assert "comfy.samplers.KSampler.sample" in without
    with_pack = {place: told for place, told in with_pack.items() if not is_of_the_compiler(place)}
    assert {place: told for place, told in with_pack.items() if without.get(place) != told} == {}
    assert with_pack.keys() == without.keys()


def is_of_the_compiler(place: str) -> bool:
    """torch.compile leaves what it made under such names in the modules whose code it compiled."""
    return place.rpartition(".")[2].startswith(("__compiled_fn_", "__resume_at_", "__import_"))


def with_own_nodes(graph: Graph) -> Graph:
    (unet,) = (node for node in graph.values() if node["class_type"] == "UNETLoader")
    unet["class_type"] = "RylaLoadDiffusionModel"
    unet["inputs"] = {"unet_name": unet["inputs"]["unet_name"], "speed": "compiled"}
    lora = {"model": ["1", 0], "lora_name": CASES["flux-lora"].lora, "strength_model": 1.0}
    graph["lora"] = {"class_type": "RylaLora", "inputs": lora}
    options = {"model": ["lora", 0], "attention": "torch", "sigmas_on_processor": True}
    options["recorded"] = False
    graph["options"] = {"class_type": "RylaModelOptions", "inputs": options}
    graph["9"]["inputs"]["model"] = ["options", 0]
    bare = {"images": ["10", 0], "filename_prefix": "ryla/bare"}
    graph["bare"] = {"class_type": "RylaSavePixels", "inputs": bare}
    return graph


def functions_after(server: Server, graph: Graph) -> dict[str, str]:
    """What ComfyUI's modules hold once this graph has run."""
    last: dict[str, Any] = {"class_type": "MicroFunctionTable", "inputs": {"after": ["10", 0]}}
    server.run(graph)
    outputs = server.run({**graph, "functions": last}).history["outputs"]
    told: dict[str, str] = json.loads(outputs["functions"]["text"][0])
    return told


def test_the_table_of_functions_notices_each_way_to_replace_one() -> None:
    def replaced() -> dict[str, str]:
        return function_table.functions({"comfy.made": module})

    module = ModuleType("comfy.made")
    source = "def f(x):\n    return x\nclass C:\n    def m(self):\n        return 1\n"
    exec(source, vars(module))
    before = replaced()
    assert before.keys() == {"comfy.made.f", "comfy.made.C.m"}
    assert replaced() == before

    module.f = lambda x: module.C and x  # type: ignore[attr-defined]
    module.C.m = lambda self: 2

    after = replaced()
    assert {place for place in before if after[place] != before[place]} == before.keys()
