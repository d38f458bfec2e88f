import pytest

from config.gpus import load_gpus
from config.routes import load_routes
from pipeline.worker.gpu import SeenCard, gpu_name, seen_cards, speed_of


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


def test_all_gpus_are_told_with_their_memory() -> None:
    lines = (
        "0, GPU-1a2b, 23028, NVIDIA A10",
        "1, GPU-3c4d, [N/A], NVIDIA H200, in parts",
        "rubbish",
    )
    script = "; ".join(f"echo '{line}'" for line in lines)

    found = seen_cards(("/bin/sh", "-c", script))

    assert found == (
        SeenCard("0", "GPU-1a2b", "NVIDIA A10", 23028 * 2**20),
        SeenCard("1", "GPU-3c4d", "NVIDIA H200, in parts", None),
        SeenCard("rubbish", "", "", None),
    )
    assert found[0].is_called("0")
    assert found[0].is_called("GPU-1a")
    assert not found[0].is_called("GPU-3c4d")
    assert not found[0].is_called("1")


@pytest.mark.parametrize("script", ["exit 9", "sleep 30"])
def test_a_driver_that_fails_or_does_not_answer_tells_of_none(
    script: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.worker.gpu.SECONDS", 0.05)
    assert seen_cards(("/bin/sh", "-c", script)) == ()


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
