import os
import signal
import textwrap
from pathlib import Path
from threading import enumerate as enumerate_threads
from typing import Any
from uuid import uuid4

import pytest

from config.errors import ComfyStartFailed
from config.settings import Settings
from handlers.comfyui.info import ComfyInfo
from handlers.comfyui.process import ComfyProcess
from handlers.comfyui.standin import standin_folder
from pipeline.worker.comfyui import ComfyServer
from tests.support.comfy_wire import Server, flux_graph
from tests.support.stack import wait_until

FILES = {"unet": "any.safetensors", "clip_l": "any", "t5": "any", "vae": "any"}
GRAPH = flux_graph(Server("standin", "", FILES, "any"))
FORKING = Path(__file__).parents[2] / "support/forking_comfyui"


@pytest.mark.parametrize(
    ("stats", "comfy"),
    [
        (
            {
                "system": {"comfyui_version": "0.8.0"},
                "devices": [{"name": "cuda:0 NVIDIA L40S : cudaMallocAsync"}],
            },
            ComfyInfo("comfyui", "0.8.0", "cuda:0 NVIDIA L40S : cudaMallocAsync"),
        ),
        (
            {"system": {"comfyui_version": "0.8.0", "engine": "standin"}, "devices": []},
            ComfyInfo("standin", "0.8.0", "unknown"),
        ),
        ({}, ComfyInfo("comfyui", None, "unknown")),
    ],
)
def test_a_machine_is_what_it_says_itself(stats: dict[str, Any], comfy: ComfyInfo) -> None:
    assert ComfyInfo.of(stats) == comfy


def test_without_a_comfyui_the_stand_in_is_started_and_stopped(tmp_path: Path) -> None:
    server = ComfyServer(Settings(), work_dir=tmp_path, environ=os.environ)
    comfy = server.start()
    try:
        assert (comfy.engine, comfy.is_comfyui) == ("standin", False)
        server.ensure_running()
        url = server.client.system_stats()
        assert url["system"]["engine"] == "standin"
    finally:
        server.stop()


def test_a_comfyui_on_which_a_prompt_has_ended_well_is_asked_nothing_before_the_next_job(
    tmp_path: Path,
) -> None:
    server = ComfyServer(Settings(), work_dir=tmp_path, environ=os.environ)
    server.start()
    try:
        server.client.run(GRAPH, prompt_id=str(uuid4()), deadline_s=30.0)
        server.client._transport.close()  # a request would raise
        server.ensure_running()
        assert server._process is not None
        assert server._process.pid is not None
        before = server._process.pid
        os.kill(before, signal.SIGKILL)
        assert wait_until(lambda: server._process is not None and not server._process.running)
        with pytest.raises(RuntimeError, match="closed"):
            server.ensure_running()
        assert server._process.pid not in (before, None), "it was started again, and asked"
    finally:
        server.stop()


def test_a_comfyui_that_runs_already_is_used_and_left_alone(tmp_path: Path) -> None:
    with ComfyProcess(standin_folder(), work_dir=tmp_path, environ=os.environ) as running:
        settings = Settings(comfyui_url=running.url)
        server = ComfyServer(settings, work_dir=tmp_path / "unused", environ=os.environ)
        assert server.start().engine == "standin"
        server.stop()
        assert running.running
    assert not (tmp_path / "unused").exists()


@pytest.mark.parametrize(
    ("comfy", "lacking"),
    [
        (ComfyInfo("comfyui", "0.8.0", "cuda:0 NVIDIA L40S : cudaMallocAsync"), False),
        (ComfyInfo("comfyui", "0.8.0", "cpu"), True),
        (ComfyInfo("comfyui", "0.8.0", "unknown"), True),
        (ComfyInfo("standin", "0.8.0", "standin"), False),
    ],
)
def test_only_what_computes_pictures_can_lack_a_gpu(comfy: ComfyInfo, lacking: bool) -> None:
    assert comfy.lacks_gpu is lacking


@pytest.mark.parametrize("forks", [True, False])
def test_a_comfyui_that_forks_can_be_imported_before_there_is_a_gpu(
    tmp_path: Path, forks: bool
) -> None:
    server = ComfyServer(
        Settings(comfyui_dir=FORKING), work_dir=tmp_path, environ=os.environ, forks=forks
    )
    process = server._process
    assert process is not None
    try:
        server.prepare()
        imported = process._launcher
        assert (imported is not None) is forks
        assert not process.running
        assert server.start().comfyui_version == "0.33.0"
        assert process._launcher is imported
    finally:
        server.stop()


