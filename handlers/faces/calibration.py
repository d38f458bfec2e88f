"""Measuring an embedder on labelled pictures: one folder for each person."""

import datetime
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from statistics import fmean

from config.errors import InvalidInput
from handlers.faces.boxes import Embedding, FaceFinder, choose
from handlers.faces.match import Calibration, same_mean, similarity_to

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp"})


def calibrate(folder: Path, finder: FaceFinder, today: datetime.date) -> Calibration:
    """Means over `folder`/<person>/<picture>, the largest face of each.

    Raises InvalidInput for too few people or pictures, and for labels that cannot be right.
    """
    people: list[list[Embedding]] = []
    without_face = 0
    for person in sorted(entry for entry in folder.iterdir() if entry.is_dir()):
        found = [_embedding(path, finder) for path in _pictures(person)]
        known = [one for one in found if one is not None]
        without_face += len(found) - len(known)
        if known:
            people.append(known)
    strangers, same = means(people)
    if same <= strangers:
        raise InvalidInput(
            f"in {folder} strangers ({strangers:.3f}) are as alike as pictures of the same person"
            f" ({same:.3f})",
            hint="Check that each folder holds one person.",
        )
    return Calibration(
        date=today,
        embedder=finder.embedder,
        strangers_mean=strangers,
        same_mean=same,
        people=len(people),
        pictures=sum(map(len, people)),
        without_face=without_face,
    )


def means(people: Sequence[Sequence[Embedding]]) -> tuple[float, float]:
    """Strangers' and same person's mean. Each person, and each pair of people, counts once.

    Raises InvalidInput unless there are two people, and two pictures of one of them.
    """
    within = [mean for one in people if (mean := same_mean(one)) is not None]
    if len(people) < 2 or not within:
        raise InvalidInput(
            f"pictures of {len(people)} people, {len(within)} of them with more than one",
            hint="Calibration takes two people or more, and two pictures or more of each.",
        )
    between = (
        fmean(similarity_to(face, others) for face in one)
        for one, others in combinations(people, 2)
    )
    return fmean(between), fmean(within)


def _pictures(person: Path) -> list[Path]:
    return sorted(path for path in person.iterdir() if path.suffix.lower() in SUFFIXES)


def _embedding(path: Path, finder: FaceFinder) -> Embedding | None:
    try:
        faces = finder.find_faces(path.read_bytes())
    except InvalidInput as error:
        raise InvalidInput(f"{path}: {error.message}", hint=error.hint) from error
    return choose(faces).embedding if faces else None
