from datetime import date
from pathlib import Path

import pytest

from config.errors import FaceModelsMissing, InvalidSetting
from config.models import load_models
from config.settings import Settings, changed
from handlers.faces.arcface_finder import ArcFaceFinder
from handlers.faces.match import Calibration
from handlers.faces.measurement import FaceUse
from pipeline.models.face_packs import (
    FaceModels,
    calibration_path,
    faces_folder,
    pack_for,
    read_calibration,
    require_boxes,
)
from tests.support.micro_faces import make_embedder

MEASURED = Calibration(
    date=date(2026, 3, 1),
    embedder="auraface-v1",
    strangers_mean=0.1,
    same_mean=0.7,
    people=2,
    pictures=4,
)


def pack(folder: Path, name: str) -> None:
    (folder / name).mkdir(parents=True)
    (folder / name / "detector.onnx").touch()


def test_packs_lie_where_they_are_pulled_to_unless_another_folder_is_named(
    tmp_path: Path,
) -> None:
    among_models = Settings(models_dir=tmp_path)
    assert faces_folder(among_models) == tmp_path / "insightface" / "models"
    assert faces_folder(Settings(state_dir=tmp_path)) == tmp_path / "faces"
    assert faces_folder(Settings(faces_dir=tmp_path)) == tmp_path


def test_another_pack_scores_than_the_one_instantid_is_fed_by(tmp_path: Path) -> None:
    settings = Settings(faces_dir=tmp_path)
    pack(tmp_path, "antelopev2")
    pack(tmp_path, "auraface-v1")

    assert pack_for(settings, FaceUse.BOX) == "antelopev2"
    assert pack_for(settings, FaceUse.SCORE) == "auraface-v1"


def test_the_scoring_pack_finds_boxes_where_it_is_the_only_one(tmp_path: Path) -> None:
    pack(tmp_path, "auraface-v1")

    assert pack_for(Settings(faces_dir=tmp_path), FaceUse.BOX) == "auraface-v1"
    require_boxes(Settings(faces_dir=tmp_path))


def test_the_permissive_pack_is_an_embedder_alone_and_is_taken_by_name(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    weights = load_models().weights("auraface-mtcnn")
    assert all(weight.commercial_use for weight in weights.values())
    (file,) = (tmp_path / Path(weight.file).relative_to("models") for weight in weights.values())
    file.parent.mkdir()
    make_embedder(file)
    chosen = Settings(faces_dir=tmp_path, faces_pack="auraface-mtcnn")

    assert pack_for(Settings(faces_dir=tmp_path), FaceUse.SCORE) == "dlib-resnet-v1"
    assert isinstance(FaceModels(chosen).finder(FaceUse.SCORE), ArcFaceFinder)
    assert calibration_path(chosen).name == "auraface-mtcnn.calibration.json"
    assert read_calibration(chosen) is None


def test_the_scores_never_come_from_instantid_s_own_pack(tmp_path: Path) -> None:
    pack(tmp_path, "antelopev2")

    assert pack_for(Settings(faces_dir=tmp_path), FaceUse.SCORE) == "dlib-resnet-v1"


def test_where_no_pack_is_placed_the_embedded_model_scores_and_finds_boxes(tmp_path: Path) -> None:
    settings = Settings(faces_dir=tmp_path)

    require_boxes(settings)

    found = FaceModels(settings)
    assert found.finder(FaceUse.SCORE).embedder == "dlib-resnet-v1"
    assert found.finder(FaceUse.BOX) is found.finder(FaceUse.SCORE)


def test_a_pack_that_is_named_and_missing_is_not_replaced(tmp_path: Path) -> None:
    settings = Settings(faces_dir=tmp_path, faces_pack="ours")

    with pytest.raises(FaceModelsMissing, match="ours"):
        FaceModels(settings).finder(FaceUse.SCORE)
    with pytest.raises(FaceModelsMissing, match="neither antelopev2 nor ours") as caught:
        require_boxes(settings)

    assert caught.value.hint is not None
    assert "RYLA_FACES_DIR" in caught.value.hint


def test_the_embedded_model_can_be_asked_for_beside_packs(packs: Path) -> None:
    settings = Settings(faces_dir=packs, faces_pack="dlib-resnet-v1")

    assert FaceModels(settings).finder(FaceUse.SCORE).embedder == "dlib-resnet-v1"


def test_models_are_loaded_once(packs: Path) -> None:
    face_models = FaceModels(Settings(faces_dir=packs))

    assert face_models.finder(FaceUse.BOX) is face_models.finder(FaceUse.SCORE)


def test_a_calibration_lies_beside_the_packs_or_where_the_setting_says(tmp_path: Path) -> None:
    settings = Settings(faces_dir=tmp_path, faces_pack="auraface-v1")
    assert calibration_path(settings) == tmp_path / "auraface-v1.calibration.json"
    assert read_calibration(settings) is None

    calibration_path(settings).write_text(MEASURED.model_dump_json())

    assert read_calibration(settings) == MEASURED
    other = changed(settings, calibration_file=tmp_path / "other.json")
    assert read_calibration(other) is None


def test_a_calibration_that_cannot_be_right_is_refused(tmp_path: Path) -> None:
    settings = Settings(faces_dir=tmp_path)
    wrong = MEASURED.model_copy(update={"same_mean": 0.0})
    calibration_path(settings).write_text(wrong.model_dump_json())

    with pytest.raises(InvalidSetting, match="same_mean must exceed") as caught:
        read_calibration(settings)

    assert caught.value.field == "RYLA_CALIBRATION_FILE"
