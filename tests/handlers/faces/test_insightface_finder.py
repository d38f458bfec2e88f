import io
import math
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy
import pytest
from PIL import Image

from config.errors import FaceModelsMissing, InvalidInput
from handlers.faces import insightface_finder
from handlers.faces.boxes import Box, Face
from handlers.faces.insightface_finder import FaceAnalyser, load
from handlers.faces.match import similarity
from tests.support.micro_faces import make_detector, make_embedder
from tests.support.portraits import portrait

pytestmark = pytest.mark.xdist_group("faces")

HEAVY = ("insightface", "onnxruntime", "cv2", "numpy")


def only(faces: list[Face]) -> Face:
    (face,) = faces
    return face


@pytest.mark.parametrize(
    ("box", "size"),
    [
        (Box(240, 140, 160, 200), (640, 480)),
        (Box(0, 0, 120, 150), (640, 480)),
        (Box(900, 1200, 124, 160), (1024, 1360)),
        (Box(8, 30, 90, 100), (100, 140)),
    ],
)
def test_a_face_is_found_where_it_is(
    analyser: FaceAnalyser, box: Box, size: tuple[int, int]
) -> None:
    found = only(analyser.find_faces(portrait({"ann": box}, size=size))).box
    slack = math.ceil(max(size) / 640) + 1  # a pixel of the detector's own input
    for edge in ("x", "y", "right", "bottom"):
        assert getattr(found, edge) == pytest.approx(getattr(box, edge), abs=slack)
    assert found.x >= 0
    assert found.y >= 0
    assert found.right <= size[0]
    assert found.bottom <= size[1]


def test_a_face_comes_with_a_certainty_landmarks_and_a_direction(analyser: FaceAnalyser) -> None:
    face = only(analyser.find_faces(portrait({"ann": Box(240, 140, 160, 200)})))
    assert 0.9 < face.score < 1
    left_eye, right_eye, nose, *mouth = face.landmarks
    assert left_eye[0] < nose[0] < right_eye[0]
    assert left_eye[1] < nose[1] < min(y for _, y in mouth)
    assert len(face.embedding) == 512
    assert math.hypot(*face.embedding) == pytest.approx(1)


def test_several_faces_come_largest_first(analyser: FaceAnalyser) -> None:
    small, large = Box(40, 60, 90, 110), Box(330, 120, 190, 230)
    faces = analyser.find_faces(portrait({"ann": small, "bob": large}))
    assert [face.box.x for face in faces] == pytest.approx([large.x, small.x], abs=2)


def test_no_face_is_no_error(analyser: FaceAnalyser) -> None:
    assert analyser.find_faces(portrait({})) == []


def test_the_same_person_is_more_alike_than_strangers(analyser: FaceAnalyser) -> None:
    def seen(name: str, box: Box, light: float) -> Face:
        return only(analyser.find_faces(portrait({name: box}, light=light)))

    reference = seen("ann", Box(240, 140, 160, 200), 1.0)
    again = seen("ann", Box(30, 60, 110, 130), 0.9)
    others = [seen(name, Box(240, 140, 160, 200), 1.0) for name in ("bob", "cyd", "dan", "eve")]
    strangers = [similarity(reference.embedding, other.embedding) for other in others]
    assert similarity(reference.embedding, again.embedding) > 0.7
    assert max(strangers) < 0.5


def test_a_turned_camera_turns_the_picture_before_faces_are_looked_for(
    analyser: FaceAnalyser,
) -> None:
    upright = Image.open(io.BytesIO(portrait({"ann": Box(100, 50, 120, 150)})))
    exif = Image.Exif()
    exif[0x0112] = 8  # to be shown turned by 90 degrees against the clock
    out = io.BytesIO()
    upright.transpose(Image.Transpose.ROTATE_270).save(out, "JPEG", quality=95, exif=exif)
    found = only(analyser.find_faces(out.getvalue())).box
    assert (found.x, found.y) == pytest.approx((100, 50), abs=4)


