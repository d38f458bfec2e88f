import os
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from handlers.comfyui.process import ComfyProcess
from handlers.comfyui.standin import standin_folder
from pipeline.studio import ComfyServer, Machine


@pytest.mark.parametrize(
    ("stats", "machine"),
    [
        (
            {
                "system": {"comfyui_version": "0.8.0"},
                "devices": [{"name": "cuda:0 NVIDIA L40S : cudaMallocAsync"}],
            },
            Machine("comfyui", "0.8.0", "cuda:0 NVIDIA L40S : cudaMallocAsync"),
        ),
        (
            {"system": {"comfyui_version": "0.8.0", "engine": "standin"}, "devices": []},
            Machine("standin", "0.8.0", "unknown"),
        ),
        ({}, Machine("comfyui", None, "unknown")),
    ],
)
def test_a_machine_is_what_it_says_itself(stats: dict[str, Any], machine: Machine) -> None:
    assert Machine.of(stats) == machine


def test_without_a_comfyui_the_stand_in_is_started_and_stopped(tmp_path: Path) -> None:
    server = ComfyServer(Settings(), work_dir=tmp_path, environ=os.environ)
    machine = server.start()
    try:
        assert (machine.engine, machine.is_comfyui) == ("standin", False)
        server.ensure_running()
        url = server.client.system_stats()
        assert url["system"]["engine"] == "standin"
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
