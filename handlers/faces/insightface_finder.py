"""FaceAnalysis of insightface on onnxruntime, from model files that are already there.

insightface, onnxruntime and cv2 are imported when models are loaded and not before: together they
take seconds and hundreds of megabytes, and most workers never look at a face.
"""

import io
import math
import warnings
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps, UnidentifiedImageError

from config.errors import FaceError, FaceModelsMissing, InvalidInput
from handlers.faces.boxes import Box, Embedding, Face
from handlers.faces.match import SCORING_PACK
from handlers.media.images import FORMATS, MAX_PIXELS

MIN_DETECTION = 0.5


class FaceAnalyser:
    """A FaceFinder over insightface. Build it with `load`."""

    def __init__(self, analysis: Any, embedder: str) -> None:
        self._analysis = analysis
        self.embedder = embedder

    def find_faces(self, picture: bytes) -> list[Face]:
        """Largest first. Raises InvalidInput for what is no picture."""
        image = _decoded(picture)
        with warnings.catch_warnings():  # insightface calls what scikit-image is giving up
            warnings.simplefilter("ignore", FutureWarning)
            found = self._analysis.get(_bgr(image))
        faces = (_face(one, image.size) for one in found)
        inside = [face for face in faces if face.box.width > 0 and face.box.height > 0]
        return sorted(inside, key=lambda face: face.box.width * face.box.height, reverse=True)


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
        )
    except Exception as error:  # the errors of onnxruntime and onnx share no base
        raise FaceModelsMissing(f"the models in {folder} do not load: {error}") from error
    if "recognition" not in analysis.models:
        raise FaceModelsMissing(f"no embedder among the models in {folder}")
    analysis.prepare(ctx_id=0, det_thresh=MIN_DETECTION)
    return FaceAnalyser(analysis, pack)


def _providers(available: Iterable[str]) -> list[str]:
    wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
    return [name for name in wanted if name in available]


def _placing_hint(folder: Path) -> str:
    if any((folder / folder.name).glob("*.onnx")):  # as some archives unpack
        return f"Move the files of {folder / folder.name} up by one folder."
    return f"Put the files of {folder.name} there."


def _decoded(picture: bytes) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(picture), formats=FORMATS)
        if image.width * image.height > MAX_PIXELS:
            raise InvalidInput(f"{image.width} x {image.height} pixels are too many")
        return ImageOps.exif_transpose(image).convert("RGB")
    except UnidentifiedImageError:
        raise InvalidInput("not a picture that can be read: neither PNG, JPEG nor WebP") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InvalidInput(f"not a picture that can be read: {error}") from error


def _bgr(image: Image.Image) -> Any:
    numpy = import_module("numpy")
    return numpy.ascontiguousarray(numpy.asarray(image)[:, :, ::-1])


def _face(found: Any, size: tuple[int, int]) -> Face:
    """In our own terms. A box may reach over the picture's edge: it is cut off there."""
    left, top, right, bottom = (float(edge) for edge in found.bbox)
    x, y = max(0, math.floor(left)), max(0, math.floor(top))
    return Face(
        box=Box(x, y, min(size[0], math.ceil(right)) - x, min(size[1], math.ceil(bottom)) - y),
        score=float(found.det_score),
        embedding=_normalised(found.embedding.tolist()),
        landmarks=tuple((float(px), float(py)) for px, py in found.kps),
    )


def _normalised(embedding: list[float]) -> Embedding:
    length = math.hypot(*embedding)
    if not 0 < length < math.inf:
        raise FaceError("the embedder returned no direction", value=length)
    return tuple(part / length for part in embedding)
