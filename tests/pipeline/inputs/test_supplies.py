from pathlib import Path
from typing import Any

import pytest

from config.errors import InvalidInput, LoraNotFound
from config.settings import Settings
from handlers.kinds.requirements import LoraFile, RequiredInputs
from pipeline.contract.manifest import Manifest, parse_manifest
from pipeline.inputs.supplies import InputChecker, InputFetcher, required_inputs, supplies
from pipeline.loras.bucket import Sidecar
from pipeline.loras.cache import lora_cache, lora_folder, lora_folders
from pipeline.runtime import load_runtime
from tests.pipeline.loras.support import Bucket, flux_lora
from tests.support.manifests import body

KEY = "loras/character-ann.safetensors"


def manifest(model: str = "flux-lora", **fields: Any) -> Manifest:
    return parse_manifest(body(model=model, input=fields or {"lora_id": "ann"}))


@pytest.fixture
def bucket() -> Bucket:
    return Bucket()


def test_a_job_without_a_lora_needs_nothing(bucket: Bucket) -> None:
    runtime = load_runtime(Settings(), "local")
    plain = manifest("flux-dev", seed=1)

    assert required_inputs(plain, runtime) == RequiredInputs()
    assert InputChecker(bucket.store, runtime).check(plain) is None
    assert required_inputs(manifest(), runtime).lora is not None


def test_a_gate_that_strangers_pass_is_refused_before_a_gpu_starts(
    bucket: Bucket, tmp_path: Path
) -> None:
    runtime = load_runtime(Settings(faces_dir=tmp_path), "local")
    gated = manifest(
        "sdxl-instantid", prompt="x", reference_image="inputs/a.png", min_face_similarity=0.6
    )

    with pytest.raises(InvalidInput, match=r"5 % of strangers .* 0\.888"):
        InputChecker(bucket.store, runtime).check(gated)


def test_before_a_gpu_starts_the_header_is_read_and_the_file_is_not(bucket: Bucket) -> None:
    input_checker = InputChecker(bucket.store, load_runtime(Settings(), "local"))
    with pytest.raises(LoraNotFound):
        input_checker.check(manifest())

    bucket.upload(KEY, flux_lora())
    assert input_checker.check(manifest()) == KEY


def test_another_prefix_is_another_shelf(bucket: Bucket, tmp_path: Path) -> None:
    settings = Settings(lora_prefix="styles/v2/", state_dir=tmp_path)
    runtime = load_runtime(settings, "local")
    request = required_inputs(manifest(), runtime).lora
    assert request is not None
    input_fetcher = InputFetcher(bucket.store, lora_cache(settings, tmp_path), settings.lora_prefix)
    bucket.upload(KEY, flux_lora())
    with pytest.raises(LoraNotFound, match=r"styles/v2/character-ann\.safetensors"):
        InputChecker(bucket.store, runtime).check(manifest())
    with pytest.raises(LoraNotFound):
        input_fetcher.fetch_lora(request)

    bucket.upload("styles/v2/character-ann.safetensors", flux_lora())

    InputChecker(bucket.store, runtime).check(manifest())
    assert input_fetcher.fetch_lora(request)[0].found.key == "styles/v2/character-ann.safetensors"


def test_what_was_fetched_lies_where_comfyui_looks(bucket: Bucket, tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path / "state")
    bucket.upload(KEY, flux_lora())
    bucket.upload("loras/character-ann.json", b'{"trigger_word": "ohwx"}')
    request = required_inputs(manifest(), load_runtime(settings, "local")).lora
    assert request is not None

    input_fetcher = InputFetcher(bucket.store, lora_cache(settings, tmp_path), settings.lora_prefix)
    checked, kept = input_fetcher.fetch_lora(request)

    assert kept.path.parent in lora_folders(settings, tmp_path)
    assert checked.sidecar == Sidecar(trigger_word="ohwx")
    given = LoraFile(f"{kept.sha256}.safetensors", KEY, kept.sha256, "ohwx")
    assert supplies(checked, kept).lora == given
    assert kept.path.name == given.file


def test_all_workers_of_a_machine_share_one_folder(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path)
    first, second = (lora_folders(settings, tmp_path / name) for name in ("a", "b"))

    assert first[0] == second[0] == lora_folder(settings) / "files"
    assert first[1] != second[1], "the spare folders are their own"
    assert lora_folder(Settings(lora_dir=tmp_path / "x", state_dir=tmp_path)) == tmp_path / "x"
