import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from config.settings import Settings
from pipeline.models.loads import Source
from pipeline.runtime import RuntimeConfig, load_runtime
from pipeline.worker.gpu import seen_gpu, wants_gpu
from pipeline.worker.setup import WorkerSetup, set_up


def runtime(engine: str = "local", **settings: Any) -> RuntimeConfig:
    return load_runtime(Settings.model_validate(settings), engine)


def rigged(runtime: RuntimeConfig, tmp_path: Path, route: str = "Flux") -> WorkerSetup:
    return set_up(runtime, runtime.routes.route(route), environ={}, work_dir=tmp_path / "work")


def flags(set_up: WorkerSetup) -> tuple[str, ...]:
    assert set_up.server._process is not None
    return set_up.server._process._flags


@pytest.fixture
def comfyui(tmp_path: Path) -> Path:
    folder = tmp_path / "ComfyUI"
    (folder / "models/vae").mkdir(parents=True)
    (folder / "models/vae/ae.safetensors").write_bytes(b"weights")
    return folder


def test_comfyui_gets_the_flags_of_its_route(comfyui: Path, tmp_path: Path) -> None:
    here = runtime(comfyui_dir=comfyui, state_dir=tmp_path)
    assert flags(rigged(here, tmp_path)) == here.routes.route("Flux").comfyui_flags
    assert not rigged(here, tmp_path).server._on_gpu
    assert rigged(replace(here, platform="modal"), tmp_path).server._on_gpu


def test_comfyui_leaves_of_its_gpu_what_others_take(comfyui: Path, tmp_path: Path) -> None:
    shared = runtime(comfyui_dir=comfyui, state_dir=tmp_path, gpu_reserve_gib=35.2)
    assert flags(rigged(shared, tmp_path))[-2:] == ("--reserve-vram", "35.200")
    standin = runtime(state_dir=tmp_path, gpu_reserve_gib=35.2)
    assert "--reserve-vram" not in flags(rigged(standin, tmp_path))


def test_the_stand_in_reads_no_weights(tmp_path: Path) -> None:
    made = rigged(runtime(state_dir=tmp_path, models_dir=tmp_path), tmp_path)
    assert made.preload._paths == []
    assert made.files_of("flux-dev") == set()


def test_the_weights_of_a_route_are_read_from_where_comfyui_reads_them(
    comfyui: Path, tmp_path: Path
) -> None:
    made = rigged(runtime(comfyui_dir=comfyui, state_dir=tmp_path), tmp_path)
    file = comfyui / "models/vae/ae.safetensors"
    assert made.preload._paths == [file]
    assert file in made.files_of("flux-dev")
    assert file not in made.files_of("flux-schnell")
    assert made.files_of("no-kind") == set()


def test_a_models_folder_of_its_own_is_made_known_to_comfyui(comfyui: Path, tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    (volume / "insightface").mkdir(parents=True)
    here = runtime(comfyui_dir=comfyui, models_dir=volume, state_dir=tmp_path)
    made = rigged(here, tmp_path)
    told = json.loads((tmp_path / "work/model_paths.yaml").read_text())["ryla"]
    assert told["checkpoints"] == str(volume / "checkpoints")
    assert told["loras"].splitlines()[-1] == str(volume / "loras")
    assert all(Path(folder).is_dir() for folder in told["loras"].splitlines()[:-1])
    assert (comfyui / "models/insightface").resolve() == volume / "insightface"
    assert made.loads.folder == volume


@pytest.mark.parametrize(
    ("engine", "gpu", "wanted"),
    [
        ("local", None, False),
        ("local", "none", False),
        ("local", "L40S", True),
        ("modal", None, True),
        ("modal", "L40S", True),
    ],
)
def test_a_platforms_worker_and_a_named_gpu_must_be_seen(
    engine: str, gpu: str | None, wanted: bool
) -> None:
    assert wants_gpu(runtime(engine, gpu=gpu)) is wanted


def test_an_upgrade_by_the_platform_is_billed_as_what_it_is() -> None:
    deployed = runtime("modal")
    route = deployed.routes.route("Flux")
    with capture_logs() as logs:
        assert seen_gpu(deployed, route, "cuda:0 NVIDIA L40S : native").name == "L40S"
        assert logs == []
        assert seen_gpu(deployed, route, "cuda:0 NVIDIA H200 : native").name == "H200"
    assert [line["event"] for line in logs] == ["another_gpu"]


def test_a_gpu_that_the_table_does_not_know_yet_is_not_free_on_a_platform() -> None:
    deployed, own = runtime("modal"), runtime()
    route, device = deployed.routes.route("Flux"), "cuda:0 NVIDIA H300 : native"
    seen = seen_gpu(deployed, route, device)
    assert (seen.name, seen.billed) == ("NVIDIA H300", True)
    assert seen.usd_per_second == deployed.gpus.gpu("H100").usd_per_second
    assert not seen_gpu(own, route, device).billed
    assert not seen_gpu(deployed, route, "stand-in").billed


def test_on_a_platform_weights_come_from_its_volume(comfyui: Path, tmp_path: Path) -> None:
    deployed = runtime("modal", comfyui_dir=comfyui, state_dir=tmp_path)
    (vae,) = rigged(deployed, tmp_path).loads.first(["ae.safetensors"], 1.0)
    assert vae.source is Source.VOLUME
