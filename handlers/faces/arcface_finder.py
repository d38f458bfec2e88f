"""Faces by the embedded MTCNN, embedded by a network of ArcFace's shape that an operator places.

So AuraFace's embedder, whose declared licence allows commercial use, serves without InsightFace's
detector, whose does not.
"""

import hashlib
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from PIL import Image

from config.errors import FaceModelsMissing
from handlers.faces.boxes import Embedding, Point, normalised
from handlers.faces.dlib_finder import EXTRA, load_detector
from handlers.faces.mtcnn import Detector
from handlers.faces.mtcnn_finder import MtcnnFinder, aligned
from handlers.faces.session_options import session_options

PACK = "auraface-mtcnn"
"""The pack that is looked at in this way."""
CHIP = 112
PLACES: tuple[Point, ...] = (
    (38.2946, 51.6963),
    (73.5318, 51.5014),
    (56.0252, 71.7366),
    (41.5493, 92.3655),
    (70.7299, 92.2041),
)
"""Of eyes, nose and corners of the mouth in the chip: `arcface_dst` of insightface's face_align."""
GREY = 127.5
"""Pixels of 0 to 255 are given as -1 to 1."""


class ArcFaceFinder(MtcnnFinder):
    """A FaceFinder. Build it with `load`."""

    def __init__(self, detector: Detector, session: Any, embedder: str, sha256: str) -> None:
        super().__init__(detector)
        self._session = session
        self._entry = session.get_inputs()[0].name
        self._numpy = import_module("numpy")
        self.embedder, self.embedder_sha256 = embedder, sha256

    def embedding(self, image: Image.Image, points: Sequence[Point]) -> Embedding:
        """As insightface's own ArcFace gives it."""
        chip = self._numpy.asarray(aligned(image, points, PLACES, CHIP), "float32")
        given = ((chip - GREY) / GREY).transpose(2, 0, 1)[None]
        return normalised(self._session.run(None, {self._entry: given})[0][0].tolist())


def load(root: Path, pack: str = PACK) -> ArcFaceFinder:
    """Of the one *.onnx in `root`/`pack`. Raises FaceModelsMissing. Never downloads."""
    files = sorted((root / pack).glob("*.onnx"))
    if len(files) != 1:
        raise FaceModelsMissing(
            f"{len(files)} *.onnx in {root / pack} instead of one",
            hint=f"Run `ryla models pull {pack}`: the pack is an embedder alone.",
        )
    try:
        detector, runtime = load_detector(), import_module("onnxruntime")
    except ImportError as error:
        raise FaceModelsMissing(
            f"what finds faces for {pack} is not installed: {error}",
            hint=f"Install the extra `{EXTRA}`.",
        ) from error
    try:
        session = runtime.InferenceSession(
            str(files[0]), session_options(runtime), providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # the errors of onnxruntime share no base
        raise FaceModelsMissing(f"{files[0]} does not load: {error}") from error
    with files[0].open("rb") as body:
        sha256 = hashlib.file_digest(body, "sha256").hexdigest()
    return ArcFaceFinder(detector, session, pack, sha256)
