import json
from pathlib import Path

from config.models import load_models
from config.settings import Settings
from pipeline.models.comfyui_paths import foreign_models, link_faces, search_paths, write_paths

MODELS = load_models()


def test_a_models_folder_apart_from_comfyuis_own_is_named(tmp_path: Path) -> None:
    comfyui, volume = tmp_path / "ComfyUI", tmp_path / "models"
    own = comfyui / "models"
    own.mkdir(parents=True)
    assert foreign_models(Settings(comfyui_dir=comfyui, models_dir=volume)) == volume
    assert foreign_models(Settings(comfyui_dir=comfyui, models_dir=own)) is None
    assert foreign_models(Settings(comfyui_dir=comfyui)) is None
    assert foreign_models(Settings()) is None


def test_every_folder_of_the_table_and_of_the_disk_is_searched(tmp_path: Path) -> None:
    (tmp_path / "upscale_models").mkdir()
    (tmp_path / "README").touch()
    paths = search_paths(MODELS, tmp_path, [])
    assert set(paths) == {
        *("checkpoints", "controlnet", "diffusion_models", "insightface", "instantid"),
        *("loras", "text_encoders", "upscale_models", "vae"),
    }
    assert paths["vae"] == [tmp_path / "vae"]


def test_pulled_loras_come_before_those_of_the_models_folder(tmp_path: Path) -> None:
    pulled = tmp_path / "pulled"
    folder = tmp_path / "models"  # need not exist yet
    assert search_paths(MODELS, folder, [pulled])["loras"] == [pulled, folder / "loras"]
    assert search_paths(MODELS, None, [pulled]) == {"loras": [pulled]}


def test_the_file_is_what_comfyui_reads(tmp_path: Path) -> None:
    file = write_paths(tmp_path / "work", {"loras": [Path("/a"), Path("/b")], "vae": [Path("/c")]})
    assert file.is_absolute()
    assert json.loads(file.read_text()) == {"ryla": {"loras": "/a\n/b", "vae": "/c"}}


def test_comfyui_is_led_to_the_face_models_that_it_looks_for_at_home(tmp_path: Path) -> None:
    comfyui, volume = tmp_path / "ComfyUI", tmp_path / "models"
    comfyui.mkdir()
    link_faces(volume, comfyui)
    assert not (comfyui / "models").exists()
    (volume / "insightface").mkdir(parents=True)
    for _ in range(2):
        link_faces(volume, comfyui)
        assert (comfyui / "models/insightface").resolve() == volume / "insightface"


def test_a_folder_of_comfyuis_own_stays(tmp_path: Path) -> None:
    own = tmp_path / "ComfyUI/models/insightface"
    own.mkdir(parents=True)
    (tmp_path / "models/insightface").mkdir(parents=True)
    link_faces(tmp_path / "models", tmp_path / "ComfyUI")
    assert not own.is_symlink()


def test_a_folder_that_cannot_be_linked_fails_nothing(tmp_path: Path) -> None:
    (tmp_path / "models/insightface").mkdir(parents=True)
    (tmp_path / "ComfyUI").touch()
    link_faces(tmp_path / "models", tmp_path / "ComfyUI")
