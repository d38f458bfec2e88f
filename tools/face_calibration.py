"""Measures the embedded face model on named public photographs, and writes what ships of it.

    python -m tools.face_calibration FOLDER --pairs FOLDER/master.csv --address PUBLIC_PATH

FOLDER holds the photographs, the pairs file rows of two of their names and whether they show the
same person (Yes, No). Only numbers, addresses and checksums are written, never a picture: the
calibration beside the embedder's code, and the tables of docs/faces.md.
"""

import argparse
import csv
import datetime
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill

from PIL import Image

from handlers.faces import dlib_finder
from handlers.faces.boxes import Face, FaceFinder, choose
from handlers.faces.calibration import Album, calibrate
from handlers.faces.head import measured_head
from handlers.faces.match import Baseline, Calibration, match, similarity
from handlers.media.images import pixels

PACKAGE = Path(dlib_finder.__file__).parent
PAGE = Path(__file__).parents[1] / "docs" / "faces.md"
BEGIN, END = "<!-- face_calibration -->", "<!-- /face_calibration -->"
WIDTHS = (160, 80, 60, 48, 40, 32, 28, 24, 20)
"""Of a face, in pixels."""
YAWS = ((0, 10), (10, 20), (20, 30), (30, 45))
"""Degrees by which two heads differ, from and below."""


@dataclass(frozen=True)
class Line:
    """One of a table's."""

    label: str
    similarities: Sequence[float]
    missed: int = 0


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    finder = dlib_finder.load()
    people = read_people(options.pairs.read_text("utf-8"))
    album = Album()
    for name, picture in ((name, each) for name, all in people.items() for each in all):
        body = (options.folder / picture).read_bytes()
        album.add(name, f"{options.address}/{picture}", body, finder)
    calibration = calibrate(album, finder, options.date)
    file = PACKAGE / f"{finder.embedder}.calibration.json"
    file.write_text(calibration.model_dump_json(indent=1) + "\n", encoding="utf-8")
    files = {name: [options.folder / each for each in all] for name, all in people.items()}
    page = "\n".join(tables(calibration, files, finder))
    PAGE.write_text(with_tables(PAGE.read_text("utf-8"), page), encoding="utf-8")
    print(f"{file}\n{PAGE}")


def read_people(text: str) -> dict[str, list[str]]:
    """Person (the first of their pictures) → pictures, from rows of pairs that are the same."""
    rows = [tuple(row.values()) for row in csv.DictReader(io.StringIO(text))]
    person = {name: name for one, other, _ in rows for name in (one, other)}
    for one, other, verdict in rows:
        if verdict == "Yes":
            old, new = person[other], person[one]
            person = {name: new if who == old else who for name, who in person.items()}
    found: dict[str, list[str]] = {}
    for name in sorted(person):
        found.setdefault(person[name], []).append(name)
    return found


def with_tables(page: str, new: str) -> str:
    """The page with what stands between its marks replaced."""
    head, _, rest = page.partition(BEGIN)
    return f"{head}{BEGIN}\n\n{new}\n\n{END}{rest.partition(END)[2]}"


def tables(
    calibration: Calibration, people: Mapping[str, Sequence[Path]], finder: FaceFinder
) -> Iterator[str]:
    yield from separation(calibration)
    yield ""
    faces = {
        path: choose(found)
        for paths in people.values()
        for path in paths
        if (found := finder.find_faces(path.read_bytes()))
    }
    baseline = Baseline(calibration.strangers_mean, calibration.same_mean)
    yield from _table("face, pixels wide", _by_width(people, faces, finder), baseline)
    yield ""
    yield from _table("heads turned apart by", _by_yaw(people, faces), baseline)