MAIN = """
import json, pathlib, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

devices = {devices!r}
count = pathlib.Path(__file__).with_name("starts")
number = len(count.read_text()) if count.exists() else 0
count.write_text("x" * (number + 1))
name = devices[min(number, len(devices) - 1)]

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        told = dict(system=dict(comfyui_version="0.8.0"), devices=[dict(name=name)])
        body = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

port = int(sys.argv[sys.argv.index("--port") + 1])
HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


def comfyui_on(tmp_path: Path, *devices: str, on_gpu: bool = True) -> ComfyServer:
    """One that sees another device at each start."""
    folder = tmp_path / "ComfyUI"
    folder.mkdir()
    (folder / "main.py").write_text(textwrap.dedent(MAIN).format(devices=devices))
    settings = Settings(comfyui_dir=folder)
    return ComfyServer(settings, work_dir=tmp_path / "work", environ=os.environ, on_gpu=on_gpu)


def starts(tmp_path: Path) -> int:
    return len((tmp_path / "ComfyUI/starts").read_text())


@pytest.mark.parametrize(
    ("devices", "on_gpu", "expected"),
    [
        (("cuda:0 NVIDIA L40S : native",), True, 1),
        (("cpu", "cuda:0 NVIDIA L40S : native"), True, 2),
        (("cpu",), False, 1),
    ],
)
def test_a_gpu_that_was_not_seen_is_looked_for_once_more(
    tmp_path: Path, devices: tuple[str, ...], on_gpu: bool, expected: int
) -> None:
    server = comfyui_on(tmp_path, *devices, on_gpu=on_gpu)
    try:
        assert server.start().device == devices[-1]
        assert starts(tmp_path) == expected
    finally:
        server.stop()


def test_a_gpu_that_stays_away_ends_the_start(tmp_path: Path) -> None:
    server = comfyui_on(tmp_path, "cpu")
    try:
        with pytest.raises(ComfyStartFailed, match="no GPU, only 'cpu'"):
            server.start()
        assert starts(tmp_path) == 2
        for _ in range(2):
            with pytest.raises(ComfyStartFailed, match="no GPU"):
                server.ensure_running()  # it runs and answers, on the processor
            assert server.broken
    finally:
        server.stop()


def test_a_gpu_that_is_gone_after_a_restart_fails_the_job(tmp_path: Path) -> None:
    server = comfyui_on(tmp_path, "cuda:0 NVIDIA L40S : native", "cpu")
    try:
        server.start()
        server.ensure_running()
        assert server._process is not None
        assert server._process.pid is not None
        os.kill(server._process.pid, signal.SIGKILL)
        assert wait_until(lambda: server._process is not None and not server._process.running)
        assert not server.broken
        with pytest.raises(ComfyStartFailed, match="no GPU"):
            server.ensure_running()
        assert server.broken
    finally:
        server.stop()


def test_a_job_leaves_no_files_behind(tmp_path: Path) -> None:
    server = ComfyServer(Settings(), work_dir=tmp_path / "work", environ=os.environ)
    inputs, outputs = tmp_path / "work/input", tmp_path / "work/output/ryla"
    for path in (inputs / "face.png", inputs / "other.png", tmp_path / "outside.png"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    for id in ("job-1", "job-2"):
        (outputs / id / "a1").mkdir(parents=True)
    server.clear("job-1", ["face.png", "gone.png", "../../outside.png"])
    server.stop()
    assert sorted(path.name for path in inputs.iterdir()) == ["other.png"]
    assert [path.name for path in outputs.iterdir()] == ["job-2"]
    assert (tmp_path / "outside.png").exists()


def test_a_job_s_files_are_out_of_its_next_attempt_s_way_at_once(tmp_path: Path) -> None:
    server = ComfyServer(Settings(), work_dir=tmp_path, environ=os.environ)
    outputs = tmp_path / "output"
    for attempt in (1, 2):
        (outputs / f"ryla/job-1/a{attempt}").mkdir(parents=True)
        server.clear("job-1", [])
        assert not (outputs / "ryla/job-1").exists()
    server.clear("job-1", [])
    server.stop()
    assert [path.name for path in outputs.iterdir()] == ["ryla"]
    assert not [each for each in enumerate_threads() if each.name.startswith("clear")]


def test_the_folders_of_a_comfyui_that_is_not_ours_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "input").mkdir()
    (tmp_path / "input/face.png").touch()
    settings = Settings(comfyui_url="http://127.0.0.1:1")
    server = ComfyServer(settings, work_dir=tmp_path, environ={})
    server.clear("job-1", ["face.png"])
    server.stop()
    assert (tmp_path / "input/face.png").exists()
