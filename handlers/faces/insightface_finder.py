"""FaceAnalysis of insightface on onnxruntime, from model files that are already there.

insightface, onnxruntime and cv2 are imported when models are loaded and not before: together they
take seconds and hundreds of megabytes, and most workers never look at a face.
"""

import hashlib
import warnings
from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from PIL import Image

from config.errors import FaceModelsMissing
from handlers.faces.alignment import shown
from handlers.faces.boxes import Face, box_within, largest_first, normalised
from handlers.faces.match import SCORING_PACK
from handlers.faces.session_options import session_options
from handlers.faces.upright import edges_back, find_upright, padded, point_back
from handlers.media.images import pixels

MIN_DETECTION = 0.5
SURE = 0.85
"""SCRFD's score of an upright photograph; of one upside down it was 0.55 to 0.85."""


class FaceAnalyser:
    """A FaceFinder over insightface. Build it with `load`."""

    def __init__(self, analysis: Any, embedder: str, embedder_sha256: str) -> None:
        self._analysis = analysis
        self.embedder = embedder
        self.embedder_sha256 = embedder_sha256

    def find_faces(self, picture: bytes) -> list[Face]:
        """Largest first. Raises InvalidInput for what is no picture."""
        image = pixels(picture)
        quarters, found = find_upright(image, self._look, _certainty, SURE)
        if not found:
            found = self._look_around(image)
        faces = (_face(one, quarters, image.size) for one in found)
        return largest_first(face for face in faces if face is not None)

    def _look(self, image: Image.Image) -> Sequence[Any]:
        with warnings.catch_warnings():  # insightface calls what scikit-image is giving up
            warnings.simplefilter("ignore", FutureWarning)
            found: Sequence[Any] = self._analysis.get(_bgr(image))
        return found

    def _look_around(self, image: Image.Image) -> Sequence[Any]:
        """A face that fills the picture is found once there is something around it."""
        around, (left, top) = padded(image)
        found = self._look(around)
        for one in found:
            one.bbox = one.bbox - (left, top, left, top)
            one.kps = one.kps - (left, top)
        return found


def load(root: Path, pack: str = SCORING_PACK) -> FaceAnalyser:
    """Load the detector and the embedder in `root`/`pack`, on CUDA when there. Never downloads.

    Raises FaceModelsMissing, also when insightface is not installed.
    """
    folder = (root / pack).resolve()
    # A folder that exists is taken as it is; any other name would make insightface fetch a pack.
    if not any(folder.glob("*.onnx")):
        raise FaceModelsMissing(f"no *.onnx in {folder}", hint=_placing_hint(folder))
    try:
        runtime = import_module("onnxruntime")
        app = import_module("insightface.app")
    except ImportError as error:
        raise FaceModelsMissing(
            f"insightface cannot be imported: {error}", hint="Install the extra `faces`."
        ) from error
    try:
        analysis = app.FaceAnalysis(
            name=str(folder),
            allowed_modules=["detection", "recognition"],
            providers=_providers(runtime.get_available_providers()),
            sess_options=session_options(runtime),
        )
    except Exception as error:  # the errors of onnxruntime and onnx share no base
        raise FaceModelsMissing(f"the models in {folder} do not load: {error}") from error
    if "recognition" not in analysis.models:
        raise FaceModelsMissing(f"no embedder among the models in {folder}")
    analysis.prepare(ctx_id=0, det_thresh=MIN_DETECTION)
    return FaceAnalyser(analysis, pack, _sha256(Path(analysis.models["recognition"].model_file)))


def _sha256(file: Path) -> str:
    with file.open("rb") as body:
        return hashlib.file_digest(body, "sha256").hexdigest()


def _providers(available: Iterable[str]) -> list[str]:
    wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
    return [name for name in wanted if name in available]


def _placing_hint(folder: Path) -> str:
    if any((folder / folder.name).glob("*.onnx")):  # as some archives unpack
        return f"Move the files of {folder / folder.name} up by one folder."
    return f"Put the files of {folder.name} there."


def _bgr(image: Image.Image) -> Any:
    numpy = import_module("numpy")
    return numpy.ascontiguousarray(numpy.asarray(image)[:, :, ::-1])


def _certainty(found: Any) -> float:
    return float(found.det_score)


def _face(found: Any, quarters: int, size: tuple[int, int]) -> Face | None:
    """In our own terms. A box may reach over the picture's edge: it is cut off there."""
    left, top, right, bottom = (float(edge) for edge in found.bbox)
    box = box_within(edges_back((left, top, right, bottom), quarters, size), size)
    if box is None:
        return None
    points = tuple(point_back((float(x), float(y)), quarters, size) for x, y in found.kps)
    return Face(
        box=box,
        score=float(found.det_score),
        embedding=normalised(found.embedding.tolist()),
        landmarks=points,
        shown=shown(points, size),
        quarters=quarters,
    )
