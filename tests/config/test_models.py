from pathlib import Path

import pytest

from config.errors import InvalidSetting, MissingModel
from config.models import load_models
from tests.config.own_tables import written


def test_the_sets_of_the_flux_kinds_name_their_files_by_role() -> None:
    models = load_models()

    dev = models.weights("flux-dev")
    assert {role: weight.file for role, weight in dev.items()} == {
        "unet": "flux1-dev.safetensors",
        "clip_l": "clip_l.safetensors",
        "t5": "t5xxl_fp16.safetensors",
        "vae": "ae.safetensors",
    }
    assert models.weights("flux-schnell")["checkpoint"].folder == "checkpoints"
    assert not dev["unet"].commercial_use


def test_a_set_that_is_not_listed_is_a_missing_model_with_the_way_to_list_it() -> None:
    with pytest.raises(MissingModel) as caught:
        load_models().weights("flux-dev-uncensored")

    assert "[sets.flux-dev-uncensored]" in (caught.value.hint or "")
    assert "RYLA_MODELS_FILE" in (caught.value.hint or "")


OWN_CHECKPOINT = """
[weights.own]
folder = "diffusion_models"
file = "own/flux.safetensors"
family = "flux"
revision = ""
sha256 = ""
licence = "own"
commercial_use = true
[sets.flux-own]
unet = "own"
clip_l = "clip_l"
t5 = "t5xxl_fp16"
vae = "ae"
"""


def test_an_operator_adds_a_checkpoint_of_unknown_origin(tmp_path: Path) -> None:
    models = load_models(written(tmp_path, OWN_CHECKPOINT))

    own = models.weights("flux-own")["unet"]
    assert (own.repository, own.revision, own.sha256, own.bytes) == (None, None, None, None)
    assert models.weights("flux-dev")["unet"].file == "flux1-dev.safetensors"


def test_a_fingerprint_changes_with_a_files_checksum_and_with_nothing_else(tmp_path: Path) -> None:
    packaged = load_models()
    note = load_models(written(tmp_path, '[weights.flux1-dev]\nlicence = "another"'))
    other = load_models(written(tmp_path, f'[weights.flux1-dev]\nsha256 = "{"0" * 64}"'))

    assert note.fingerprint("flux-dev") == packaged.fingerprint("flux-dev")
    assert other.fingerprint("flux-dev") != packaged.fingerprint("flux-dev")
    assert other.fingerprint("flux-schnell") == packaged.fingerprint("flux-schnell")


def test_a_fingerprint_is_the_same_wherever_the_file_lies(tmp_path: Path) -> None:
    aside = load_models(written(tmp_path, '[weights.ae]\nfile = "afc8e28272cd/ae.safetensors"'))

    assert aside.weights_by_name["ae"].base_name == "ae.safetensors"
    assert aside.fingerprint("flux-dev") == load_models().fingerprint("flux-dev")


def test_sets_are_found_by_their_files() -> None:
    models = load_models()
    files = [weight.file for weight in models.weights("flux-dev").values()]

    assert models.fingerprints([*files, "more"]) == {"flux-dev": models.fingerprint("flux-dev")}
    assert models.fingerprints(files[1:]) == {}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('[sets.flux-dev]\nunet = "gone"', r"\[sets\.flux-dev\] unet names no \[weights\.gone\]"),
        ('[weights.ae]\nfile = "../../etc/passwd"', "leaves its folder"),
        ('[weights.ae]\nfile = "/etc/passwd"', "leaves its folder"),
        ('[weights.ae]\nfolder = "../vae"', "weights.ae.folder"),
        ('[weights.ae]\nsha256 = "abc"', "weights.ae.sha256"),
        ('[weights.ae]\nrevision = "main"', "weights.ae.revision"),
        ("[weights.ae]\nrevision = 5", "weights.ae.revision"),
        ('[weights.ae]\nfamily = "sd15"', "weights.ae.family"),
    ],
)
def test_a_wrong_row_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(InvalidSetting, match=complaint):
        load_models(written(tmp_path, text))