def separation(calibration: Calibration) -> Iterator[str]:
    """Raises ValueError for a calibration without spreads."""
    same, strangers, errors = calibration.same, calibration.strangers, calibration.errors
    if same is None or strangers is None or errors is None:
        raise ValueError("the calibration has no spreads")
    yield fill(
        f"`{calibration.embedder}` (`{(calibration.embedder_sha256 or '')[:12]}…`),"
        f" {calibration.date}: {calibration.pictures} photographs of {calibration.people} people,"
        f" {calibration.without_face} more without a face. AUC {calibration.auc:.4f}. A match of"
        f" {errors.min_match} is a similarity of {errors.similarity:.3f}: it rejects"
        f" {errors.genuine_rejected:.1%} of the pairs of one person and accepts"
        f" {errors.strangers_accepted:.1%} of those of strangers.",
        100,
    )
    yield ""
    yield "| pairs | n | mean | sd | least | 5 % | 95 % | most |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for name, mean, each in (
        ("the same person", calibration.same_mean, same),
        ("strangers", calibration.strangers_mean, strangers),
    ):
        numbers = (mean, each.sd, each.least, each.p5, each.p95, each.most)
        yield f"| {name} | {each.pairs} | {' | '.join(f'{one:.3f}' for one in numbers)} |"


def _by_width(
    people: Mapping[str, Sequence[Path]], faces: Mapping[Path, Face], finder: FaceFinder
) -> Iterator[Line]:
    """One picture of each pair of a person is shrunk until its face is so wide."""
    for width in WIDTHS:
        shrunk = {path: _shrunk(path, face, width, finder) for path, face in faces.items()}
        found, missed = [], 0
        for one, other in _genuine(people, faces):
            small = shrunk[other]
            if small is None:
                missed += 1
            else:
                found.append(similarity(faces[one].embedding, small.embedding))
        yield Line(str(width), found, missed)


def _shrunk(path: Path, face: Face, width: int, finder: FaceFinder) -> Face | None:
    image = pixels(path.read_bytes())
    scale = width / face.box.width
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    ground = Image.new("RGB", (max(256, size[0]), max(256, size[1])), (128, 128, 128))
    ground.paste(image.resize(size, Image.Resampling.LANCZOS))
    out = io.BytesIO()
    ground.save(out, "PNG")
    found = finder.find_faces(out.getvalue())
    return choose(found) if found else None


def _by_yaw(people: Mapping[str, Sequence[Path]], faces: Mapping[Path, Face]) -> Iterator[Line]:
    yaw = {path: measured_head(face.landmarks).yaw for path, face in faces.items()}
    for least, below in YAWS:
        yield Line(
            f"{least} to {below}°",
            [
                similarity(faces[one].embedding, faces[other].embedding)
                for one, other in _genuine(people, faces)
                if least <= abs(yaw[one] - yaw[other]) < below
            ],
        )


def _genuine(
    people: Mapping[str, Sequence[Path]], faces: Mapping[Path, Face]
) -> Iterator[tuple[Path, Path]]:
    for paths in people.values():
        known = [path for path in paths if path in faces]
        yield from ((one, other) for at, one in enumerate(known) for other in known[at + 1 :])


def _table(name: str, lines: Iterable[Line], baseline: Baseline) -> Iterator[str]:
    yield f"| {name} | n | not found | similarity, mean | least | match, mean | match under 0.85 |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for line in lines:
        if not line.similarities:
            yield f"| {line.label} | 0 | {line.missed} | | | | |"
            continue
        n = len(line.similarities)
        matches = [match(one, baseline) for one in line.similarities]
        yield (
            f"| {line.label} | {n} | {line.missed} | {sum(line.similarities) / n:.3f}"
            f" | {min(line.similarities):.3f} | {sum(matches) / n:.2f}"
            f" | {sum(one < 0.85 for one in matches) / n:.0%} |"
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pairs", type=Path, required=True, help="CSV: file, file, Yes or No.")
    parser.add_argument("--address", required=True, help="Of the folder in a public repository.")
    parser.add_argument("--date", type=datetime.date.fromisoformat, default=datetime.date.today())
    return parser


if __name__ == "__main__":
    main()
