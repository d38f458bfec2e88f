"""What `ryla faces` reads: a reference, pictures and folders of them, and who is on them."""

import os
from collections.abc import Sequence
from pathlib import Path

import typer

from config.errors import InvalidInput, NoFace
from config.logs import configure_logs
from config.settings import Settings
from handlers.faces.boxes import Face, FaceFinder
from handlers.faces.calibration import pictures_of
from handlers.faces.comparison_image import Panel, marks
from handlers.faces.match import Calibration, Score, score
from handlers.faces.measurement import FaceUse, face_of
from handlers.faces.quality import flaw
from pipeline.cli import output
from pipeline.cli.options import load_cli_settings, quieter
from pipeline.models.face_packs import load_finder, read_calibration

Measured = tuple[Face, Score]
Row = tuple[Path, list[Measured]]
Unreadable = tuple[Path, InvalidInput]


class Measure:
    """A reference and what it is compared with."""

    def __init__(self, settings: Settings, reference: Path) -> None:
        self.finder = load(settings)
        self._calibration: Calibration | None = read_calibration(settings)
        self._body = read(reference)
        self._title = reference.name
        try:
            self._face = face_of(self._body, self.finder)
        except NoFace as error:
            raise NoFace(f"{reference} shows no face", hint=error.hint) from None

    @property
    def reference_panel(self) -> Panel:
        return Panel(self._title, self._body, marks([self._face], [self._score(self._face, 1)]))

    @property
    def embedder(self) -> dict[str, str]:
        return {
            "embedder": self.finder.embedder,
            "embedder_sha256": self.finder.embedder_sha256,
        }

    def read(self, paths: Sequence[Path]) -> tuple[list[Row], list[Unreadable]]:
        """Faces of each picture, largest first, and the pictures that are none.

        Raises InvalidInput where none of them can be read.
        """
        rows, unreadable = [], []
        for path in paths:
            try:
                found = self.finder.find_faces(read(path))
            except InvalidInput as error:
                unreadable.append((path, error))
            else:
                rows.append((path, [(face, self._score(face, len(found))) for face in found]))
        if unreadable and not rows:
            path, first = unreadable[0]
            raise InvalidInput(f"{path}: {first.message}", value=str(path), hint=first.hint)
        return rows, unreadable

    def _score(self, face: Face, found: int) -> Score:
        return score(
            face.embedding,
            [self._face.embedding],
            embedder=self.finder.embedder,
            embedder_sha256=self.finder.embedder_sha256,
            calibration=self._calibration,
            faces_found=found,
            flaw=flaw(face),
        )


def face_settings(pack: str | None) -> Settings:
    settings = load_cli_settings(os.environ)
    configure_logs(quieter(settings, os.environ, "warning"))
    if pack is None:
        return settings
    return Settings.model_validate({**settings.model_dump(), "faces_pack": pack})


def load(settings: Settings) -> FaceFinder:
    """Raises FaceModelsMissing."""
    return load_finder(settings, FaceUse.SCORE)


def pictures(given: Path) -> list[Path]:
    """Those of a folder, or the one. Raises InvalidInput for a folder without any."""
    if not given.is_dir():
        return [given]
    found = pictures_of(given)
    if not found:
        raise InvalidInput(f"{given} holds no pictures", value=str(given))
    return found


def named(unreadable: Sequence[Unreadable]) -> list[dict[str, str]]:
    return [{"picture": str(path), "message": error.message} for path, error in unreadable]


def end(unreadable: Sequence[Unreadable]) -> None:
    """Exit 1 where a picture was left out, which is named."""
    for path, error in unreadable:
        output.err().print(f"{path} is left out: {error.message}", markup=False)
    if unreadable:
        raise typer.Exit(1)


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}", value=str(path)) from None
