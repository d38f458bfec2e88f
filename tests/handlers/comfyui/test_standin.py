"""What the stand-in has of its own; that it is like ComfyUI is said in tests/comfyui."""

import os
import uuid
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from config.errors import (
    ComfyDied,
    ComfyError,
    ComfyUnavailable,
    NodeFailed,
    OutOfMemory,
    OutputsMissing,
)
from handlers.comfyui.client import ComfyClient
from handlers.comfyui.process import ComfyProcess
from handlers.comfyui.standin import standin_folder
from handlers.comfyui.standin.faults import Fault, read
from handlers.comfyui.standin.options import Options, parse
from handlers.comfyui.standin.server import running
from tests.support.comfy_wire import Server, flux_graph

FLUX = {"unet": "any.safetensors", "clip_l": "any", "t5": "any", "vae": "any"}


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    options = Options.under(tmp_path_factory.mktemp("faulty"), allow_faults=True, step_seconds=0.0)
    with running(options) as url:
        yield Server("standin", url, FLUX, "any")


def graph(server: Server, fault: str, prefix: str = "ryla/j1/a1/x") -> dict[str, Any]:
    return flux_graph(server, text=f"a cat [[fault:{fault}]]", prefix=prefix)


def run_client(server: Server, fault: str) -> Any:
    with ComfyClient(server.url) as client:
        return client.run(graph(server, fault), prompt_id=str(uuid.uuid4()), deadline_s=20)


@pytest.mark.parametrize(
    ("fault", "error"),
    [("error", NodeFailed), ("oom", OutOfMemory), ("drop-output", OutputsMissing)],
)
def test_an_ordered_fault_is_the_clients_named_error(
    faulty: Server, fault: str, error: type[ComfyError]
) -> None:
    with pytest.raises(error):
        run_client(faulty, fault)


def test_garbage_is_saved_in_the_place_of_a_picture(faulty: Server) -> None:
    run = faulty.run(graph(faulty, "garbage-output"))

    body = faulty.get("/view", **run.images[0]).content

    with pytest.raises(OSError, match="cannot identify"):
        Image.open(BytesIO(body))


def test_a_hung_sampler_hears_no_interrupt(tmp_path: Path) -> None:
    with running(Options.under(tmp_path, allow_faults=True)) as url:
        server = Server("standin", url, FLUX, "any")
        prompt_id = server.prompt(graph(server, "hang")).json()["prompt_id"]
        server.post("/interrupt", {"prompt_id": prompt_id})

        assert [row[1] for row in server.get("/queue").json()["queue_running"]] == [prompt_id]
        assert server.history(prompt_id) == {}


def test_a_fault_may_be_of_one_attempt_alone(faulty: Server) -> None:
    first = faulty.run(graph(faulty, "error@1", prefix="ryla/j1/a1/x"))
    second = faulty.run(graph(faulty, "error@1", prefix="ryla/j1/a2/x"))

    assert first.history["status"]["status_str"] == "error"
    assert second.history["status"]["status_str"] == "success"


def test_a_fault_that_does_not_exist_is_a_mistake_of_the_test(faulty: Server) -> None:
    assert faulty.prompt(graph(faulty, "no-such-fault")).status_code == 500
    with pytest.raises(ValueError, match="no-such-fault"):
        read(graph(faulty, "no-such-fault"))


def test_values_of_faults_are_read(faulty: Server) -> None:
    ordered = read(graph(faulty, "slow=1.5"))

    assert Fault.SLOW in ordered
    assert ordered.extra_seconds == 1.5


def test_a_batch_and_a_video_are_rendered(faulty: Server) -> None:
    nodes = flux_graph(faulty, prefix="v/x")
    nodes["6"]["inputs"]["batch_size"] = 3
    nodes["save"] = {
        "class_type": "SaveAnimatedWEBP",
        "inputs": {
            "images": ["10", 0],
            "filename_prefix": "v/x",
            "fps": 8.0,
            "lossless": False,
            "quality": 80,
            "method": "default",
        },
    }

    run = faulty.run(nodes)

    assert run.history["outputs"]["save"]["animated"] == [True]
    with Image.open(BytesIO(faulty.get("/view", **run.images[0]).content)) as image:
        assert getattr(image, "n_frames", 1) == 3


def test_without_the_flag_faults_are_just_text(tmp_path: Path) -> None:
    with running(Options.under(tmp_path, step_seconds=0.0, metadata=False)) as url:
        server = Server("standin", url, FLUX, "any")
        run = server.run(graph(server, "error"))

    assert run.history["status"]["status_str"] == "success"
    with Image.open(tmp_path / "output" / "ryla/j1/a1/x_00001_.png") as image:
        assert image.info == {}  # metadata was disabled


def test_comfyuis_flags_are_taken_and_unknown_ones_ignored(tmp_path: Path) -> None:
    options = parse(
        f"--listen 127.0.0.1 --port 81 --base-directory {tmp_path} --disable-metadata"
        f" --temp-directory {tmp_path}/t --disable-mmap --extra-model-paths-config x.yaml".split()
    )

    assert (options.port, options.metadata) == (81, False)
    assert options.output == tmp_path / "output"
    assert options.temp == tmp_path / "t" / "temp"
    assert options.ignored == ("--disable-mmap", "--extra-model-paths-config", "x.yaml")


def test_it_is_started_and_supervised_like_comfyui_and_may_die(tmp_path: Path) -> None:
    process = ComfyProcess(
        standin_folder(),
        work_dir=tmp_path,
        environ=os.environ,
        flags=["--disable-mmap", "--allow-faults", "--step-seconds", "0"],
    )
    process.start()
    try:
        server = Server("standin", process.url, FLUX, "any")
        assert server.run(flux_graph(server, prefix="p/x")).images
        assert (process.output_folder / "p" / "x_00001_.png").is_file()
        assert any("ignores" in line and "--disable-mmap" in line for line in process.log_tail())
        with pytest.raises((ComfyDied, ComfyUnavailable)):
            run_client(server, "die")
        process.ensure_running()
        assert server.get("/history").json() == {}
    finally:
        process.stop()
    with pytest.raises(httpx.ConnectError):
        server.get("/queue")


def test_a_view_may_be_ordered_wrong_without_the_flag_and_by_one_seed_alone() -> None:
    graph = {"1": {"inputs": {"text": "a [[fault:wrong-view=7]] head [[fault:die]]"}}}
    faults = read(graph, allowed=False)
    assert [*faults.ordered] == [Fault.WRONG_VIEW]
    assert [faults.turn_wrong(seed) for seed in (7, 8)] == [True, False]
    always = read({"1": {"inputs": {"text": "[[fault:wrong-view]]"}}}, allowed=False)
    assert always.turn_wrong(8)
