"""The face models of this machine, packs and the embedded one: whether they are there, and what was
loaded of them."""

from functools import cache
from pathlib import Path

from pydantic import ValidationError

from config.errors import FaceModelsMissing, InvalidSetting
from config.settings import Settings
from config.validation_errors import first_problem
from handlers.faces import arcface_finder, dlib_finder, insightface_finder
from handlers.faces.boxes import FaceFinder
from handlers.faces.calibration import shipped
from handlers.faces.dlib_finder import EMBEDDER as EMBEDDED
from handlers.faces.match import SCORING_PACK, Calibration
from handlers.faces.measurement import FaceUse
from pipeline.models.models_folder import models_folder


def faces_folder(settings: Settings) -> Path:
    """The setting's, else where `ryla models pull` puts packs and ComfyUI looks for them."""
    if settings.faces_dir is not None:
        return settings.faces_dir.absolute()
    if settings.models_dir is None and settings.comfyui_dir is None:
        return (settings.state_dir / "faces").absolute()
    return (models_folder(settings) / "insightface" / "models").absolute()


def scoring_pack(settings: Settings) -> str:
    """What the operator names, else the usual pack where it is placed, else the embedded model."""
    if settings.faces_pack is not None:
        return settings.faces_pack
    return SCORING_PACK if is_there(faces_folder(settings), SCORING_PACK) else EMBEDDED


def pack_for(settings: Settings, use: FaceUse) -> str:
    """The pack's name. Boxes come from what scores where InstantID's own pack is not there."""
    own = settings.instantid_faces_pack
    if use is FaceUse.BOX and is_there(faces_folder(settings), own):
        return own
    return scoring_pack(settings)


def is_there(folder: Path, pack: str) -> bool:
    """Whether it could be loaded. Loads nothing."""
    if pack == EMBEDDED:
        return dlib_finder.is_installed()
    return any((folder / pack).glob("*.onnx"))


def require_boxes(settings: Settings) -> None:
    """Raises FaceModelsMissing where nothing could find a face. Loads nothing."""
    folder, scoring = faces_folder(settings), scoring_pack(settings)
    if not is_there(folder, pack_for(settings, FaceUse.BOX)):
        own = settings.instantid_faces_pack
        raise FaceModelsMissing(
            f"no face model: neither {own} nor {scoring} in {folder}",
            hint=f"Run `ryla models pull {SCORING_PACK}`, set RYLA_FACES_DIR to the folder that has"
            f" the packs, or install the extra `{dlib_finder.EXTRA}`.",
        )


def load_finder(settings: Settings, use: FaceUse) -> FaceFinder:
    """Raises FaceModelsMissing."""
    return _loaded(faces_folder(settings), pack_for(settings, use))


def _loaded(folder: Path, pack: str) -> FaceFinder:
    if pack == EMBEDDED:
        return dlib_finder.load()
    if pack == arcface_finder.PACK:
        return arcface_finder.load(folder)
    return insightface_finder.load(folder, pack)


def calibration_path(settings: Settings) -> Path:
    """The setting's, else <pack>.calibration.json beside the packs."""
    beside = faces_folder(settings) / f"{scoring_pack(settings)}.calibration.json"
    return settings.calibration_file or beside


def read_calibration(settings: Settings) -> Calibration | None:
    """The operator's, else what comes with the package for this embedder, else None.

    Raises InvalidSetting for a file that cannot be used.
    """
    path = calibration_path(settings)
    if not path.exists():
        return None if settings.calibration_file else shipped(scoring_pack(settings))
    try:
        return Calibration.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise InvalidSetting(
            f"{path}: {first_problem(error).message}",
            field="RYLA_CALIBRATION_FILE",
            value=str(path),
            hint="Make it anew with `ryla faces calibrate`.",
        ) from None


class FaceModels:
    """A worker's face models: loaded when a job first asks, and kept. Startup imports none."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._load = cache(_loaded)

    def finder(self, use: FaceUse) -> FaceFinder:
        """Raises FaceModelsMissing."""
        return self._load(faces_folder(self._settings), pack_for(self._settings, use))

    def calibration(self) -> Calibration | None:
        """Raises InvalidSetting."""
        return read_calibration(self._settings)
