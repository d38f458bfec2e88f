import hashlib
from pathlib import Path
from typing import Any

import pytest

from config.errors import DiskFull, InvalidInput
from config.models import load_models
from pipeline.models import overlay
from pipeline.models.add import Added, add
from pipeline.models.sets import active_sets
from tests.support.safetensors_files import Spec, safetensors

FLUX = safetensors({"double_blocks.0.img_attn.qkv.weight": Spec((12, 4))})
SDXL = safetensors({"model.diffusion_model.input_blocks.0.0.weight": Spec((4, 4))})


def added(tmp_path: Path, body: bytes = FLUX, name: str = "flux-dev-uncensored") -> Added:
    file = tmp_path / "own.safetensors"
    file.write_bytes(body)
    return add(file, name, load_models(), tmp_path / "models", **terms())


def terms(**changes: Any) -> dict[str, Any]:
    return {"licence": "ours", "commercial_use": False, "on_bytes": lambda done: None, **changes}


def test_an_own_checkpoint_becomes_a_set_beside_the_one_it_replaces(tmp_path: Path) -> None:
    done = added(tmp_path)
    overlay.write(tmp_path / "models.toml", done.changes)

    models = load_models(tmp_path / "models.toml")
    roles = models.weights("flux-dev-uncensored")
    assert roles["unet"].file == "flux-dev-uncensored.safetensors"
    assert roles["unet"].sha256 == hashlib.sha256(FLUX).hexdigest()
    assert roles["unet"].repository is None
    assert roles["vae"] == models.weights("flux-dev")["vae"]
    assert done.path == tmp_path / "models/diffusion_models/flux-dev-uncensored.safetensors"
    assert done.path.read_bytes() == FLUX
    assert [each.name for each in done.path.parent.iterdir()] == [done.path.name]
    assert "flux-dev-uncensored" in active_sets(models)


def test_a_checkpoint_with_everything_in_it_takes_the_checkpoints_role(tmp_path: Path) -> None:
    done = added(tmp_path, SDXL, "sdxl-instantid-uncensored")

    assert done.path.parent.name == "checkpoints"
    assert done.changes["sets", "sdxl-instantid-uncensored"] == {
        "checkpoint": "sdxl-instantid-uncensored",
        "instantid": "instantid_adapter",
        "controlnet": "instantid_controlnet",
    }


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (SDXL, "holds no flux model"),
        (b"\x80\x02}q\x00." * 20, "is a pickle"),
        (b"", "the file is empty"),
    ],
    ids=["another family", "pickle", "empty"],
)
def test_what_is_no_checkpoint_of_the_family_is_refused(
    body: bytes, said: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match=said):
        added(tmp_path, body)

    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("name", ["flux-dev-uncensord", "antelopev2-uncensored", "flux-dev"])
def test_a_name_that_is_no_variant_is_refused_with_those_that_are(
    name: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput) as caught:
        added(tmp_path, name=name)

    assert "flux-dev-uncensored, flux-schnell-uncensored" in str(caught.value.hint)
    assert "antelopev2" not in str(caught.value.hint)


def test_a_disk_too_small_is_found_before_copying(tmp_path: Path) -> None:
    file = tmp_path / "own.safetensors"
    file.write_bytes(FLUX)

    with pytest.raises(DiskFull):
        add(
            file,
            "flux-dev-uncensored",
            load_models(),
            tmp_path / "models",
            **terms(free=lambda folder: 2**30),
        )

    assert not (tmp_path / "models").exists()
