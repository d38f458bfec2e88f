"""The finder of `auraface-mtcnn`, with a micro embedder, on photographs of pinned packages."""

import hashlib
from pathlib import Path

import pytest
from PIL import Image

from config.errors import FaceModelsMissing
from handlers.faces import arcface_finder
from handlers.faces.arcface_finder import CHIP, PLACES, ArcFaceFinder
from handlers.faces.boxes import normalised
from handlers.faces.dlib_finder import DlibFinder, is_installed
from handlers.faces.match import similarity
from handlers.faces.mtcnn_finder import aligned
from tests.support.micro_faces import make_embedder
from tests.support.photographs import astronaut, drawn_sitter, png

pytestmark = pytest.mark.skipif(not is_installed(), reason="needs the embedded face model")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnx")
    folder = tmp_path_factory.mktemp("faces")
    (folder / "auraface-mtcnn").mkdir()
    make_embedder(folder / "auraface-mtcnn" / "glintr100.onnx")
    return folder


@pytest.fixture(scope="module")
def finder(root: Path) -> ArcFaceFinder:
    return arcface_finder.load(root)


def test_it_finds_what_the_embedded_model_finds(
    finder: ArcFaceFinder, embedded: DlibFinder
) -> None:
    (face,), (same,) = (each.find_faces(png(astronaut())) for each in (finder, embedded))
    assert (face.box, face.landmarks) == (same.box, same.landmarks)
    assert len(face.embedding) == 512
    assert sum(part * part for part in face.embedding) == pytest.approx(1)


def test_its_embedding_is_of_its_own_network(finder: ArcFaceFinder, root: Path) -> None:
    file = root / "auraface-mtcnn" / "glintr100.onnx"
    assert finder.embedder == "auraface-mtcnn"
    assert finder.embedder_sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    (one,), (larger,), (other,) = (
        finder.find_faces(picture)
        for picture in (
            png(astronaut()),
            png(astronaut().resize((1024, 1024))),
            drawn_sitter(),
        )
    )
    assert similarity(one.embedding, larger.embedding) > 0.99
    assert similarity(one.embedding, other.embedding) < 0.95


@pytest.mark.filterwarnings("ignore:.estimate. is deprecated:FutureWarning")
def test_it_embeds_as_insightface_does(finder: ArcFaceFinder, root: Path) -> None:
    """The same points, by insightface's own alignment and its own way to feed the network."""
    align = pytest.importorskip("insightface.utils.face_align")
    arcface = pytest.importorskip("insightface.model_zoo.arcface_onnx")
    numpy = pytest.importorskip("numpy")
    (face,) = finder.find_faces(png(astronaut()))
    bgr = numpy.ascontiguousarray(numpy.asarray(astronaut())[:, :, ::-1])
    network = arcface.ArcFaceONNX(str(root / "auraface-mtcnn" / "glintr100.onnx"))

    crop = align.norm_crop(bgr, numpy.array(face.landmarks))
    there = normalised(network.get_feat(crop).flatten().tolist())

    assert similarity(face.embedding, there) > 0.999


def test_the_points_lie_where_the_network_expects_them() -> None:
    image = Image.new("RGB", (400, 400))
    points = [(100 + 1.5 * x, 80 + 1.5 * y) for x, y in PLACES]
    for x, y in points:
        image.paste((255, 0, 0), (round(x) - 4, round(y) - 4, round(x) + 5, round(y) + 5))

    chip = aligned(image, points, PLACES, CHIP)

    for x, y in PLACES:
        red = chip.getpixel((round(x), round(y)))
        assert isinstance(red, tuple)
        assert red[0] > 200


@pytest.mark.parametrize("files", [0, 2])
def test_a_folder_without_exactly_one_network_is_refused(tmp_path: Path, files: int) -> None:
    (tmp_path / "auraface-mtcnn").mkdir()
    for at in range(files):
        (tmp_path / "auraface-mtcnn" / f"{at}.onnx").touch()
    with pytest.raises(FaceModelsMissing, match=rf"{files} \*\.onnx") as caught:
        arcface_finder.load(tmp_path)
    assert "ryla models pull auraface-mtcnn" in str(caught.value.hint)


def test_a_file_that_is_no_network_is_refused(tmp_path: Path) -> None:
    (tmp_path / "auraface-mtcnn").mkdir()
    (tmp_path / "auraface-mtcnn" / "any.onnx").write_bytes(b"x")
    with pytest.raises(FaceModelsMissing, match="does not load"):
        arcface_finder.load(tmp_path)
