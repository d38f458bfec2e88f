from pathlib import Path

import pytest

from config.errors import InvalidSetting
from config.gpus import load_gpus
from config.routes import load_routes
from tests.config.own_tables import written


def test_every_route_can_be_estimated_on_its_first_gpu() -> None:
    gpus = load_gpus()
    routes = load_routes(gpus=gpus).routes

    assert set(routes) == {"Flux", "InstantId", "ZImage"}
    for route in routes.values():
        assert gpus.gpu(route.gpus[0]).peak_tflops is not None


def test_flux_runs_only_on_cards_that_hold_it() -> None:
    gpus = load_gpus()

    for name in load_routes().route("Flux").gpus:
        assert (gpus.gpu(name).memory_gib or 0) >= 48


def test_a_route_on_a_gpu_of_no_row_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, '[routes.Flux]\ngpus = ["T4", "L40"]')

    with pytest.raises(InvalidSetting) as caught:
        load_routes(path)

    assert caught.value.field == "routes.Flux.gpus"
    assert caught.value.value == "L40"
    assert str(path) in caught.value.message
    assert caught.value.hint == "Did you mean L40S?"


@pytest.mark.parametrize(
    ("name", "hint"),
    [("modall", "Did you mean modal?"), ("aws", "Known: local, modal, runpod.")],
)
def test_a_route_on_a_platform_that_there_is_not_is_refused(
    tmp_path: Path, name: str, hint: str
) -> None:
    path = written(tmp_path, f'[routes.Flux]\nplatforms = ["runpod", "{name}"]')
    with pytest.raises(InvalidSetting) as caught:
        load_routes(path)
    error = caught.value
    assert (error.field, error.value, error.hint) == ("routes.Flux.platforms", name, hint)
    assert str(path) in error.message


@pytest.mark.parametrize(
    "text",
    [
        'platforms = ["modal", "modal"]',
        'regions = ["EU"]',
        'comfyui_flags = ["--port", "80"]',
        'comfyui_flags = ["--listen=0.0.0.0"]',
    ],
)
def test_what_would_be_accepted_to_no_good_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidSetting, match=r"routes\.Flux"):
        load_routes(written(tmp_path, f"[routes.Flux]\n{text}"))


def test_a_route_can_be_forced_onto_another_card(tmp_path: Path) -> None:
    route = load_routes(written(tmp_path, '[routes.Flux]\ngpus = ["T4"]')).route("Flux")

    assert route.gpus == ("T4",)
    assert route.timeout_s == 600


@pytest.mark.parametrize(
    "text", ["gpus = []", "idle_s = 1", "max_in_flight = 0", "snapshot = 'on'"]
)
def test_a_route_out_of_range_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidSetting, match=r"routes\.Flux\."):
        load_routes(written(tmp_path, f"[routes.Flux]\n{text}"))


def test_an_unknown_route_is_an_error() -> None:
    with pytest.raises(InvalidSetting, match="no route named 'Sdxl'"):
        load_routes().route("Sdxl")


def test_a_route_keeps_no_more_containers_than_it_may_have(tmp_path: Path) -> None:
    own = tmp_path / "routes.toml"
    own.write_text("[routes.Flux]\nmin_containers = 9\n")
    with pytest.raises(InvalidSetting, match="min_containers 9 is more than max_containers 8"):
        load_routes(own)
