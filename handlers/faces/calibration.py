"""Measuring an embedder on labelled pictures: what is the same person to it, and what strangers."""

import datetime
import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from itertools import combinations, product
from pathlib import Path
from statistics import fmean, pstdev

from config.errors import InvalidInput
from handlers.faces.boxes import Embedding, FaceFinder, choose
from handlers.faces.match import (
    GATE,
    Baseline,
    Calibration,
    ErrorRates,
    Photograph,
    Spread,
    same_mean,
    similarity,
    similarity_to,
)

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp"})


@dataclass(frozen=True)
class LabelledFace:
    """The largest face of a picture."""

    picture: str
    """Its address or path."""
    sha256: str
    embedding: Embedding


@dataclass(frozen=True)
class Suspect:
    """A picture that looks mislabelled."""

    picture: str
    person: str
    similarity: float
    """Mean, to the person's other pictures."""
    likest: str
    """Who it is most like."""
    likest_similarity: float


@dataclass
class Album:
    """Labelled faces as they are read."""

    people: dict[str, list[LabelledFace]] = field(default_factory=dict)
    without_face: int = 0
    unreadable: list[tuple[Path, InvalidInput]] = field(default_factory=list)
    """Pictures that are none, and why."""

    def add(self, person: str, picture: str, body: bytes, finder: FaceFinder) -> None:
        try:
            faces = finder.find_faces(body)
        except InvalidInput as error:
            self.unreadable.append((Path(picture), error))
            return
        if not faces:
            self.without_face += 1
            return
        sha256 = hashlib.sha256(body).hexdigest()
        face = LabelledFace(picture, sha256, choose(faces).embedding)
        self.people.setdefault(person, []).append(face)


def shipped(embedder: str) -> Calibration | None:
    """The calibration that comes with the package; None for an embedder that has none."""
    file = resources.files("handlers.faces") / f"{embedder}.calibration.json"
    return Calibration.model_validate_json(file.read_bytes()) if file.is_file() else None


def read_album(folder: Path, finder: FaceFinder) -> Album:
    """Of `folder`/<person>/<picture>, the largest face of each."""
    album = Album()
    for person in sorted(entry for entry in folder.iterdir() if entry.is_dir()):
        for picture in pictures_of(person):
            album.add(person.name, str(picture), picture.read_bytes(), finder)
    return album


def pictures_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)


def calibrate(album: Album, finder: FaceFinder, today: datetime.date) -> Calibration:
    """Raises InvalidInput for too few people or pictures, and for labels that cannot be right."""
    people = [[face.embedding for face in faces] for faces in album.people.values()]
    strangers_mean, mean = means(people)
    if mean <= strangers_mean:
        raise InvalidInput(
            f"strangers ({strangers_mean:.3f}) are as alike as pictures of the same person"
            f" ({mean:.3f})",
            hint="Check that each folder holds one person.",
        )
    same, strangers = pairs(people)
    return Calibration(
        date=today,
        embedder=finder.embedder,
        embedder_sha256=finder.embedder_sha256,
        strangers_mean=strangers_mean,
        same_mean=mean,
        people=len(people),
        pictures=sum(map(len, people)),
        without_face=album.without_face,
        same=spread(same),
        strangers=spread(strangers),
        auc=auc(same, strangers),
        errors=error_rates(same, strangers, Baseline(strangers_mean, mean)),
        photographs=tuple(
            Photograph(address=face.picture, sha256=face.sha256)
            for faces in album.people.values()
            for face in faces
        ),
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


def pairs(people: Iterable[Sequence[Embedding]]) -> tuple[list[float], list[float]]:
    """Similarities of all pairs of pictures, in rising order: of the same person, of strangers."""
    groups = list(people)
    same = [similarity(*pair) for one in groups for pair in combinations(one, 2)]
    strangers = [
        similarity(*pair) for one, other in combinations(groups, 2) for pair in product(one, other)
    ]
    return sorted(same), sorted(strangers)


def spread(similarities: Sequence[float]) -> Spread:
    """Of one similarity or more, in rising order."""
    return Spread(
        sd=round(pstdev(similarities), 6),
        p5=percentile(similarities, 0.05),
        p95=percentile(similarities, 0.95),
        least=similarities[0],
        most=similarities[-1],
        pairs=len(similarities),
    )


def percentile(rising: Sequence[float], share: float) -> float:
    """Between the two values that are nearest to that share of the way."""
    place = share * (len(rising) - 1)
    below = int(place)
    above = min(below + 1, len(rising) - 1)
    return rising[below] + (rising[above] - rising[below]) * (place - below)


def auc(same: Sequence[float], strangers: Sequence[float]) -> float:
    """How often a pair of the same person is more alike than one of strangers; ties count half."""
    below = sum(bisect_left(strangers, one) + bisect_right(strangers, one) for one in same)
    return below / 2 / (len(same) * len(strangers))


def error_rates(
    same: Sequence[float], strangers: Sequence[float], baseline: Baseline
) -> ErrorRates:
    """Of a gate at the match GATE, if each pair were a reference and an output."""
    threshold = baseline.strangers_mean + GATE * (baseline.same_mean - baseline.strangers_mean)
    return ErrorRates(
        min_match=GATE,
        similarity=threshold,
        genuine_rejected=bisect_left(same, threshold) / len(same),
        strangers_accepted=1 - bisect_left(strangers, threshold) / len(strangers),
    )


def suspects(people: Mapping[str, Sequence[LabelledFace]]) -> list[Suspect]:
    """Pictures that are less like their person's others than half-way from strangers, or more like
    somebody else. Both of two that differ are named: which is wrong cannot be told."""
    strangers, same = means([[face.embedding for face in faces] for faces in people.values()])
    return [
        suspect
        for person in people
        for face in people[person]
        if (suspect := _suspect(face, person, people, (strangers + same) / 2)) is not None
    ]


def _suspect(
    face: LabelledFace, person: str, people: Mapping[str, Sequence[LabelledFace]], least: float
) -> Suspect | None:
    def likeness(other: str) -> float | None:
        others = [each.embedding for each in people[other] if each is not face]
        return similarity_to(face.embedding, others) if others else None

    known = {name: like for name in people if (like := likeness(name)) is not None}
    own = known.get(person)
    likest = max(known, key=lambda name: known[name])
    if own is None or (likest == person and own >= least):
        return None
    return Suspect(face.picture, person, own, likest, known[likest])
