from pathlib import Path

import pytest

from config.errors import InvalidInput, LoraNotFound, LoraUnreadable
from pipeline.acceptance.acceptance_plan import LoraPart
from pipeline.acceptance.upload_loras import upload
from tests.pipeline.loras.support import flux_lora
from tests.support.pipeline_fixture import PipelineFixture


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "film.safetensors").write_bytes(flux_lora())
    return tmp_path


def uploaded(pipeline: PipelineFixture, folder: Path, *loras: dict[str, str]) -> list[str]:
    part = LoraPart.model_validate({"prompt": "x", "files": loras})
    return upload(pipeline.store, part, folder, pipeline.settings)


def test_files_are_put_where_jobs_look_for_them(pipeline: PipelineFixture, folder: Path) -> None:
    files = {"file": "film.safetensors"}, {"file": "film.safetensors", "id": "ann"}
    again = [uploaded(pipeline, folder, *files) for _ in range(2)][1]

    assert again == ["loras/film.safetensors", "loras/character-ann.safetensors"]
    assert set(again) < set(pipeline.keys("loras/"))


def test_one_without_a_file_must_be_there(pipeline: PipelineFixture, folder: Path) -> None:
    uploaded(pipeline, folder, {"file": "film.safetensors"})

    assert uploaded(pipeline, folder, {"name": "film"}) == ["loras/film.safetensors"]
    with pytest.raises(LoraNotFound):
        uploaded(pipeline, folder, {"name": "noir"})


def test_nothing_is_overwritten_and_nothing_useless_is_put_there(
    pipeline: PipelineFixture, folder: Path
) -> None:
    uploaded(pipeline, folder, {"file": "film.safetensors"})
    (folder / "film.safetensors").write_bytes(flux_lora(seed=1))
    with pytest.raises(InvalidInput, match="other content"):
        uploaded(pipeline, folder, {"file": "film.safetensors"})

    (folder / "none.safetensors").write_bytes(b"no safetensors")
    with pytest.raises(LoraUnreadable) as error:
        uploaded(pipeline, folder, {"file": "none.safetensors"})
    assert error.value.message.startswith("none.safetensors: ")
