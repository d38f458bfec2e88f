from pathlib import Path

import pytest

from config.errors import MissingModel
from config.models import load_models
from handlers.kinds.sdxl_weights import names, sdxl_weights, sha256s

MODELS = load_models()
REALVIS = "RealVisXL_V4.0.safetensors"


def test_without_a_wish_the_set_s_own_checkpoint_is_taken() -> None:
    weights = sdxl_weights(None, MODELS)

    assert names(weights)["checkpoint"] == "sd_xl_base_1.0.safetensors"
    assert names(weights).keys() == {"checkpoint", "instantid", "controlnet"}
    assert sha256s(weights).keys() == {*names(weights).values()}


@pytest.mark.parametrize("name", [REALVIS, "realvisxl_v4"])
def test_another_checkpoint_of_the_table_is_taken_by_file_or_name(name: str) -> None:
    assert names(sdxl_weights(name, MODELS))["checkpoint"] == REALVIS


def test_a_checkpoint_is_taken_by_its_name_whichever_version_of_it_is_in_use(
    tmp_path: Path,
) -> None:
    file = tmp_path / "models.toml"
    file.write_text(f'[weights.realvisxl_v4]\nfile = "912c9dc74f58/{REALVIS}"')

    weights = sdxl_weights(REALVIS, load_models(file))

    assert names(weights)["checkpoint"] == f"912c9dc74f58/{REALVIS}"


@pytest.mark.parametrize("name", ["nope.safetensors", "flux1-schnell-fp8.safetensors"])
def test_a_checkpoint_that_the_table_lacks_is_refused(name: str) -> None:
    with pytest.raises(MissingModel, match="no SDXL checkpoint") as caught:
        sdxl_weights(name, MODELS)

    assert caught.value.hint is not None
    assert "sd_xl_base_1.0.safetensors" in caught.value.hint
