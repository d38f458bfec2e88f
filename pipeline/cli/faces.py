"""`ryla faces`: measures faces, and what the numbers are worth."""

import os
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

import typer

from config.errors import InvalidInput, NoFace
from config.logs import configure_logs
from config.settings import Settings
from handlers.faces.boxes import Face, FaceFinder
from handlers.faces.calibration import SUFFIXES, calibrate
from handlers.faces.comparison_image import Panel, comparison_image, in_words, marks
from handlers.faces.match import Calibration, Score, score
from handlers.faces.measurement import FaceUse, face_of
from pipeline.cli import output
from pipeline.cli.options import Json, load_cli_settings, quieter
from pipeline.models.face_packs import calibration_path, load_finder, read_calibration

HELP = """Measure faces.

`similarity` is the cosine of two face embeddings, no percentage. `match` sets it between strangers
(0) and the same person (1), once `ryla faces calibrate` has measured what those are.
"""

SCORE = """Measure the faces of pictures against a reference.

Example:

    ryla faces score anna.png out/*.png --out scores.png
"""

COMPARE = """Set two folders of pictures side by side: which keeps the face better?

Example:

    ryla faces compare lora/ instantid/ --ref anna.png
"""

CALIBRATE = """Measure the embedder on labelled pictures: DIR/PERSON/<picture>.

Give at least two people and two pictures of each. The means are written where scoring finds them.

Example:

    ryla faces calibrate people/
"""

Pack = Annotated[
    str | None,
    typer.Option("--pack", help="Face pack (RYLA_FACES_PACK).", show_default=False),
]


def register(app: typer.Typer) -> None:
    group = typer.Typer(name="faces", help=HELP, no_args_is_help=True)
    _register_score(group)
    _register_compare(group)
    _register_calibrate(group)
    app.add_typer(group)


def _register_score(group: typer.Typer) -> None:
    @group.command("score", help=SCORE)
    @output.command
    def command(
        reference: Annotated[Path, typer.Argument(metavar="REF", help="A picture of the person.")],
        pictures: Annotated[list[Path], typer.Argument(metavar="IMG...", help="Pictures.")],
        out: Annotated[
            Path | None, typer.Option("--out", help="Write a picture with boxes and numbers.")
        ] = None,
        pack: Pack = None,
        json: Json = False,
    ) -> None:
        runtime = _Measure(_settings(pack), reference)
        rows = [(path, runtime.faces(path)) for path in pictures]
        if out is not None:
            out.write_bytes(
                comparison_image([runtime.reference_panel, *(_panel(*row) for row in rows)])
            )
        if json:
            documents = [
                {"picture": str(path), "faces": [_face_document(*each) for each in found]}
                for path, found in rows
            ]
            output.print_json({"embedder": runtime.finder.embedder, "pictures": documents})
            return
        lines = [line for path, found in rows for line in _lines(path, found)]
        columns = ("=picture", ">face", ">similarity", ">match", "reason")
        output.out().print(output.table(None, columns, lines))


def _register_compare(group: typer.Typer) -> None:
    @group.command("compare", help=COMPARE)
    @output.command
    def command(
        one: Annotated[Path, typer.Argument(metavar="A", help="A folder of pictures.")],
        other: Annotated[Path, typer.Argument(metavar="B", help="Another.")],
        reference: Annotated[Path, typer.Option("--ref", help="A picture of the person.")],
        pack: Pack = None,
        json: Json = False,
    ) -> None:
        runtime = _Measure(_settings(pack), reference)
        sides = [_side(runtime, folder) for folder in (one, other)]
        if json:
            output.print_json({"embedder": runtime.finder.embedder, "folders": sides})
            return
        columns = ("=folder", ">pictures", ">no face", ">mean", ">least", ">most", ">match")
        names = ("folder", "pictures", "without_face", "mean", "least", "most", "match")
        rows = [[_shown(side[name]) for name in names] for side in sides]
        output.out().print(output.table(None, columns, rows))
        output.print_text(_verdict(sides))