@pytest.mark.parametrize("body", [b"", b"<html>", b"\x89PNG\r\n\x1a\n" + bytes(40)])
def test_what_is_no_picture_is_refused(analyser: FaceAnalyser, body: bytes) -> None:
    with pytest.raises(InvalidInput, match="not a picture"):
        analyser.find_faces(body)


def test_the_embedder_is_named_after_its_pack(analyser: FaceAnalyser) -> None:
    assert analyser.embedder == "auraface-v1"


def test_missing_models_are_never_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_: object) -> None:
        raise AssertionError("it wanted the network")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    for root in (tmp_path, tmp_path / "absent"):
        with pytest.raises(FaceModelsMissing, match="antelopev2"):
            load(root, "antelopev2")
    assert list(tmp_path.iterdir()) == []


def test_an_archive_that_unpacked_one_folder_too_deep_is_told(tmp_path: Path) -> None:
    nested = tmp_path / "antelopev2" / "antelopev2"
    nested.mkdir(parents=True)
    (nested / "glintr100.onnx").write_bytes(b"model")
    with pytest.raises(FaceModelsMissing) as caught:
        load(tmp_path, "antelopev2")
    assert caught.value.hint is not None
    assert "up by one folder" in caught.value.hint


@pytest.mark.usefixtures("packs")
def test_models_that_do_not_load_count_as_missing(tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "scrfd.onnx").write_bytes(b"version of a pointer, not a model")
    with pytest.raises(FaceModelsMissing, match="do not load"):
        load(tmp_path, "broken")


@pytest.mark.usefixtures("packs")
@pytest.mark.parametrize(
    ("make", "said"), [(make_detector, "no embedder"), (make_embedder, "do not load")]
)
def test_a_pack_needs_both_a_detector_and_an_embedder(
    tmp_path: Path, make: Callable[[Path], None], said: str
) -> None:
    (tmp_path / "half").mkdir()
    make(tmp_path / "half" / "only.onnx")
    with pytest.raises(FaceModelsMissing, match=said):
        load(tmp_path, "half")


def test_without_insightface_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "model.onnx").write_bytes(b"model")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(FaceModelsMissing, match="cannot be imported") as caught:
        load(tmp_path, "pack")
    assert caught.value.hint == "Install the extra `faces`."


def test_importing_the_package_imports_nothing_heavy() -> None:
    modules = ", ".join(
        f"handlers.faces.{name}"
        for name in ("insightface_finder", "calibration", "comparison_image", "match")
    )
    check = f"import sys, {modules}; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_cuda_is_taken_when_the_runtime_has_it() -> None:
    cuda, cpu = "CUDAExecutionProvider", "CPUExecutionProvider"
    assert insightface_finder._providers(["TensorrtExecutionProvider", cuda, cpu]) == [cuda, cpu]
    assert insightface_finder._providers(["AzureExecutionProvider", cpu]) == [cpu]


class NeedsRoom:
    """Sees a face only in a picture with something around it, as SCRFD does."""

    def get(self, picture: Any) -> list[Any]:
        if picture[0, 0, 0] != 127:
            return []
        box, kps = numpy.array([70.0, 60.0, 130.0, 140.0]), numpy.full((5, 2), 100.0)
        embedding = numpy.ones(4)
        return [SimpleNamespace(bbox=box, kps=kps, det_score=0.9, embedding=embedding)]


def test_a_tight_close_up_is_looked_at_with_room_around_it() -> None:
    close_up = io.BytesIO()
    Image.new("RGB", (100, 80)).save(close_up, "PNG")

    (face,) = FaceAnalyser(NeedsRoom(), "pack", "0" * 64).find_faces(close_up.getvalue())

    assert face.box == Box(20, 10, 60, 70)
    assert set(face.landmarks) == {(50.0, 50.0)}
