from pathlib import Path

import pytest

from config.errors import InvalidInput, LoraNotFound, LoraUnreadable
from pipeline.acceptance.plan import LoraPart
from pipeline.acceptance.upload_loras import upload
from tests.pipeline.loras.support import flux_lora
from tests.support.yard import Yard


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "film.safetensors").write_bytes(flux_lora())
    return tmp_path


def shelved(yard: Yard, folder: Path, *loras: dict[str, str]) -> list[str]:
    part = LoraPart.model_validate({"prompt": "x", "files": loras})
    return upload(yard.store, part, folder, yard.settings)


def test_files_are_put_where_jobs_look_for_them(yard: Yard, folder: Path) -> None:
    files = {"file": "film.safetensors"}, {"file": "film.safetensors", "id": "ann"}
    again = [shelved(yard, folder, *files) for _ in range(2)][1]

    assert again == ["loras/film.safetensors", "loras/character-ann.safetensors"]
    assert set(again) < set(yard.keys("loras/"))


def test_one_without_a_file_must_be_there(yard: Yard, folder: Path) -> None:
    shelved(yard, folder, {"file": "film.safetensors"})

    assert shelved(yard, folder, {"name": "film"}) == ["loras/film.safetensors"]
    with pytest.raises(LoraNotFound):
        shelved(yard, folder, {"name": "noir"})


def test_nothing_is_overwritten_and_nothing_useless_is_put_there(yard: Yard, folder: Path) -> None:
    shelved(yard, folder, {"file": "film.safetensors"})
    (folder / "film.safetensors").write_bytes(flux_lora(seed=1))
    with pytest.raises(InvalidInput, match="other content"):
        shelved(yard, folder, {"file": "film.safetensors"})

    (folder / "none.safetensors").write_bytes(b"no safetensors")
    with pytest.raises(LoraUnreadable) as error:
        shelved(yard, folder, {"file": "none.safetensors"})
    assert error.value.message.startswith("none.safetensors: ")