def _register_calibrate(group: typer.Typer) -> None:
    @group.command("calibrate", help=CALIBRATE)
    @output.command
    def command(
        folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder for each person.")],
        pack: Pack = None,
        json: Json = False,
    ) -> None:
        settings = _settings(pack)
        if not folder.is_dir():
            raise InvalidInput(f"{folder} is no folder", hint="Give one with a folder a person.")
        finder = _load(settings)
        measured = calibrate(folder, finder, datetime.now(UTC).date())
        file = calibration_path(settings)
        file.write_text(measured.model_dump_json(indent=1) + "\n", encoding="utf-8")
        if json:
            output.print_json({"file": str(file), **measured.model_dump(mode="json")})
            return
        output.print_text(
            f"{measured.embedder}: same person {measured.same_mean:.3f},"
            f" strangers {measured.strangers_mean:.3f}"
            f" ({measured.pictures} pictures of {measured.people} people,"
            f" {measured.without_face} without a face); written to {file}"
        )


Measured = tuple[Face, Score]


class _Measure:
    """A reference and what it is compared with."""

    def __init__(self, settings: Settings, reference: Path) -> None:
        self.finder = _load(settings)
        self._calibration: Calibration | None = read_calibration(settings)
        self._body = _read(reference)
        self._title = reference.name
        try:
            self._face = face_of(self._body, self.finder)
        except NoFace as error:
            raise NoFace(f"{reference} shows no face", hint=error.hint) from None

    @property
    def reference_panel(self) -> Panel:
        return Panel(self._title, self._body, marks([self._face], [self._score(self._face, 1)]))

    def faces(self, path: Path) -> list[Measured]:
        """Largest first."""
        found = self.finder.find_faces(_read(path))
        return [(face, self._score(face, len(found))) for face in found]

    def _score(self, face: Face, found: int) -> Score:
        return score(
            face.embedding,
            [self._face.embedding],
            embedder=self.finder.embedder,
            calibration=self._calibration,
            faces_found=found,
        )


def _settings(pack: str | None) -> Settings:
    settings = load_cli_settings(os.environ)
    configure_logs(quieter(settings, os.environ, "warning"))
    if pack is None:
        return settings
    return Settings.model_validate({**settings.model_dump(), "faces_pack": pack})


def _load(settings: Settings) -> FaceFinder:
    """Raises FaceModelsMissing."""
    return load_finder(settings, FaceUse.SCORE)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}", value=str(path)) from None


def _panel(path: Path, found: list[Measured]) -> Panel:
    faces, scores = [face for face, _ in found], [result for _, result in found]
    title = path.name if found else f"{path.name}: no_face"
    return Panel(title, _read(path), marks(faces, scores))


def _lines(path: Path, found: list[Measured]) -> list[list[object]]:
    if not found:
        return [[path, None, None, None, "no_face"]]
    return [
        [path, at, _shown(result.similarity), _shown(result.match), result.reason]
        for at, (_, result) in enumerate(found)
    ]


def _face_document(face: Face, result: Score) -> dict[str, Any]:
    box = face.box
    return {
        "box": {"x": box.x, "y": box.y, "width": box.width, "height": box.height},
        "similarity": result.similarity,
        "match": result.match,
        "reason": result.reason,
        "text": in_words(result),
    }


def _side(runtime: _Measure, folder: Path) -> dict[str, Any]:
    """The likest face of each picture, over a folder."""
    if not folder.is_dir():
        raise InvalidInput(f"{folder} is no folder", value=str(folder))
    pictures = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not pictures:
        raise InvalidInput(f"{folder} holds no pictures", value=str(folder))
    every = [[result for _, result in runtime.faces(path)] for path in pictures]
    likest = [max(found, key=lambda one: one.similarity or -1.0) for found in every if found]
    similarities = [one.similarity for one in likest if one.similarity is not None]
    matches = [one.match for one in likest if one.match is not None]
    return {
        "folder": str(folder),
        "pictures": len(pictures),
        "without_face": len(pictures) - len(likest),
        "mean": fmean(similarities) if similarities else None,
        "least": min(similarities, default=None),
        "most": max(similarities, default=None),
        "match": fmean(matches) if matches else None,
    }


def _verdict(sides: list[dict[str, Any]]) -> str:
    first, second = sides
    if first["mean"] is None or second["mean"] is None:
        return "A folder without a face cannot be compared."
    better, worse = (first, second) if first["mean"] >= second["mean"] else (second, first)
    lead = better["mean"] - worse["mean"]
    return f"{better['folder']} keeps the face better: similarity {lead:+.3f} on average"


def _shown(value: object) -> object:
    return f"{value:.3f}" if isinstance(value, float) else value
