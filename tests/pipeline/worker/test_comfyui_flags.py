import pytest

from config.tables import Gpu, WeightFile, load_gpus, load_models, load_routes
from pipeline.worker.comfyui_flags import kinds_on, memory_flags, sets_on, takes_loras

GPUS, ROUTES, MODELS = load_gpus(), load_routes(), load_models()
FLUX = ROUTES.route("Flux")


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
