import pytest

from config.gpus import load_gpus
from config.routes import load_routes
from pipeline.worker.gpu import gpu_name, speed_of


@pytest.mark.parametrize(
    ("script", "name"),
    [
        ("echo NVIDIA L40S", "NVIDIA L40S"),
        ("echo 'NVIDIA H100 80GB HBM3'; echo 'NVIDIA H100 80GB HBM3'", "NVIDIA H100 80GB HBM3"),
        ("echo 'No devices were found'; exit 6", None),
        ("true", None),
        ("echo", None),
    ],
)
def test_the_driver_is_asked_for_the_first_gpu(script: str, name: str | None) -> None:
    assert gpu_name(("/bin/sh", "-c", script)) == name


def test_without_a_driver_there_is_no_gpu() -> None:
    assert gpu_name(("no-such-program",)) is None


@pytest.mark.parametrize(
    ("asked", "card", "speed"),
    [
        ("measured", "H200", "compiled"),
        ("measured", "A10", "stock"),
        ("compiled", "A10", "compiled"),
        ("stock", "H200", "stock"),
        ("fp8", "L40S", "fp8"),
    ],
)
def test_a_route_is_sampled_as_it_says_or_as_was_measured_on_the_card(
    asked: str, card: str, speed: str
) -> None:
    route = load_routes().route("Flux").model_copy(update={"speed": asked})

    assert speed_of(route, load_gpus().gpu(card)) == speed
