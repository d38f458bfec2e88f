"""The face packs of this machine: whether they are there, and their models once loaded."""

from functools import cache
from pathlib import Path

from pydantic import ValidationError

from config.errors import FaceModelsMissing, InvalidSetting
from config.settings import Settings
from config.validation_errors import first_problem
from handlers.faces import insightface_finder
from handlers.faces.boxes import FaceFinder
from handlers.faces.match import Calibration
from handlers.faces.measurement import FaceUse
from pipeline.models.files import models_folder


def faces_folder(settings: Settings) -> Path:
    """The setting's, else where `ryla models pull` puts packs and ComfyUI looks for them."""
    if settings.faces_dir is not None:
        return settings.faces_dir.absolute()
    if settings.models_dir is None and settings.comfyui_dir is None:
        return (settings.state_dir / "faces").absolute()
    return (models_folder(settings) / "insightface" / "models").absolute()


def pack_for(settings: Settings, use: FaceUse) -> str:
    """The pack's name. Boxes come from the scoring pack where the other is not there."""
    own, scoring = settings.instantid_faces_pack, settings.faces_pack
    folder = faces_folder(settings)
    if use is FaceUse.BOX and (is_there(folder / own) or not is_there(folder / scoring)):
        return own
    return scoring


def is_there(pack: Path) -> bool:
    """Whether the folder holds any model."""
    return any(pack.glob("*.onnx"))


def require_boxes(settings: Settings) -> None:
    """Raises FaceModelsMissing where no pack could find a face. Loads nothing."""
    folder = faces_folder(settings)
    if not is_there(folder / pack_for(settings, FaceUse.BOX)):
        own, scoring = settings.instantid_faces_pack, settings.faces_pack
        raise FaceModelsMissing(
            f"no face pack in {folder}: neither {own} nor {scoring}",
            hint=f"Run `ryla models pull {scoring}`, or set RYLA_FACES_DIR to the folder that has"
            " the packs.",
        )


def calibration_path(settings: Settings) -> Path:
    """The setting's, else <pack>.calibration.json beside the packs."""
    beside = faces_folder(settings) / f"{settings.faces_pack}.calibration.json"
    return settings.calibration_file or beside


def read_calibration(settings: Settings) -> Calibration | None:
    """None where nobody has calibrated. Raises InvalidSetting for a file that cannot be used."""
    path = calibration_path(settings)
    if not path.exists():
        return None
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
        self._load = cache(insightface_finder.load)

    def finder(self, use: FaceUse) -> FaceFinder:
        """Raises FaceModelsMissing."""
        return self._load(faces_folder(self._settings), pack_for(self._settings, use))

    def calibration(self) -> Calibration | None:
        """Raises InvalidSetting."""
        return read_calibration(self._settings)
