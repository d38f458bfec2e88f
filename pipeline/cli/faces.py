"""`ryla faces`: measures faces, and what the numbers are worth."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

import typer

from config.errors import InvalidInput
from handlers.faces.boxes import Face
from handlers.faces.calibration import (
    Suspect,
    calibrate,
    read_album,
    suspects,
)
from handlers.faces.comparison_image import Panel, comparison_image, in_words, marks
from handlers.faces.match import Calibration, Score
from pipeline.cli import output
from pipeline.cli.face_pictures import (
    Measure,
    Measured,
    Row,
    end,
    face_settings,
    load,
    named,
    pictures,
    read,
)
from pipeline.cli.options import Json
from pipeline.models.face_packs import calibration_path

HELP = """Measure faces.

`similarity` is the cosine of two face embeddings, no percentage. `match` sets it between strangers
(0) and the same person (1), once `ryla faces calibrate` has measured what those are.
"""

SCORE = """Measure the faces of pictures against a reference.

Example:

    ryla faces score anna.png out/ more.png --out scores.png

A picture that cannot be read is named and left out; the exit code is then 1.
"""

COMPARE = """Set two folders of pictures side by side: which keeps the face better?

Example:

    ryla faces compare lora/ instantid/ --ref anna.png
"""

CALIBRATE = """Measure the embedder on labelled pictures: DIR/PERSON/<picture>.

Give at least two people and two pictures of each. Means, spreads and error rates are written where
scoring finds them; pictures that look mislabelled are named.

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
        given_pictures: Annotated[
            list[Path], typer.Argument(metavar="IMG...", help="Pictures, or folders of them.")
        ],
        out: Annotated[
            Path | None, typer.Option("--out", help="Write a picture with boxes and numbers.")
        ] = None,
        pack: Pack = None,
        json: Json = False,
    ) -> None:
        runtime = Measure(face_settings(pack), reference)
        paths = [each for given in given_pictures for each in pictures(given)]
        rows, unreadable = runtime.read(paths)
        if out is not None:
            out.write_bytes(
                comparison_image([runtime.reference_panel, *(_panel(*row) for row in rows)])
            )
        if json:
            documents = [
                {"picture": str(path), "faces": [_face_document(*each) for each in found]}
                for path, found in rows
            ]
            output.print_json(
                {**runtime.embedder, "pictures": documents, "unreadable": named(unreadable)}
            )
        else:
            lines = [line for path, found in rows for line in _lines(path, found)]
            columns = ("=picture", ">face", ">similarity", ">match", "reason")
            output.out().print(output.table(None, columns, lines))
        end(unreadable)


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
        runtime = Measure(face_settings(pack), reference)
        for folder in (one, other):
            if not folder.is_dir():
                raise InvalidInput(f"{folder} is no folder", value=str(folder))
        read = [(folder, *runtime.read(pictures(folder))) for folder in (one, other)]
        sides = [_side(folder, rows) for folder, rows, _ in read]
        unreadable = [each for _, _, torn in read for each in torn]
        if json:
            output.print_json(
                {**runtime.embedder, "folders": sides, "unreadable": named(unreadable)}
            )
        else:
            columns = ("=folder", ">pictures", ">no face", ">mean", ">least", ">most", ">match")
            names = ("folder", "pictures", "without_face", "mean", "least", "most", "match")
            rows = [[_shown(side[name]) for name in names] for side in sides]
            output.out().print(output.table(None, columns, rows))
            output.print_text(_verdict(sides))
        end(unreadable)


def _register_calibrate(group: typer.Typer) -> None:
    @group.command("calibrate", help=CALIBRATE)
    @output.command
    def command(
        folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder for each person.")],
        pack: Pack = None,
        json: Json = False,
    ) -> None:
        settings = face_settings(pack)
        if not folder.is_dir():
            raise InvalidInput(f"{folder} is no folder", hint="Give one with a folder a person.")
        finder = load(settings)
        album = read_album(folder, finder)
        measured = calibrate(album, finder, datetime.now(UTC).date())
        doubtful = suspects(album.people)
        file = calibration_path(settings)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(measured.model_dump_json(indent=1) + "\n", encoding="utf-8")
        if json:
            output.print_json(
                {
                    "file": str(file),
                    **measured.model_dump(mode="json"),
                    "suspects": [asdict(each) for each in doubtful],
                    "unreadable": named(album.unreadable),
                }
            )
        else:
            _print_calibration(measured, doubtful, file)
        end(album.unreadable)


def _print_calibration(measured: Calibration, doubtful: Sequence[Suspect], file: Path) -> None:
    columns = ("pairs", ">n", ">mean", ">sd", ">least", ">5 %", ">95 %", ">most")
    rows = [
        [name, each.pairs, *map(_shown, (mean, each.sd, each.least, each.p5, each.p95, each.most))]
        for name, mean, each in (
            ("the same person", measured.same_mean, measured.same),
            ("strangers", measured.strangers_mean, measured.strangers),
        )
        if each is not None
    ]
    output.out().print(output.table(measured.embedder, columns, rows))
    if (errors := measured.errors) is not None:
        output.print_text(
            f"A match of {errors.min_match} is a similarity of {errors.similarity:.3f}: it rejects"
            f" {errors.genuine_rejected:.1%} of the pairs of one person and accepts"
            f" {errors.strangers_accepted:.1%} of those of strangers."
        )
    for each in doubtful:
        output.print_text(
            f"{each.picture} may not be {each.person}: {each.similarity:.3f} alike to the other"
            f" pictures, {each.likest_similarity:.3f} to those of {each.likest}"
        )
    output.print_text(
        f"{measured.pictures} pictures of {measured.people} people, {measured.without_face} without"
        f" a face; written to {file}"
    )


def _panel(path: Path, found: list[Measured]) -> Panel:
    faces, scores = [face for face, _ in found], [result for _, result in found]
    title = path.name if found else f"{path.name}: no_face"
    return Panel(title, read(path), marks(faces, scores))


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


def _side(folder: Path, rows: Sequence[Row]) -> dict[str, Any]:
    """The likest face of each picture, over a folder."""
    every = [[result for _, result in found] for _, found in rows]
    likest = [max(found, key=lambda one: one.similarity or -1.0) for found in every if found]
    similarities = [one.similarity for one in likest if one.similarity is not None]
    matches = [one.match for one in likest if one.match is not None]
    return {
        "folder": str(folder),
        "pictures": len(rows),
        "without_face": len(rows) - len(likest),
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
