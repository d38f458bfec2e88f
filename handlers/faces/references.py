"""A person's reference pictures: the faces in them, and whether they are one person's."""

from collections.abc import Sequence
from dataclasses import dataclass

from config.errors import InvalidInput, NoFace
from handlers.faces.boxes import Face, FaceFinder, choose
from handlers.faces.match import Calibration, Reason, half_way, odd_one
from handlers.faces.quality import is_crowd

MOST = 5
"""Reference pictures of one person."""


@dataclass(frozen=True)
class Reference:
    field: str
    """Of the job's input, such as `reference_images.1`."""
    key: str
    body: bytes


def faces_of(references: Sequence[Reference], finder: FaceFinder) -> list[Face]:
    """The largest face of each, as the InstantID nodes take it.

    Raises NoFace, and InvalidInput for a picture of several people who are as large.
    """
    return [_face_of(each, finder) for each in references]


def require_one_person(
    references: Sequence[Reference], faces: Sequence[Face], calibration: Calibration | None
) -> None:
    """Raises InvalidInput naming the picture of somebody else. The calibration must fit."""
    odd = odd_one([face.embedding for face in faces], calibration)
    if odd is None or calibration is None:
        return
    raise InvalidInput(
        f"{Reason.REFERENCES_DIFFER}: {references[odd].key} is less than"
        f" {half_way(calibration):.3f} alike to the other references, half-way between strangers"
        " and the same person",
        field=f"input.{references[odd].field}",
        value=references[odd].key,
        hint="Give pictures of one person, each with the face large and from the front.",
    )


def _face_of(reference: Reference, finder: FaceFinder) -> Face:
    faces = finder.find_faces(reference.body)
    if not faces:
        raise NoFace(
            f"no face was found in the reference picture {reference.key}",
            field=f"input.{reference.field}",
            value=reference.key,
            hint="Use a picture in which one face is large, upright and not covered.",
        )
    if is_crowd(faces):
        raise InvalidInput(
            f"{Reason.SEVERAL_FACES}: {reference.key} shows two people about as large",
            field=f"input.{reference.field}",
            value=reference.key,
            hint="Cut the picture to the one who is meant.",
        )
    return choose(faces)
