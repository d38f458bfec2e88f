import pytest

from config.tables import Gpu, Route, WeightFile, load_gpus, load_models, load_routes
from pipeline.worker.gpu import gpu_name, kinds_on, memory_flags, next_gpu, sets_on, takes_loras

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


def flags(gpu: Gpu | None, name: str = "Flux", **options: object) -> tuple[str, ...]:
    sets = [tuple(MODELS.weights(each).values()) for each in sets_on(name)]
    values = {"loras": takes_loras(name), **options}
    return memory_flags(gpu, sets, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("gpu", "name", "expected"),
    [
        ("L40S", "Flux", ()),  # 53 GB with a LoRA's originals
        ("A100-80GB", "Flux", ("--gpu-only",)),
        ("H100", "Flux", ("--gpu-only",)),
        ("A10", "Flux", ()),
        ("L40S", "ZImage", ("--gpu-only",)),
        ("L40S", "InstantId", ()),  # no LoRA is ever switched there
        ("none", "Flux", ()),
    ],
)
def test_everything_stays_on_the_gpu_where_loras_are_switched_and_fit(
    gpu: str, name: str, expected: tuple[str, ...]
) -> None:
    assert flags(GPUS.gpu(gpu), name) == expected


def test_an_unknown_gpu_is_left_to_comfyui() -> None:
    assert flags(None) == ()


@pytest.mark.parametrize("flag", ["--lowvram", "--highvram", "--cpu"])
def test_an_operator_who_chose_is_not_overruled(flag: str) -> None:
    assert flags(GPUS.gpu("H100"), given=("--disable-mmap", flag)) == ()


def test_weights_of_unknown_size_are_not_said_to_fit() -> None:
    weights = MODELS.weights("flux-dev")
    unknown: list[WeightFile] = [
        weight.model_copy(update={"bytes": None}) for weight in weights.values()
    ]
    assert memory_flags(GPUS.gpu("H100"), [unknown], loras=True) == ()
    assert memory_flags(GPUS.gpu("H100"), [], loras=True) == ()


def test_a_route_has_the_sets_of_its_kinds_its_main_one_first() -> None:
    assert kinds_on("Flux")[0] == "flux-dev"
    assert sets_on("Flux")[0] == "flux-dev"
    assert {"flux-schnell", "sdxl-instantid"} <= set(sets_on("Flux"))
    assert sets_on("InstantId") == ("sdxl-instantid", "antelopev2")


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
