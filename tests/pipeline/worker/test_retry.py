import pytest

from config.gpus import load_gpus
from config.models import load_models
from config.routes import Route, load_routes
from pipeline.worker.retry import next_gpu

GPUS, ROUTES, MODELS = load_gpus(), load_routes(), load_models()
FLUX = ROUTES.route("Flux")


def route(*gpus: str) -> Route:
    return FLUX.model_copy(update={"gpus": gpus})


@pytest.mark.parametrize(
    ("wanted", "given", "following"),
    [
        (("L40S", "A100-80GB", "H100"), "L40S", "A100-80GB"),
        (("L40S", "A100-80GB", "H100"), "A100-80GB", None),  # an H100 has no more memory
        (("L40S", "A100-80GB", "H100"), "H100", None),
        (("H100", "A10", "L40S"), "A10", "H100"),  # the first in order that is larger
        (("A10", "L40S"), "A10", "L40S"),
        (("A10",), "A10", None),
        (("L40S", "H100!"), "L40S", "H100!"),  # as it is asked for, not as the table calls it
    ],
)
def test_the_next_gpu_is_the_first_of_the_route_with_more_memory(
    wanted: tuple[str, ...], given: str, following: str | None
) -> None:
    assert next_gpu(route(*wanted), GPUS.gpu(given), GPUS) == following


def test_a_machine_of_ones_own_has_no_next_gpu() -> None:
    assert next_gpu(FLUX, GPUS.gpu("none"), GPUS) is None
    assert next_gpu(FLUX, GPUS.identify("NVIDIA GeForce GTX 970"), GPUS) is None
