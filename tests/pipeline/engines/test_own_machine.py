from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from config.errors import InvalidSetting
from config.settings import Settings
from pipeline.dispatcher.survey import free_slots
from pipeline.engines.machine import GIB, Card, Machine
from pipeline.engines.own_machine import main_memory, on_this_machine, own_machine
from pipeline.runtime import load_runtime
from pipeline.worker.gpu import SeenCard

A10 = SeenCard("0", "GPU-1a", "NVIDIA A10", 23028 * 2**20)
H100 = SeenCard("1", "GPU-2b", "NVIDIA H100 80GB HBM3", 81559 * 2**20)


def machine(*seen: SeenCard, environ: dict[str, str] | None = None, **settings: Any) -> Machine:
    runtime = load_runtime(Settings(**settings), "local")
    return own_machine(runtime, environ or {}, lambda: seen)


def memories(found: Machine) -> list[int | None]:
    return [None if each.card.memory is None else each.card.memory // 2**20 for each in found.cards]


def test_the_stand_in_fits_anywhere_and_the_driver_is_not_asked() -> None:
    found = machine(A10)
    assert memories(found) == [None]
    assert set(found.cards[0].shares) == {"Flux", "InstantId", "ZImage"}


def test_the_driver_tells_the_memory_where_a_comfyui_is_started(tmp_path: Path) -> None:
    own: dict[str, Any] = {"comfyui_dir": tmp_path, "main_memory_gib": 500}
    assert memories(machine(A10, H100, **own)) == [23028]
    assert memories(machine(A10, H100, environ={"CUDA_VISIBLE_DEVICES": "1"}, **own)) == [81559]
    found = machine(A10, H100, gpus="1,GPU-1a,7", gpu_reserve_gib=1, **own)
    assert memories(found) == [80535, 22004, None]
    assert found.cards[0].card.title == "GPU 1 (H100)"


def test_what_is_stated_goes_over_it() -> None:
    found = machine(gpus="0,1", gpu_memory_gib="16,80")
    assert [set(each.shares) for each in found.cards] == [
        {"InstantId"},
        {"Flux", "InstantId", "ZImage"},
    ]


def test_main_memory_is_asked_of_the_system_where_weights_go_to_a_known_card(
    tmp_path: Path,
) -> None:
    known, unknown = [Card("0", 80 * GIB)], [Card("0")]
    own = Settings(comfyui_dir=tmp_path)
    assert main_memory(Settings(), known) is None
    assert main_memory(own, unknown) is None
    assert (main_memory(own, known) or 0) > GIB // 2
    assert main_memory(Settings(main_memory_gib=2), unknown) == 2 * GIB


def test_a_comfyui_without_a_gpu_serves_all_however_little_memory_there_is(tmp_path: Path) -> None:
    assert not machine(comfyui_dir=tmp_path).misfits


def test_a_forced_route_must_be_one() -> None:
    with pytest.raises(InvalidSetting, match="names no route: Fux") as error:
        machine(forced_routes="Fux")
    assert "Flux" in (error.value.hint or "")


def test_a_dispatcher_claims_no_job_of_a_route_that_its_machine_does_not_serve() -> None:
    usual = load_runtime(Settings(gpu_memory_gib="16"), "local")
    with capture_logs() as logs:
        runtime, _ = on_this_machine(usual, {})
    assert runtime.unclaimed_routes == {"Flux", "ZImage"}
    assert free_slots(runtime, []).free == {"Flux": 0, "InstantId": 16, "ZImage": 0}
    assert [each["event"] for each in logs] == ["route_not_served"] * 2
    assert "34.6 GiB" in logs[0]["why"]


def test_another_platform_of_the_route_takes_its_jobs_all_the_same() -> None:
    usual = load_runtime(Settings(platforms="local,modal"), "local")
    routes = dict(usual.routes.routes)
    routes["Flux"] = routes["Flux"].model_copy(update={"platforms": ("local", "modal")})
    runtime = replace(
        usual,
        routes=usual.routes.model_copy(update={"routes": routes}),
        misfits=frozenset({"Flux", "ZImage"}),
    )
    assert runtime.unclaimed_routes == {"ZImage"}
